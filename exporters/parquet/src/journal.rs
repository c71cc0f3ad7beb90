//! The footer of an open part, kept in a file of its own.
//!
//! A Parquet file is nothing without its footer, which comes last. So after every row group the footer that the file
//! would have if it ended there is written beside it, whole and at once; appended to the part cut to `length`, it makes
//! a readable file.

use crate::error::ParquetError;
use kvlens_schema::output::write_atomic;
use std::fs;
use std::path::Path;

const MAGIC: &[u8; 8] = b"KVLENSF1";
const HEAD: usize = MAGIC.len() + 8 + 4 + 8;

/// What is known of an open part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Journal {
    /// Row groups that are whole in the part.
    pub(crate) groups: u32,
    /// Their rows.
    pub(crate) rows: u64,
    /// Bytes of the part up to the end of the last of them.
    pub(crate) length: u64,
    /// The footer, with its length and the magic at its end.
    pub(crate) footer: Vec<u8>,
}

impl Journal {
    /// Writes it; an old one is replaced at once or not at all.
    pub(crate) fn write(&self, path: &Path, fsync: bool) -> Result<(), ParquetError> {
        let mut bytes = Vec::with_capacity(HEAD + self.footer.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.groups.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.footer);
        Ok(write_atomic(path, &bytes, fsync)?)
    }

    /// Reads it; `None` when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, ParquetError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ParquetError::io("read", path, error)),
        };
        let damaged = |problem| ParquetError::Journal {
            path: path.to_path_buf(),
            problem,
        };
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("it does not begin as a footer file does"))?;
        let parsed = || {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            let (groups, rest) = rest.split_first_chunk::<4>()?;
            let (rows, footer) = rest.split_first_chunk::<8>()?;
            Some(Self {
                groups: u32::from_le_bytes(*groups),
                rows: u64::from_le_bytes(*rows),
                length: u64::from_le_bytes(*length),
                footer: footer.to_vec(),
            })
        };
        let journal = parsed().ok_or_else(|| damaged("it is too short"))?;
        if journal.footer.ends_with(b"PAR1") {
            Ok(Some(journal))
        } else {
            Err(damaged("its footer is cut off"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_comes_back_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        assert_eq!(Journal::read(&path).unwrap(), None);
        let journal = Journal {
            groups: 3,
            rows: 9,
            length: 1 << 40,
            footer: b"xxPAR1".to_vec(),
        };
        journal.write(&path, false).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), Some(journal));
        for damage in [&b"nonsense"[..], b"KVLENSF1", b"KVLENSF1aaaaaaaabbbbccccccccxx"] {
            fs::write(&path, damage).unwrap();
            assert!(Journal::read(&path).is_err());
        }
    }
}
