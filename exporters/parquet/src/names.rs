//! File names in a table's directory, built and taken apart in one place.

use std::path::{Path, PathBuf};

/// What a file in a table's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// `part-00000.parquet`: sealed.
    Part(u32),
    /// `part-00000-tail.parquet`: rows that a recovery took from the streams of an open part.
    Tail(u32),
    /// `_part-00000.parquet`: open.
    Open(u32),
    /// `_part-00000.footer`: the open part's footer.
    Footer(u32),
    /// `_part-00000.00003.arrows`: flushed rows of the open part's row group 3.
    Stream(u32, u32),
    /// A draft that a crash left behind.
    Draft,
}

impl Name {
    /// The path in a table's directory.
    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Part(part) => format!("part-{part:05}.parquet"),
            Self::Tail(part) => format!("part-{part:05}-tail.parquet"),
            Self::Open(part) => format!("_part-{part:05}.parquet"),
            Self::Footer(part) => format!("_part-{part:05}.footer"),
            Self::Stream(part, group) => format!("_part-{part:05}.{group:05}.arrows"),
            Self::Draft => "__draft.tmp".to_owned(),
        })
    }

    /// Takes a file name apart; `None` for a file that is not ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name
            .strip_prefix("__")
            .and_then(|name| name.strip_suffix(".tmp"))
            .is_some()
        {
            return Some(Self::Draft);
        }
        let number = |text: &str| text.parse::<u32>().ok();
        let Some(name) = name.strip_prefix("_part-") else {
            let name = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
            return match name.strip_suffix("-tail") {
                Some(part) => number(part).map(Self::Tail),
                None => number(name).map(Self::Part),
            };
        };
        let mut pieces = name.split('.');
        let part = number(pieces.next()?)?;
        match (pieces.next()?, pieces.next(), pieces.next()) {
            ("parquet", None, None) => Some(Self::Open(part)),
            ("footer", None, None) => Some(Self::Footer(part)),
            (group, Some("arrows"), None) => Some(Self::Stream(part, number(group)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let dir = Path::new("");
        for name in [
            Name::Part(0),
            Name::Part(123_456),
            Name::Tail(7),
            Name::Open(1),
            Name::Footer(2),
            Name::Stream(3, 4),
            Name::Draft,
        ] {
            let path = name.path(dir);
            assert_eq!(Name::parse(path.to_str().unwrap()), Some(name));
        }
        for other in [
            "part-x.parquet",
            "steps.csv",
            "_part-00000",
            "_part-1.2.3.arrows",
            "part-1.parquet.crc",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
