//! CSV tables.

mod column;
mod decoder;
mod head;

use super::Scan;
use super::unit::{Each, Read};
use crate::error::DamageCause;
use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::Path;

pub(crate) use decoder::Decoder;
pub(crate) use head::Head;

/// A file is read in pieces of this many bytes.
const PIECE: u64 = 65_536;

/// Reads a file; of one whose last line may be `torn`, the whole lines.
pub(super) fn read(path: &Path, torn: bool, scan: &Scan<'_>, each: &mut Each<'_>) -> Read {
    let (mut file, mut decoder) = match open(path, torn, scan) {
        Ok(opened) => opened,
        Err(cause) => return Ok(Err(cause)),
    };
    let mut piece = Vec::new();
    loop {
        piece.clear();
        match file.by_ref().take(PIECE).read_to_end(&mut piece) {
            Ok(0) => return decoder.finish(each),
            Ok(_) => {}
            Err(error) => return Ok(Err(error.into())),
        }
        if let Err(cause) = decoder.feed(&piece, each)? {
            return Ok(Err(cause));
        }
    }
}

fn open(path: &Path, torn: bool, scan: &Scan<'_>) -> Result<(io::Take<File>, Decoder), DamageCause> {
    let mut file = File::open(path)?;
    let size = if torn {
        whole_lines(&mut file)?
    } else {
        file.metadata()?.len()
    };
    file.seek(SeekFrom::Start(0))?;
    let head = Head::read(file.by_ref().take(size), scan)?;
    file.seek(SeekFrom::Start(0))?;
    let decoder = Decoder::new(head, |column| scan.wants(column));
    Ok((file.take(size), decoder))
}

/// The bytes up to the last line's end.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(start))?;
        let mut piece = Vec::new();
        file.by_ref().take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
