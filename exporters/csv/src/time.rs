//! Points in time as RFC 3339, without a library's general formatter: it would cost more than the rest of the line.

const DAY: u64 = 86_400;
const NANOS: u64 = 1_000_000_000;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0_u8;
    while i < 100 {
        pairs[i as usize] = [b'0' + i / 10, b'0' + i % 10];
        i += 1;
    }
    pairs
};

/// Writes points in time; keeps the last day's date, which seldom changes.
#[derive(Debug)]
pub(crate) struct Rfc3339 {
    day: u64,
    /// `2026-11-24T02:23:15.000000000Z`, with the date of `day`.
    text: [u8; 30],
}

impl Default for Rfc3339 {
    fn default() -> Self {
        Self {
            day: 0,
            text: *b"1970-01-01T00:00:00.000000000Z",
        }
    }
}

impl Rfc3339 {
    /// Appends UTC nanoseconds since 1970.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, wall_ns: u64) {
        let (seconds, nanos) = (wall_ns / NANOS, wall_ns % NANOS);
        let (day, second) = (seconds / DAY, seconds % DAY);
        if day != self.day {
            self.set_day(day);
        }
        self.pair(11, second / 3_600);
        self.pair(14, second / 60 % 60);
        self.pair(17, second % 60);
        self.pair(20, nanos / 10_000_000);
        self.pair(22, nanos / 100_000 % 100);
        self.pair(24, nanos / 1_000 % 100);
        self.pair(26, nanos / 10 % 100);
        self.text[28] = PAIRS[digit(nanos % 10)][1];
        out.extend_from_slice(&self.text);
    }

    fn pair(&mut self, at: usize, value: u64) {
        [self.text[at], self.text[at + 1]] = PAIRS[digit(value)];
    }

    /// The civil date of a day: Howard Hinnant's `civil_from_days`, <https://howardhinnant.github.io/date_algorithms.html>.
    fn set_day(&mut self, day: u64) {
        let shifted = day + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        self.pair(0, year / 100);
        self.pair(2, year % 100);
        self.pair(5, month);
        self.pair(8, of_year - (153 * shifted_month + 2) / 5 + 1);
        self.day = day;
    }
}

/// A place in [`PAIRS`]; every caller's value is below 100, since `u64` nanoseconds end in the year 2554.
fn digit(value: u64) -> usize {
    usize::try_from(value % 100).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(wall_ns: u64) -> String {
        let mut out = Vec::new();
        Rfc3339::default().write(&mut out, wall_ns);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_dates() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(1_790_000_000_123_456_789), "2026-09-21T14:13:20.123456789Z");
        assert_eq!(text(951_782_400_000_000_001), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(text(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn a_new_day_is_noticed() {
        let (mut time, mut out) = (Rfc3339::default(), Vec::new());
        for wall_ns in [86_399 * NANOS, 86_400 * NANOS, 0] {
            time.write(&mut out, wall_ns);
            out.push(b' ');
        }
        let expected =
            "1970-01-01T23:59:59.000000000Z 1970-01-02T00:00:00.000000000Z 1970-01-01T00:00:00.000000000Z ";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
