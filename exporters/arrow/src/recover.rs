//! Completing the files of a killed run.

use crate::error::ArrowExportError;
use crate::file::{IpcFile, ipc};
use crate::writer::EXTENSION;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;
use kvlens_core::record::Table;
use kvlens_schema::output::check_unlocked;
use kvlens_schema::recovery::{Recovery, TableRecovery, guarded};
use kvlens_schema::stream::Messages;
use kvlens_schema::{RunDir, SchemaError};
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What an IPC file begins with: the magic, then zeros up to the writer's alignment, then a stream.
const HEAD_BYTES: usize = 64;

/// The first byte of every message of a stream.
const CONTINUATION: u8 = 0xff;

/// Turns every open file of a killed run into a complete one, up to the last whole record batch, and says how many rows
/// each table has.
///
/// Run it again and nothing changes. A run that is still being written is refused.
///
/// # Errors
/// [`ArrowExportError`] when a file can't be read or written; the open file stays then.
pub fn recover(run: impl AsRef<Path>) -> Result<Recovery, ArrowExportError> {
    let run = RunDir::new(run.as_ref());
    let mut recovery = Recovery::default();
    for table in Table::ALL {
        let (open, sealed) = (run.open_file(table, EXTENSION), run.file(table, EXTENSION));
        let found = if open.is_file() {
            complete(&open, &sealed)?
        } else if sealed.is_file() {
            TableRecovery {
                sealed_rows: count(&sealed)?,
                ..TableRecovery::default()
            }
        } else {
            continue;
        };
        recovery.tables.insert(table.name().to_owned(), found);
    }
    Ok(recovery)
}

/// Copies the whole record batches of an open file into a complete one, and removes the open one.
fn complete(open: &Path, sealed: &Path) -> Result<TableRecovery, ArrowExportError> {
    let io = |action, path| move |e| SchemaError::io(action, path, e);
    check_unlocked(open)?;
    let mut result = TableRecovery::default();
    let mut file = File::open(open).map_err(io("read", open))?;
    let size = file.metadata().map_err(io("read", open))?.len();
    result.torn_bytes = size;
    seek_stream(&mut file).map_err(io("read", open))?;
    let messages = Messages::new(file).map_err(io("read", open))?;
    // A file without a whole schema stays: it holds nothing that we could read, and is not ours to throw away.
    let Some(Ok(mut reader)) = guarded(|| StreamReader::try_new(BufReader::new(messages), None)) else {
        return Ok(result);
    };
    let draft = sealed.with_extension("arrow.tmp");
    remove(&draft)?;
    let mut writer = IpcFile::create(draft, &reader.schema())?;
    loop {
        let whole = reader.get_mut().stream_position().map_err(io("read", open))?;
        result.torn_bytes = size.saturating_sub(whole);
        let Some(Some(Ok(batch))) = guarded(|| reader.next()) else {
            break;
        };
        result.recovered_rows += batch.num_rows() as u64;
        writer.append(&batch)?;
    }
    writer.seal(sealed, true)?;
    remove(open)?;
    Ok(result)
}

/// Moves to the first message.
fn seek_stream(file: &mut File) -> std::io::Result<()> {
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES as u64 + 1).read_to_end(&mut head)?;
    let start = head
        .iter()
        .position(|byte| *byte == CONTINUATION)
        .unwrap_or(head.len());
    file.seek(SeekFrom::Start(start as u64)).map(|_| ())
}

fn remove(path: &Path) -> Result<(), ArrowExportError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SchemaError::io("remove", path, error).into())
        }
        _ => Ok(()),
    }
}

/// Rows of a complete file, read as the stream that it is: its footer's lengths are not believed.
fn count(path: &Path) -> Result<u64, ArrowExportError> {
    let io = |e| SchemaError::io("read", path, e);
    let mut file = File::open(path).map_err(io)?;
    seek_stream(&mut file).map_err(io)?;
    let messages = Messages::new(file).map_err(io)?;
    let rows = guarded(|| {
        let mut reader = StreamReader::try_new(BufReader::new(messages), None).map_err(ipc(path))?;
        reader.try_fold(0, |rows, batch| {
            Ok(rows + batch.map_err(ipc(path))?.num_rows() as u64)
        })
    });
    rows.unwrap_or_else(|| {
        let nonsense = ArrowError::ParseError("its bytes make no sense".to_owned());
        Err(ipc(path)(nonsense))
    })
}
