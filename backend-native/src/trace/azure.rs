//! Azure's CSV.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::entry::Entry;
use super::error::LineFault;
use super::number::{self, excerpt};

const TIMESTAMP: &str = "TIMESTAMP";
const CONTEXT: &str = "ContextTokens";
const GENERATED: &str = "GeneratedTokens";

/// Reads rows; keeps the header's order and the first time, from which arrivals count.
#[derive(Debug)]
pub(super) struct Azure {
    csv: csv_core::Reader,
    fields: Row,
    columns: Option<Columns>,
    first_ns: Option<i128>,
}

/// Where the three columns are.
#[derive(Debug, Clone, Copy)]
struct Columns {
    timestamp: usize,
    context: usize,
    generated: usize,
}

/// The published files' order, for a file whose header was cut off.
const PUBLISHED: Columns = Columns {
    timestamp: 0,
    context: 1,
    generated: 2,
};

impl Azure {
    pub(super) fn new() -> Self {
        Self {
            csv: csv_core::Reader::new(),
            fields: Row::default(),
            columns: None,
            first_ns: None,
        }
    }

    /// Reads one line; `None` for the header. `index` makes the prompt share nothing with others.
    pub(super) fn parse(&mut self, line: &[u8], index: u64) -> Result<Option<Entry>, LineFault> {
        self.fields.split(&mut self.csv, line);
        let columns = match self.columns {
            Some(columns) => columns,
            None => {
                let header = header(&self.fields)?;
                self.columns = Some(header.unwrap_or(PUBLISHED));
                if header.is_some() {
                    return Ok(None);
                }
                PUBLISHED
            }
        };
        let length = number::tokens(CONTEXT, self.fields.field(CONTEXT, columns.context)?)?;
        let max_tokens = number::tokens(GENERATED, self.fields.field(GENERATED, columns.generated)?)?;
        let time = date_time(self.fields.field(TIMESTAMP, columns.timestamp)?)?;
        let first = *self.first_ns.get_or_insert(time);
        Ok(Some(Entry {
            // A row earlier than the first one counts as simultaneous with it.
            arrival_ns: u64::try_from(time.saturating_sub(first)).unwrap_or(0),
            prompt: Entry::unshared(length, index),
            max_tokens,
            priority: 0,
            name: None,
        }))
    }
}

/// Finds the columns by name; `None` if the line is a row of numbers and not a header.
fn header(row: &Row) -> Result<Option<Columns>, LineFault> {
    if date_time(row.field(TIMESTAMP, 0)?).is_ok() {
        return Ok(None);
    }
    let find = |field: &'static str| {
        let at = row
            .iter()
            .position(|name| name.trim().eq_ignore_ascii_case(field));
        at.ok_or(LineFault::Column { field })
    };
    Ok(Some(Columns {
        timestamp: find(TIMESTAMP)?,
        context: find(CONTEXT)?,
        generated: find(GENERATED)?,
    }))
}

/// Reads a date and time to nanoseconds since 1970; one without an offset counts as UTC.
fn date_time(text: &str) -> Result<i128, LineFault> {
    let instant = text.parse::<jiff::Timestamp>().or_else(|_| {
        let local: DateTime = text.parse()?;
        TimeZone::UTC.to_timestamp(local)
    });
    let fault = |source| LineFault::DateTime {
        field: TIMESTAMP,
        found: excerpt(text),
        source,
    };
    instant.map(jiff::Timestamp::as_nanosecond).map_err(fault)
}

/// The fields of one row, in buffers that are used again.
#[derive(Debug, Default)]
struct Row {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    found: usize,
}

impl Row {
    /// Splits a line. A quote that isn't closed ends with its line, so that it can't swallow the file.
    fn split(&mut self, csv: &mut csv_core::Reader, line: &[u8]) {
        // A field can't be longer than the line, and there are at most as many fields as bytes, and one.
        self.bytes.resize(line.len().max(self.bytes.len()), 0);
        self.ends.resize((line.len() + 1).max(self.ends.len()), 0);
        csv.reset();
        let (result, _, written, ends) = csv.read_record(line, &mut self.bytes, &mut self.ends);
        self.found = ends;
        if result == csv_core::ReadRecordResult::InputEmpty {
            // An empty input tells the parser that the record ends here.
            let (bytes, ends) = (self.bytes.get_mut(written..), self.ends.get_mut(ends..));
            let (_, _, _, last) = csv.read_record(&[], bytes.unwrap_or_default(), ends.unwrap_or_default());
            self.found += last;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().take(self.found);
        starts.zip(ends).map(|(start, end)| {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            std::str::from_utf8(bytes).unwrap_or("�").trim()
        })
    }

    fn field(&self, field: &'static str, at: usize) -> Result<&str, LineFault> {
        self.iter().nth(at).ok_or(LineFault::Fields {
            field,
            wanted: at + 1,
            found: self.found,
        })
    }
}
