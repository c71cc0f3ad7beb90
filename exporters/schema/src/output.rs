//! A file that survives a full disk.

use crate::error::SchemaError;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Staged bytes are written out from this many on.
pub const STAGE_BYTES: usize = 256 * 1024;

/// A slice of at least this many bytes, handed over through [`Write`], goes to the file without being copied first.
pub const DIRECT_BYTES: usize = 16 * 1024;

/// A file under construction, with the bytes that are not in it yet.
///
/// Bytes are staged in memory and written out in large pieces. When the disk refuses a piece, the file is cut back to
/// the end of the piece before and the piece stays staged: nothing is written twice, and a later attempt goes on where
/// the last one failed. Whoever [stages](Self::staged) whole records therefore has a file of whole records at any time.
///
/// An exporter built on it calls [`ready`](Self::ready) before it accepts records: after a failure that is where the
/// error comes up, again and again until the disk takes the staged piece, so that an error always means "these records
/// were not accepted" and memory stays bounded.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    path: PathBuf,
    staged: Vec<u8>,
    /// Bytes of the file that are whole pieces.
    written: u64,
    /// Whether the file may hold bytes past `written`.
    torn: bool,
    /// Whether the last attempt to write out failed.
    failed: bool,
    rows: RowMarks,
}

/// Which rows of a file are whole in it.
#[derive(Debug, Default)]
struct RowMarks {
    written: u64,
    /// Where rows end that are not in the file yet, and how many they are.
    staged: VecDeque<(u64, u64)>,
}

impl RowMarks {
    /// Notes that the file holds all bytes up to a length.
    fn advance(&mut self, length: u64) {
        while let Some((end, rows)) = self.staged.front().copied() {
            if end > length {
                return;
            }
            self.staged.pop_front();
            self.written += rows;
        }
    }
}

impl OutputFile {
    /// Makes a new file.
    ///
    /// # Errors
    /// [`SchemaError::Exists`] when the path is taken, [`SchemaError::Io`] when the file can't be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, SchemaError> {
        let path = path.into();
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = opened.map_err(|e| SchemaError::io("create", &path, e))?;
        // A new file is locked by nobody; a file system without locks only loses the check of `check_unlocked`.
        let _ = try_lock(&file);
        Ok(Self {
            file,
            path,
            staged: Vec::new(),
            written: 0,
            torn: false,
            failed: false,
            rows: RowMarks::default(),
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes accepted: in the file or staged.
    pub fn len(&self) -> u64 {
        self.written + self.staged.len() as u64
    }

    /// Whether nothing was accepted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are not in the file yet: append records here.
    pub fn staged(&mut self) -> &mut Vec<u8> {
        &mut self.staged
    }

    /// Notes that so many rows end with the bytes accepted so far.
    pub fn mark_rows(&mut self, rows: u64) {
        self.rows.staged.push_back((self.len(), rows));
        self.rows.advance(self.written);
    }

    /// The [marked](Self::mark_rows) rows that are whole in the file, whatever is staged.
    pub fn rows_written(&self) -> u64 {
        self.rows.written
    }

    /// Tries again what failed last; does nothing when nothing did.
    ///
    /// # Errors
    /// [`SchemaError::Io`] when it fails again: don't stage more.
    pub fn ready(&mut self) -> Result<(), SchemaError> {
        if self.failed { self.write_out() } else { Ok(()) }
    }

    /// Writes out if enough is staged. A failure comes up in the next [`ready`](Self::ready) or
    /// [`write_out`](Self::write_out).
    pub fn settle(&mut self) {
        if self.staged.len() >= STAGE_BYTES {
            self.failed = self.write_out().is_err();
        }
    }

    /// Writes out everything staged.
    ///
    /// # Errors
    /// [`SchemaError::Io`] when the disk refuses; everything stays staged then.
    pub fn write_out(&mut self) -> Result<(), SchemaError> {
        let result = self.try_write_out();
        self.failed = result.is_err();
        result.map_err(|e| SchemaError::io("write", &self.path, e))
    }

    /// Writes out everything and makes it safe against a loss of power.
    ///
    /// # Errors
    /// [`SchemaError::Io`] when the disk refuses.
    pub fn sync(&mut self) -> Result<(), SchemaError> {
        self.write_out()?;
        self.file
            .sync_data()
            .map_err(|e| SchemaError::io("sync", &self.path, e))
    }

    fn try_write_out(&mut self) -> io::Result<()> {
        if self.torn {
            self.cut_back()?;
        }
        if self.staged.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.staged) {
            self.torn = true;
            // The first error is the one to tell; if this fails too, the next attempt begins with it.
            let _ = self.cut_back();
            return Err(error);
        }
        self.written += self.staged.len() as u64;
        self.staged.clear();
        self.rows.advance(self.written);
        Ok(())
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.written)?;
        self.file.seek(SeekFrom::Start(self.written))?;
        self.torn = false;
        Ok(())
    }
}

/// Accepts everything and never fails, so that a format's writer above it never stops in the middle of a record. Large
/// slices go to the file at once if they can; what the disk refuses is staged.
impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() < DIRECT_BYTES || self.failed || self.write_out().is_err() {
            self.staged.extend_from_slice(bytes);
        } else if self.file.write_all(bytes).is_ok() {
            self.written += bytes.len() as u64;
        } else {
            self.torn = true;
            self.failed = true;
            self.staged.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks that no living process writes a file: an [`OutputFile`] holds an advisory lock that dies with its process.
///
/// # Errors
/// [`SchemaError::Live`] if one does, [`SchemaError::Io`] when the file can't be opened. A file that is not there is
/// written by nobody.
pub fn check_unlocked(path: &Path) -> Result<(), SchemaError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|e| SchemaError::io("open", path, e))?,
    };
    match try_lock(&file) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SchemaError::Live {
            path: path.to_path_buf(),
        }),
        _ => Ok(()),
    }
}

/// Takes the advisory lock that [`check_unlocked`] looks for, if the file system has locks; it goes with the file's
/// handle.
pub fn lock_file(file: &File) {
    let _ = try_lock(file);
}

#[cfg(unix)]
fn try_lock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(
        file,
        rustix::fs::FlockOperation::NonBlockingLockExclusive,
    )?)
}

#[cfg(not(unix))]
fn try_lock(_: &File) -> io::Result<()> {
    Ok(())
}

/// Writes a small file whole: under another name first, then renamed over the old one.
///
/// # Errors
/// [`SchemaError::Io`] when the disk refuses; the old file is untouched then.
pub fn write_atomic(path: &Path, bytes: &[u8], sync: bool) -> Result<(), SchemaError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!("_{name}.tmp"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_data()?;
        }
        fs::rename(&draft, path)
    };
    let result = write().map_err(|e| SchemaError::io("write", path, e));
    if result.is_err() {
        // Best effort: a draft that stays is passed over by every reader.
        let _ = fs::remove_file(&draft);
    }
    result
}
