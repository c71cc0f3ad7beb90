//! Making a killed run whole.
//!
//! Every step can be cut short and done again: what was found in the streams of part n goes into `part-n-tail.parquet`,
//! always the same file with the same rows, and a stream is removed only once its rows are in place. A stream's rows
//! are in a row group already, and the stream is stale, if the part's footer file knows that row group; a sealed part
//! without a footer file knows them all.

use crate::columns::choose;
use crate::encoding::Plan;
use crate::error::ParquetError;
use crate::journal::Journal;
use crate::names::Name;
use crate::options::ParquetOptions;
use crate::part::Part;
use crate::stream::salvage;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kvlens_core::record::Table;
use kvlens_schema::RunDir;
use kvlens_schema::output::check_unlocked;
use kvlens_schema::recovery::{Recovery, TableRecovery};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Turns everything that a killed run flushed into sealed parts, and says how many rows each table has.
///
/// Run it again and nothing changes. A run that is still being written is refused.
///
/// # Errors
/// [`ParquetError`] when a file can't be read or written; what was recovered before stays, and another call goes on.
pub fn recover(run: impl AsRef<Path>) -> Result<Recovery, ParquetError> {
    let run = RunDir::new(run.as_ref());
    let mut recovery = Recovery::default();
    for table in Table::ALL {
        let dir = run.table(table);
        if dir.is_dir() {
            recovery
                .tables
                .insert(table.name().to_owned(), recover_table(&dir)?);
        }
    }
    Ok(recovery)
}

fn recover_table(dir: &Path) -> Result<TableRecovery, ParquetError> {
    let names = list(dir)?;
    let mut result = TableRecovery::default();
    for name in &names {
        if matches!(name, Name::Open(_) | Name::Stream(..)) {
            check_unlocked(&name.path(dir))?;
        }
    }
    let open: BTreeSet<u32> = names.iter().filter_map(|name| open_part(*name)).collect();
    for name in &names {
        if let Name::Part(part) | Name::Tail(part) = name {
            // Parts that a recovery cut short made are counted as recovered, by the code that makes them again.
            if !(open.contains(part) && matches!(name, Name::Tail(_))) {
                result.sealed_rows += row_count(&name.path(dir))?;
            }
        }
    }
    let mut schema = None;
    for part in open {
        recover_part(dir, part, &names, &mut schema, &mut result)?;
    }
    if let Some(schema) = schema.filter(|_| result.rows() == 0) {
        keep_readable(dir, &schema)?;
    }
    remove_drafts(dir)?;
    Ok(result)
}

fn open_part(name: Name) -> Option<u32> {
    match name {
        Name::Open(part) | Name::Footer(part) | Name::Stream(part, _) => Some(part),
        Name::Part(_) | Name::Tail(_) | Name::Draft => None,
    }
}

fn recover_part(
    dir: &Path,
    part: u32,
    names: &[Name],
    schema: &mut Option<SchemaRef>,
    result: &mut TableRecovery,
) -> Result<(), ParquetError> {
    let journal = Journal::read(&Name::Footer(part).path(dir))?;
    let sealed = names.contains(&Name::Part(part));
    let known = match &journal {
        Some(journal) => journal.groups,
        None if sealed => u32::MAX,
        None => 0,
    };
    let streams = names.iter().filter_map(|name| match name {
        Name::Stream(of, group) if *of == part => Some(*group),
        _ => None,
    });
    let mut tail = Vec::new();
    for group in streams.clone() {
        let found = salvage(&Name::Stream(part, group).path(dir))?;
        *schema = found.schema.or(schema.take());
        if group >= known {
            result.torn_bytes += found.torn_bytes;
            tail.extend(found.batches);
        }
    }
    if let Some(schema) = schema.as_ref().filter(|_| !tail.is_empty()) {
        result.recovered_rows += write_part(dir, part, schema, &tail)?;
    }
    if !sealed {
        result.recovered_rows += seal(dir, part, journal.as_ref(), result)?;
    }
    for group in streams {
        remove(&Name::Stream(part, group).path(dir))?;
    }
    remove(&Name::Footer(part).path(dir))
}

