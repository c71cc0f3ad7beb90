//! Taking away the line that a kill cut through.

use crate::error::CsvError;
use kvlens_core::record::Table;
use kvlens_schema::output::check_unlocked;
use kvlens_schema::recovery::{Recovery, TableRecovery};
use kvlens_schema::{RunDir, SchemaError};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Cuts each file of a killed run back to its last whole line, and says how many rows it has.
///
/// Run it again and nothing changes. A run that is still being written is refused.
///
/// # Errors
/// [`CsvError`] when a file can't be read or cut.
pub fn recover(run: impl AsRef<Path>) -> Result<Recovery, CsvError> {
    let run = RunDir::new(run.as_ref());
    let mut recovery = Recovery::default();
    for table in Table::ALL {
        let path = run.file(table, "csv");
        if path.is_file() {
            recovery
                .tables
                .insert(table.name().to_owned(), recover_file(&path)?);
        }
    }
    Ok(recovery)
}

fn recover_file(path: &Path) -> Result<TableRecovery, CsvError> {
    check_unlocked(path)?;
    let io = |action| move |e| SchemaError::io(action, path, e);
    let found = scan(File::open(path).map_err(io("read"))?).map_err(io("read"))?;
    if found.size > found.whole {
        let file = OpenOptions::new().write(true).open(path).map_err(io("open"))?;
        file.set_len(found.whole).map_err(io("cut"))?;
        file.sync_all().map_err(io("sync"))?;
    }
    Ok(TableRecovery {
        // The header is a line too.
        sealed_rows: found.lines.saturating_sub(1),
        recovered_rows: 0,
        torn_bytes: found.size - found.whole,
    })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    lines: u64,
    /// Bytes up to the end of the last line.
    whole: u64,
    size: u64,
}

/// Counts lines; a line feed within quotes ends none.
fn scan(mut file: impl Read) -> io::Result<Scan> {
    let mut buffer = vec![0; 1 << 18];
    let mut scan = Scan::default();
    let mut quoted = false;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(scan);
        }
        let bytes = &buffer[..read];
        for at in memchr::memchr2_iter(b'"', b'\n', bytes) {
            if bytes[at] == b'"' {
                quoted = !quoted;
            } else if !quoted {
                scan.lines += 1;
                scan.whole = scan.size + at as u64 + 1;
            }
        }
        scan.size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_outside_quotes() {
        let text = "a,b\n\"x\ny\",1\n\"say \"\"\n\"\"\",2\ntorn,\"";
        let found = scan(text.as_bytes()).unwrap();
        assert_eq!((found.lines, found.whole), (3, text.len() as u64 - 6));
    }
}
