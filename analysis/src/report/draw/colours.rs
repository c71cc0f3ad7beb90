//! The colours of the page on white.

use super::super::plot::Colour;

/// Red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

pub(super) const PAPER: Rgb = Rgb(0xff, 0xff, 0xff);
pub(super) const TEXT: Rgb = Rgb(0x1b, 0x24, 0x30);
pub(super) const FAINT: Rgb = Rgb(0x5b, 0x66, 0x75);
pub(super) const LINE: Rgb = Rgb(0xd9, 0xde, 0xe5);
const PALETTE: [Rgb; 8] = [
    Rgb(0x00, 0x72, 0xb2),
    Rgb(0xe6, 0x9f, 0x00),
    Rgb(0x00, 0x9e, 0x73),
    Rgb(0xd5, 0x5e, 0x00),
    Rgb(0xb8, 0x57, 0x8d),
    Rgb(0x56, 0xb4, 0xe9),
    Rgb(0x7a, 0x6a, 0x00),
    Rgb(0x8b, 0x95, 0xa3),
];
const HEAT: [Rgb; 5] = [
    Rgb(0xd5, 0xe5, 0xf3),
    Rgb(0x93, 0xc3, 0xdf),
    Rgb(0x4a, 0x97, 0xc9),
    Rgb(0x1a, 0x60, 0xa7),
    Rgb(0x08, 0x30, 0x6b),
];
/// How many colours a heat map is drawn with.
pub(super) const LEVELS: u8 = 33;

pub(super) fn of(colour: Colour) -> Rgb {
    PALETTE.get(colour.0 % PALETTE.len()).copied().unwrap_or(TEXT)
}

/// The colour of a level of a heat map, from 0 to one below [`LEVELS`].
pub(super) fn heat(level: u8) -> Rgb {
    let between = (LEVELS - 1) / 4;
    let stop = usize::from(level / between);
    let share = f64::from(level % between) / f64::from(between);
    let low = HEAT.get(stop).or(HEAT.last()).copied().unwrap_or(TEXT);
    let high = HEAT.get(stop + 1).copied().unwrap_or(low);
    Rgb(
        mix(low.0, high.0, share),
        mix(low.1, high.1, share),
        mix(low.2, high.2, share),
    )
}

fn mix(low: u8, high: u8, share: f64) -> u8 {
    let mixed = f64::from(low) + (f64::from(high) - f64::from(low)) * share;
    u8::try_from(crate::num::rounded(mixed)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_page() {
        let css = include_str!("../assets/report.css");
        let light = css.split('}').next().unwrap();
        let hex = |Rgb(red, green, blue): Rgb| format!("#{red:02x}{green:02x}{blue:02x}");
        let stands = |name: String, colour: Rgb| {
            assert!(light.contains(&format!("--{name}: {};", hex(colour))), "{name}");
        };
        for (at, colour) in PALETTE.into_iter().enumerate() {
            stands(format!("c{at}"), colour);
        }
        for (at, colour) in HEAT.into_iter().enumerate() {
            stands(format!("heat{at}"), colour);
        }
        [("card", PAPER), ("text", TEXT), ("faint", FAINT), ("line", LINE)]
            .into_iter()
            .for_each(|(name, colour)| stands(name.to_owned(), colour));
    }

    #[test]
    fn a_heat_map_goes_from_the_first_stop_to_the_last() {
        assert_eq!(heat(0), HEAT[0]);
        assert_eq!(heat((LEVELS - 1) / 2), HEAT[2]);
        assert_eq!(heat(LEVELS - 1), HEAT[4]);
        assert_eq!(heat(4), Rgb(0xb4, 0xd4, 0xe9));
    }
}
