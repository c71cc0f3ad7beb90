//! A Parquet part that is being written, read by the footer that lies beside it.

use crate::error::DamageCause;
use std::fs;
use std::path::Path;

/// How a footer file begins.
const MAGIC: &[u8; 8] = b"KVLENSF1";
/// How a Parquet footer ends: its length in four bytes, then the magic.
const FOOTER_TAIL: usize = 8;

/// What is known of an open part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenPart {
    /// Row groups that are whole in the part.
    row_groups: u32,
    /// The metadata, encoded as in a Parquet footer, without length and magic.
    metadata: Vec<u8>,
}

impl OpenPart {
    /// Reads a footer file.
    pub(crate) fn read(path: &Path) -> Result<Self, DamageCause> {
        let bytes = fs::read(path)?;
        Self::parse(&bytes).ok_or(DamageCause::Footer {
            problem: "it is cut off or of another kind",
        })
    }

    /// Row groups that a footer file knows; 0 for one that can't be read, so that the streams still count.
    pub(crate) fn row_groups(path: &Path) -> u32 {
        Self::read(path).map_or(0, |part| part.row_groups)
    }

    /// The Parquet metadata.
    pub(crate) fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (_length, rest) = rest.split_first_chunk::<8>()?;
        let (row_groups, rest) = rest.split_first_chunk::<4>()?;
        let (_rows, footer) = rest.split_first_chunk::<8>()?;
        let metadata = footer.strip_suffix(b"PAR1")?;
        let metadata = metadata.get(..metadata.len().checked_sub(FOOTER_TAIL - 4)?)?;
        Some(Self {
            row_groups: u32::from_le_bytes(*row_groups),
            metadata: metadata.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&b""[..], b"KVLENSF1", b"KVLENSF1aaaaaaaabbbbccccccccPAR1"] {
            assert_eq!(OpenPart::parse(bytes), None);
        }
        let part = OpenPart::parse(b"KVLENSF1aaaaaaaa\x02\0\0\0ccccccccmeta\x04\0\0\0PAR1").unwrap();
        assert_eq!((part.row_groups, part.metadata()), (2, &b"meta"[..]));
    }
}
