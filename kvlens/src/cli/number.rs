//! Numbers as people read them.

/// Groups digits in threes.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time with three significant digits and a unit that fits.
pub(super) fn duration(ns: u64) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("µs", 1_000),
    ];
    for (unit, size) in UNITS {
        // Minutes and hours only where seconds would have many digits.
        let from = if size >= 60_000_000_000 { size * 10 } else { size };
        if ns >= from {
            return format!("{} {unit}", three_digits(ns, size));
        }
    }
    format!("{ns} ns")
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn three_digits(number: u64, unit: u64) -> String {
    let value = number as f64 / unit as f64;
    let decimals = if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    };
    format!("{value:.decimals$}")
}

/// A share as a percentage with two decimals.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// A size with a unit that fits.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let unit = UNITS.iter().find(|(_, size)| number >= *size);
    unit.map_or_else(
        || format!("{number} B"),
        |(unit, size)| format!("{} {unit}", three_digits(number, *size)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (144_793_823, "144,793,823"),
        ];
        cases
            .iter()
            .for_each(|(number, text)| assert_eq!(grouped(*number), *text));
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        let cases = [
            (7, "7 ns"),
            (1_234, "1.23 µs"),
            (45_678_000, "45.7 ms"),
            (999_600_000, "1000 ms"),
            (61_000_000_000, "61.0 s"),
        ];
        cases
            .iter()
            .for_each(|(ns, text)| assert_eq!(duration(*ns), *text));
        assert_eq!(duration(36_000_000_000_000), "10.0 h");
        assert_eq!(percent(0.373_38), "37.34 %");
        assert_eq!(
            (bytes(999), bytes(1_500_000)),
            ("999 B".to_owned(), "1.50 MB".to_owned())
        );
    }
}
