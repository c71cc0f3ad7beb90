//! Numbers as traces write them.
//!
//! Fields are read as text first, so that an error can name the field and show what it holds. Tools that pass through a
//! table of floats write `6758.0` for `6758`; a float that is a whole number counts as one.

use super::error::LineFault;

pub(super) const NS_PER_S: u64 = 1_000_000_000;
pub(super) const NS_PER_MS: u64 = 1_000_000;

/// Reads a number of tokens from 1 to the largest `u32`.
pub(super) fn tokens(field: &'static str, text: &str) -> Result<u32, LineFault> {
    whole(text)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0)
        .ok_or_else(|| fault(field, text, "a whole number of tokens from 1 to 4294967295"))
}

/// Reads a whole number that fits a `u32`.
pub(super) fn small(field: &'static str, text: &str) -> Result<u32, LineFault> {
    whole(text)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| fault(field, text, "a whole number from 0 to 4294967295"))
}

/// Reads a whole number of nanoseconds.
pub(super) fn nanoseconds(field: &'static str, text: &str) -> Result<u64, LineFault> {
    whole(text).ok_or_else(|| fault(field, text, "a whole number of nanoseconds, 0 or more"))
}

/// Reads a time in units of `unit_ns` nanoseconds, fractions allowed.
pub(super) fn time(field: &'static str, text: &str, unit_ns: u64) -> Result<u64, LineFault> {
    let exact = text.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ns));
    let time = exact.or_else(|| {
        #[expect(clippy::cast_precision_loss, reason = "the unit is a power of ten below 2^53")]
        let unit = unit_ns as f64;
        text.parse::<f64>()
            .ok()
            .and_then(|x| from_float((x * unit).round()))
    });
    time.ok_or_else(|| {
        fault(
            field,
            text,
            "a time of 0 or more that fits 64 bits of nanoseconds",
        )
    })
}

fn whole(text: &str) -> Option<u64> {
    let exact = text.parse::<u64>().ok();
    exact.or_else(|| text.parse::<f64>().ok().and_then(from_float))
}

/// Turns a float that is a whole number from 0 to just below 2^64 into that number.
fn from_float(x: f64) -> Option<u64> {
    const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
    let fits = x.fract() == 0.0 && (0.0..TWO_TO_64).contains(&x);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and in range by the check above"
    )]
    fits.then_some(x as u64)
}

fn fault(field: &'static str, text: &str, wanted: &'static str) -> LineFault {
    LineFault::Number {
        field,
        found: if text.is_empty() {
            "empty".to_owned()
        } else {
            excerpt(text)
        },
        wanted,
    }
}

/// The beginning of a text, short enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    let short: String = text.chars().take(SHOWN).filter(|c| !c.is_control()).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_floats_are_whole_numbers() {
        assert_eq!(tokens("n", "6758.0").unwrap(), 6_758);
        assert_eq!(small("n", "0").unwrap(), 0);
    }

    #[test]
    fn what_is_no_count_is_named() {
        for text in [
            "0",
            "-1",
            "1.5",
            "4294967296",
            "1e999",
            "NaN",
            "\"7\"",
            "",
            "true",
            "-0.5",
        ] {
            let error = tokens("input_length", text).unwrap_err().to_string();
            assert!(
                error.starts_with("`input_length` is ") && error.contains("whole number"),
                "{error}"
            );
        }
    }

    #[test]
    fn times_are_exact_where_they_can_be() {
        assert_eq!(time("t", "3536999", NS_PER_MS).unwrap(), 3_536_999_000_000);
        assert_eq!(time("t", "0.25", NS_PER_S).unwrap(), 250_000_000);
        assert_eq!(time("t", "1.5", NS_PER_MS).unwrap(), 1_500_000);
        for text in ["-1", "NaN", "inf", "1e300", "18446744073709551615", "x"] {
            assert!(time("t", text, NS_PER_MS).is_err(), "{text}");
        }
    }

    #[test]
    fn excerpts_are_short_and_clean() {
        assert_eq!(excerpt("a\u{7}b"), "ab…");
        assert!(excerpt(&"ü".repeat(1000)).chars().count() <= 41);
    }
}
