//! Arrow IPC: files, streams, and streams that end anywhere.

use super::Scan;
use super::unit::{Each, Read};
use crate::error::DamageCause;
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use kvlens_schema::stream::Messages;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek, SeekFrom};
use std::path::Path;

/// How an IPC file, rather than a stream, begins.
const FILE_MAGIC: &[u8] = b"ARROW1";
/// How every message begins.
const CONTINUATION: u8 = 0xff;
/// The magic and its padding, at most, and a byte of the first message.
const LONGEST_HEAD: u64 = 65;

/// Reads a file or a stream; of one that may be `torn`, what comes before the tear.
pub(super) fn read(path: &Path, torn: bool, scan: &Scan<'_>, each: &mut Each<'_>) -> Read {
    let is_file = match begins_as_file(path) {
        Ok(is_file) => is_file,
        Err(cause) => return Ok(Err(cause)),
    };
    // Its footer, of which all lengths would have to be believed, says nothing that the stream before it does not.
    if is_file && !torn && !ends_as_file(path).unwrap_or(false) {
        let cause = ArrowError::ParseError("it ends without the footer of an Arrow file".to_owned());
        return Ok(Err(cause.into()));
    }
    let messages = match after_magic(path, is_file) {
        Ok(messages) => messages,
        Err(cause) => return Ok(Err(cause.into())),
    };
    match StreamReader::try_new(BufReader::new(messages), None) {
        Ok(reader) => batches(reader, torn, scan, each),
        // Not even the schema was flushed: no rows.
        Err(_) if torn => Ok(Ok(())),
        Err(cause) => Ok(Err(cause.into())),
    }
}

/// The columns; of a stream that ends before they are told, none.
pub(super) fn schema(path: &Path) -> Result<Option<SchemaRef>, DamageCause> {
    let messages = after_magic(path, begins_as_file(path)?)?;
    let reader = StreamReader::try_new(BufReader::new(messages), None);
    Ok(reader.ok().map(|reader| reader.schema()))
}

fn begins_as_file(path: &Path) -> Result<bool, DamageCause> {
    let mut head = Vec::new();
    File::open(path)?
        .take(FILE_MAGIC.len() as u64)
        .read_to_end(&mut head)?;
    Ok(head == FILE_MAGIC)
}

fn ends_as_file(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut tail = Vec::new();
    let before = file.metadata()?.len().saturating_sub(FILE_MAGIC.len() as u64);
    file.seek(SeekFrom::Start(before))?;
    file.read_to_end(&mut tail)?;
    Ok(tail == FILE_MAGIC)
}

/// A file without its footer is a stream behind its magic, which is padded up to the first message.
fn after_magic(path: &Path, is_file: bool) -> io::Result<Messages> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    if is_file {
        file.by_ref().take(LONGEST_HEAD).read_to_end(&mut head)?;
    }
    let start = head.iter().position(|byte| *byte == CONTINUATION);
    file.seek(SeekFrom::Start(start.unwrap_or(head.len()) as u64))?;
    Messages::new(file)
}

fn batches(
    reader: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    torn: bool,
    scan: &Scan<'_>,
    each: &mut Each<'_>,
) -> Read {
    for batch in reader {
        match batch {
            Ok(batch) => match project(&batch, scan) {
                Ok(batch) => each(&batch)?,
                Err(cause) => return Ok(Err(cause.into())),
            },
            Err(_) if torn => return Ok(Ok(())),
            Err(cause) => return Ok(Err(cause.into())),
        }
    }
    Ok(Ok(()))
}

/// Keeps the columns that are wanted.
pub(crate) fn project(batch: &RecordBatch, scan: &Scan<'_>) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema_ref();
    let wanted = |(at, name): (usize, &String)| scan.wants(name).then_some(at);
    let places: Vec<_> = names(schema).enumerate().filter_map(wanted).collect();
    batch.project(&places)
}

fn names(schema: &Schema) -> impl Iterator<Item = &String> {
    schema.fields().iter().map(|field| field.name())
}
