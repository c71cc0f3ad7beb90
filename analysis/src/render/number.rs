//! Numbers as people read them.

use crate::num::{float, rounded};

/// Groups digits in threes.
///
/// ```
/// assert_eq!(kvlens_analysis::render::number::grouped(144_793_823), "144,793,823");
/// ```
pub fn grouped(number: u64) -> String {
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

/// A time in nanoseconds with three significant digits and a unit that fits.
///
/// ```
/// use kvlens_analysis::render::number::duration;
/// assert_eq!([7.0, 1_234.0, 45_678_000.0, 61e9, 36e12].map(duration), ["7 ns", "1.23 µs", "45.7 ms", "61.0 s", "10.0 h"]);
/// ```
pub fn duration(ns: f64) -> String {
    const UNITS: [(&str, f64); 5] = [
        ("h", 3_600e9),
        ("min", 60e9),
        ("s", 1e9),
        ("ms", 1e6),
        ("µs", 1e3),
    ];
    for (unit, size) in UNITS {
        // Minutes and hours only where seconds would have many digits.
        let from = if size >= 60e9 { size * 10.0 } else { size };
        if ns.abs() >= from {
            return format!("{} {unit}", significant(ns / size));
        }
    }
    format!("{ns:.0} ns")
}

/// Three significant digits, more before the point where there are more.
pub fn significant(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size == 0.0 || size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.09995 => 3,
        _ => 4,
    };
    if size >= 999.5 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(rounded(size)));
    }
    format!("{value:.decimals$}")
}

/// A share as a percentage.
///
/// ```
/// assert_eq!(kvlens_analysis::render::number::percent(0.373_38), "37.3 %");
/// ```
pub fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0))
}

/// A value with its unit's symbol (Unified Code for Units of Measure) turned into what people write.
///
/// ```
/// use kvlens_analysis::render::number::with_unit;
/// assert_eq!([with_unit(0.5, "1"), with_unit(2e9, "ns"), with_unit(12_000.0, "{token}")], ["50.0 %", "2.00 s", "12,000"]);
/// ```
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ns" => duration(value),
        "1" => percent(value),
        "By" => bytes(value),
        "mJ" => format!("{} J", significant(value / 1e3)),
        "mW" => format!("{} W", significant(value / 1e3)),
        "MHz" => format!("{} MHz", significant(value)),
        "Cel" => format!("{} °C", significant(value)),
        _ => match unit.split_once("}/") {
            Some((_, per)) => format!("{} /{per}", significant(value)),
            None if value.fract() == 0.0 && value >= 0.0 => grouped(rounded(value)),
            None => significant(value),
        },
    }
}

/// A count with its unit.
pub fn count_with_unit(value: u64, unit: &str) -> String {
    with_unit(float(value), unit)
}

fn bytes(value: f64) -> String {
    const UNITS: [(&str, f64); 4] = [
        ("TiB", 1_099_511_627_776.0),
        ("GiB", 1_073_741_824.0),
        ("MiB", 1_048_576.0),
        ("KiB", 1_024.0),
    ];
    let fits = UNITS.iter().find(|(_, size)| value.abs() >= *size);
    fits.map_or_else(
        || format!("{value:.0} B"),
        |(unit, size)| format!("{} {unit}", significant(value / size)),
    )
}

/// A column's name without what its unit says: `queue_time_ns` is `queue time`.
pub fn spoken(name: &str) -> String {
    let name = ["_ns", "_bytes", "_mj", "_mw", "_mhz"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    name.replace('_', " ")
}

/// A point in UTC, such as `2026-11-24 02:23:15Z`, from nanoseconds since 1970.
///
/// ```
/// assert_eq!(kvlens_analysis::render::number::utc(1_790_000_000_123_456_789), "2026-09-21 14:13:20Z");
/// ```
pub fn utc(at_ns: i64) -> String {
    const DAY: i64 = 86_400;
    let seconds = at_ns.div_euclid(1_000_000_000);
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // Howard Hinnant's `civil_from_days`, <https://howardhinnant.github.io/date_algorithms.html>.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}