/// Makes an open part readable up to its last whole row group.
fn seal(
    dir: &Path,
    part: u32,
    journal: Option<&Journal>,
    result: &mut TableRecovery,
) -> Result<u64, ParquetError> {
    let path = Name::Open(part).path(dir);
    let Ok(metadata) = fs::metadata(&path) else {
        return Ok(0);
    };
    let Some(journal) = journal else {
        result.torn_bytes += metadata.len();
        remove(&path)?;
        return Ok(0);
    };
    if metadata.len() < journal.length {
        let problem = "the part beside it is shorter than it says";
        return Err(ParquetError::Journal {
            path: Name::Footer(part).path(dir),
            problem,
        });
    }
    let complete = journal.length + journal.footer.len() as u64;
    result.torn_bytes += metadata.len().saturating_sub(complete);
    let append = || {
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(journal.length)?;
        file.write_all(&journal.footer)?;
        file.sync_data()
    };
    append().map_err(|e| ParquetError::io("write", &path, e))?;
    let sealed = Name::Part(part).path(dir);
    fs::rename(&path, &sealed).map_err(|e| ParquetError::io("rename", &path, e))?;
    Ok(journal.rows)
}

/// Writes rows as the tail of a part; says how many.
fn write_part(
    dir: &Path,
    part: u32,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<u64, ParquetError> {
    let options = ParquetOptions::default();
    // A draft in a directory of its own, so that its names can't meet those of the run.
    let draft = dir.join("__tail.tmp");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(|e| ParquetError::io("remove", &draft, e))?;
    }
    fs::create_dir(&draft).map_err(|e| ParquetError::io("make the directory", &draft, e))?;
    let plan: Plan = choose(schema, batches, &options, dir)?;
    let mut writer = Part::create(&draft, part, schema, &plan, &options)?;
    writer.append(batches, options.threads())?;
    writer.end_group(options.threads())?;
    writer.seal(true)?;
    let (from, to) = (Name::Part(part).path(&draft), Name::Tail(part).path(dir));
    fs::rename(&from, &to).map_err(|e| ParquetError::io("rename", &from, e))?;
    fs::remove_dir_all(&draft).map_err(|e| ParquetError::io("remove", &draft, e))?;
    Ok(writer.rows())
}

/// Gives a table without a single row one empty part, so that a reader's glob finds the columns.
fn keep_readable(dir: &Path, schema: &SchemaRef) -> Result<(), ParquetError> {
    if list(dir)?
        .iter()
        .any(|name| matches!(name, Name::Part(_) | Name::Tail(_)))
    {
        return Ok(());
    }
    write_part(dir, 0, schema, &[RecordBatch::new_empty(schema.clone())]).map(|_| ())
}

fn list(dir: &Path) -> Result<Vec<Name>, ParquetError> {
    let io = |e| ParquetError::io("list", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().to_str().and_then(Name::parse));
    }
    names.sort_unstable();
    Ok(names)
}

fn remove_drafts(dir: &Path) -> Result<(), ParquetError> {
    for entry in fs::read_dir(dir)
        .map_err(|e| ParquetError::io("list", dir, e))?
        .flatten()
    {
        if entry.file_name().to_str().and_then(Name::parse) == Some(Name::Draft) && entry.path().is_file() {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ParquetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ParquetError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// How many rows a sealed part has, by its footer.
///
/// # Errors
/// [`ParquetError`] when the file can't be read or is no Parquet file.
pub fn row_count(path: &Path) -> Result<u64, ParquetError> {
    let file = File::open(path).map_err(|e| ParquetError::io("read", path, e))?;
    let reader = SerializedFileReader::new(file).map_err(|source| ParquetError::Part {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}
