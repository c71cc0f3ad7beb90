//! What was uploaded already, in a file beside the run: one line of JSON each.
//!
//! The first line says where to. A line that is cut off, because the process was killed over it, does not count: what
//! it told of is uploaded again.

use crate::error::{Result, StoreError};
use kvlens_schema::output::{check_unlocked, lock_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file's name in the run's directory.
pub(crate) const NAME: &str = "_upload.jsonl";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The URL of the run in the store.
    pub(crate) url: String,
    /// Whether files are removed once the store has them.
    pub(crate) remove: bool,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The file, below the run's directory.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// The store's tag of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
    /// Set for one that was given up, because too much waited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dropped: bool,
}

/// The list, locked against other processes while it is open.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    pub(crate) header: Header,
    pub(crate) lines: BTreeMap<String, Line>,
}

impl Journal {
    /// Begins a list, in a directory that is made if need be.
    pub(crate) fn create(run: &Path, header: &Header) -> Result<Self> {
        fs::create_dir_all(run).map_err(|e| StoreError::io("make the directory", run, e))?;
        let path = run.join(NAME);
        let opened = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = opened.map_err(|e| StoreError::io("create", &path, e))?;
        lock_file(&file);
        let mut journal = Self {
            path,
            file,
            header: header.clone(),
            lines: BTreeMap::new(),
        };
        journal.append(header)?;
        Ok(journal)
    }

    /// Opens the list of a run that nobody uploads now; `None` when there is none.
    pub(crate) fn open(run: &Path) -> Result<Option<Self>> {
        let path = run.join(NAME);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| StoreError::io("read", &path, e))?,
        };
        check_unlocked(&path)?;
        let opened = OpenOptions::new().append(true).open(&path);
        let file = opened.map_err(|e| StoreError::io("open", &path, e))?;
        lock_file(&file);
        let (whole, torn) = text.rsplit_once('\n').unwrap_or(("", &text));
        let (header, lines) = parse(whole).map_err(|line| StoreError::Journal {
            path: path.clone(),
            line,
        })?;
        if !torn.is_empty() {
            let length = (text.len() - torn.len()) as u64;
            file.set_len(length)
                .map_err(|e| StoreError::io("write", &path, e))?;
        }
        Ok(Some(Self {
            path,
            file,
            header,
            lines,
        }))
    }

    /// Adds what became of a file.
    pub(crate) fn add(&mut self, line: Line) -> Result<()> {
        let written = self.append(&line);
        self.lines.insert(line.path.clone(), line);
        written
    }

    fn append(&mut self, value: &impl Serialize) -> Result<()> {
        let write = |file: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(value)?;
            line.push(b'\n');
            file.write_all(&line)
        };
        write(&mut self.file).map_err(|e| StoreError::io("write", &self.path, e))
    }

    /// Removes the list.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|e| StoreError::io("remove", &self.path, e))
    }
}

/// Takes the text apart; the number of the line that makes no sense, from 1.
fn parse(text: &str) -> Result<(Header, BTreeMap<String, Line>), usize> {
    let mut lines = text.lines();
    let header = lines
        .next()
        .and_then(|line| serde_json::from_str(line).ok())
        .ok_or(1_usize)?;
    let mut found = BTreeMap::new();
    for (at, line) in lines.enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|_| at + 2)?;
        found.insert(line.path.clone(), line);
    }
    Ok((header, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            url: "s3://b/run_id=x".to_owned(),
            remove: true,
        }
    }

    fn line(path: &str) -> Line {
        Line {
            path: path.to_owned(),
            bytes: 7,
            tag: Some("t".to_owned()),
            dropped: false,
        }
    }

    #[test]
    fn a_list_comes_back_and_a_cut_line_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::open(dir.path()).unwrap().is_none());
        let mut journal = Journal::create(dir.path(), &header()).unwrap();
        journal.add(line("steps/a")).unwrap();
        journal.add(line("steps/b")).unwrap();
        drop(journal);
        let path = dir.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut journal = Journal::open(dir.path()).unwrap().unwrap();
        assert_eq!(journal.header, header());
        assert_eq!(journal.lines.keys().collect::<Vec<_>>(), ["steps/a"]);
        journal.add(line("steps/b")).unwrap();
        drop(journal);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_list_in_use_is_refused_and_nonsense_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(dir.path(), &header()).unwrap();
        let text = Journal::open(dir.path()).unwrap_err().chain();
        assert!(text.contains("is still being written"), "{text}");
        drop(journal);
        let path = dir.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}nonsense\n")).unwrap();
        let text = Journal::open(dir.path()).unwrap_err().chain();
        assert!(text.contains("line 2"), "{text}");
    }
}
