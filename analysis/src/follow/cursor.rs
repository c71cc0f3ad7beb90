//! How far the Parquet parts of a table were read.
//!
//! Rows keep their order while they move from a stream into a row group of the open part, and with it into a sealed
//! part. So a part, a row group of it and a row of that say where to go on, wherever the rows lie by then.

use super::tail::Ipc;
use crate::error::{Damage, Result};
use crate::run::{Part, PartKind};
use crate::scan::{Scan, Unit};
use arrow_array::RecordBatch;

/// Takes batches.
pub(super) type Each<'a> = dyn FnMut(&RecordBatch) -> Result<()> + 'a;

/// The next row to be read.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    part: u32,
    group: u32,
    row: u64,
    /// Whether it is in the tail that a recovery made of the part's streams.
    tail: bool,
    /// The stream of the row group, while it is one.
    stream: Option<Stream>,
}

/// The stream of a row group that is not written yet.
#[derive(Debug)]
struct Stream {
    part: u32,
    group: u32,
    ipc: Ipc,
    /// Rows to pass over: those that were read before the stream was opened.
    skip: u64,
}

/// What is there of the part that is read.
enum Here<'a> {
    Sealed(&'a Part),
    Open(Option<&'a Part>, Option<&'a Part>),
    Later(u32),
    Nothing,
}

impl Cursor {
    /// Hands over the rows after the last ones that were.
    pub(super) fn read(
        &mut self,
        parts: &[Part],
        scan: &Scan<'_>,
        each: &mut Each<'_>,
    ) -> Result<Vec<Damage>> {
        let mut damage = Vec::new();
        loop {
            match self.here(parts) {
                Here::Sealed(part) => {
                    if !self.groups(part, scan, each, &mut damage)? {
                        return Ok(damage);
                    }
                    // What a recovery made of the part's streams comes after the part.
                    let has_tail = parts
                        .iter()
                        .any(|part| part.number() == Some(self.part) && part.is_tail());
                    if has_tail && !self.tail && !part.is_tail() {
                        self.go_to(self.part, 0);
                        self.tail = true;
                    } else {
                        self.go_to(self.part + 1, 0);
                        self.tail = false;
                    }
                }
                Here::Open(open, stream) => {
                    let whole = match open {
                        Some(open) => self.groups(open, scan, each, &mut damage)?,
                        None => true,
                    };
                    // A stream that came after the row groups were read belongs to a later one.
                    if let Some(stream) = stream.filter(|stream| whole && stream.group() == Some(self.group))
                    {
                        damage.extend(self.stream(stream, scan, each)?);
                    }
                    return Ok(damage);
                }
                Here::Later(part) => self.go_to(part, 0),
                Here::Nothing => return Ok(damage),
            }
        }
    }

    fn here<'a>(&self, parts: &'a [Part]) -> Here<'a> {
        let mut of_part = parts.iter().filter(|part| part.number() == Some(self.part));
        let sealed = |tail| {
            let mut parts = of_part.clone();
            parts.find(|part| part.kind == PartKind::Parquet && part.is_tail() == tail)
        };
        if let Some(sealed) = sealed(self.tail).or_else(|| sealed(true)) {
            return Here::Sealed(sealed);
        }
        let open = of_part
            .clone()
            .find(|part| matches!(part.kind, PartKind::OpenParquet(..)));
        let group = match open.map(|part| &part.kind) {
            Some(PartKind::OpenParquet(_, known)) => self.group.max(*known),
            _ => self.group,
        };
        let stream = of_part.find(|part| part.group() == Some(group));
        if open.is_some() || stream.is_some() {
            return Here::Open(open, stream);
        }
        let later = parts
            .iter()
            .filter_map(Part::number)
            .filter(|number| *number > self.part)
            .min();
        later.map_or(Here::Nothing, Here::Later)
    }

    fn go_to(&mut self, part: u32, group: u32) {
        (self.part, self.group, self.row) = (part, group, 0);
        self.stream = None;
    }

    /// Reads the row groups from here on; false where the part was replaced meanwhile.
    fn groups(
        &mut self,
        part: &Part,
        scan: &Scan<'_>,
        each: &mut Each<'_>,
        damage: &mut Vec<Damage>,
    ) -> Result<bool> {
        if matches!(part.kind, PartKind::OpenParquet(_, known) if known <= self.group) {
            return Ok(true);
        }
        let units = match Unit::of(part) {
            Ok(units) => units,
            Err(found) => {
                let gone = found.is_gone();
                damage.extend((!gone).then_some(found));
                return Ok(!gone);
            }
        };
        for unit in units.iter().skip(self.group as usize) {
            let mut skip = self.row;
            let read = unit.read(scan, &mut |batch| after(batch, &mut skip, each))?;
            match read {
                Err(found) if found.is_gone() => return Ok(false),
                read => damage.extend(read.err()),
            }
            self.go_to(self.part, self.group + 1);
        }
        Ok(true)
    }

    /// Reads the new bytes of a stream.
    fn stream(&mut self, part: &Part, scan: &Scan<'_>, each: &mut Each<'_>) -> Result<Option<Damage>> {
        let here = (self.part, self.group);
        let known = self
            .stream
            .take()
            .filter(|stream| (stream.part, stream.group) == here);
        let mut stream = match known {
            Some(stream) => stream,
            None => match Ipc::open(&part.path) {
                Ok(ipc) => Stream {
                    part: self.part,
                    group: self.group,
                    ipc,
                    skip: self.row,
                },
                Err(cause) => {
                    return Ok(Some(Damage::of(&part.path, cause)).filter(|damage| !damage.is_gone()));
                }
            },
        };
        let (row, skip) = (&mut self.row, &mut stream.skip);
        let read = stream.ipc.read(scan, &mut |batch| {
            let before = *skip;
            let taken = after(batch, skip, each);
            *row += batch.num_rows() as u64 - (before - *skip);
            taken
        })?;
        self.stream = Some(stream);
        Ok(read.err().map(|cause| Damage::of(&part.path, cause)))
    }
}

/// Hands over what comes after the rows to skip.
fn after(batch: &RecordBatch, skip: &mut u64, each: &mut Each<'_>) -> Result<()> {
    let rows = batch.num_rows();
    let passed = usize::try_from(*skip).unwrap_or(rows).min(rows);
    *skip -= passed as u64;
    if passed == rows {
        return Ok(());
    }
    each(&batch.slice(passed, rows - passed))
}
