//! What can be wrong with a trace, and with one line of it.

use std::io;

/// What can go wrong while a trace is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file could not be opened.
    #[error("could not open the trace `{file}`")]
    Open {
        /// The file's path.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be read further.
    #[error("could not read the trace `{file}` after line {line}")]
    Read {
        /// The file's path.
        file: String,
        /// The last line that was read.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not a request.
    #[error("{file}, line {line}")]
    Line {
        /// The file's path.
        file: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: LineFault,
    },
    /// The first line belongs to no format that is known.
    #[error(
        "{file}, line {line}: `{found}` begins no known trace format; known are {known}: name one with `--trace-format` to force it",
        known = super::TraceFormat::CHOICES
    )]
    UnknownFormat {
        /// The file's path.
        file: String,
        /// The line's number, from 1.
        line: u64,
        /// The beginning of the line.
        found: String,
    },
    /// The file holds no request.
    #[error("the trace `{file}` holds no request: check that it was written or copied whole")]
    Empty {
        /// The file's path.
        file: String,
    },
}

/// What is wrong with one line of a trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// The line is not the JSON object that the format asks for.
    #[error("not the JSON object that the format asks for: {}", JsonReason(.cause))]
    Json {
        /// The parser's word. Not a `source`: its text counts lines from this one, which would mislead.
        cause: serde_json::Error,
    },
    /// The file ends in this line, before its end.
    #[error("the file ends in the middle of this line: copy the trace again, or skip bad lines")]
    Cut {
        /// What the parser made of the rest.
        #[source]
        source: Box<LineFault>,
    },
    /// The line is too long to be a request.
    #[error("longer than {limit} bytes: check that the file is a trace with one request a line")]
    TooLong {
        /// The most that is read of one line.
        limit: usize,
    },
    /// A field that the format needs is absent or null.
    #[error("`{field}` is missing: every request needs it")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field holds something else than the number that the format asks for.
    #[error("`{field}` is {found}: it must be {wanted}")]
    Number {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        wanted: &'static str,
    },
    /// A time of day can't be read.
    #[error("`{field}` is `{found}`: it must be a date and time such as 2023-11-16 18:17:03.9799600")]
    DateTime {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        found: String,
        /// Why it can't be read.
        #[source]
        source: jiff::Error,
    },
    /// The number of blocks doesn't fit the prompt's length.
    #[error(
        "`input_length` is {input_length} tokens, which are {expected} blocks of {block_tokens}, but `hash_ids` names \
         {found}: correct one of them, or set the block size that the trace was made with"
    )]
    Blocks {
        /// The prompt's length in tokens.
        input_length: u32,
        /// Tokens of a whole block.
        block_tokens: u32,
        /// The number of blocks that the length asks for.
        expected: u64,
        /// The number of ids given.
        found: usize,
    },
    /// The row has fewer fields than the header names.
    #[error("the row has {found} fields, but `{field}` is field {wanted}: complete the row or remove it")]
    Fields {
        /// The column looked for.
        field: &'static str,
        /// Its place, from 1.
        wanted: usize,
        /// The number of fields in the row.
        found: usize,
    },
    /// The header lacks a column.
    #[error(
        "the header lacks the column `{field}`: it must name TIMESTAMP, ContextTokens and GeneratedTokens"
    )]
    Column {
        /// The column's name.
        field: &'static str,
    },
    /// None or several of the fields that exclude each other are given.
    #[error("{found} of {choices} are given: give exactly one")]
    OneOf {
        /// How many are given.
        found: usize,
        /// The fields' names.
        choices: &'static str,
    },
    /// The prompt's spans add up to more tokens than a request can have.
    #[error("the spans add up to {found} tokens: a prompt has at most 4294967295")]
    PromptTooLong {
        /// The sum.
        found: u64,
    },
    /// A span's id is in the range kept for prompts that share nothing.
    #[error(
        "span id {found} is too large: ids go up to {max}, larger ones are kept for prompts that share nothing"
    )]
    SpanId {
        /// The id.
        found: u64,
        /// The largest that is free to use.
        max: u64,
    },
}

/// Prints a JSON error with its column and without its line, which is always 1 here.
struct JsonReason<'a>(&'a serde_json::Error);

impl std::fmt::Display for JsonReason<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(reason, _)| reason);
        match self.0.column() {
            0 => f.write_str(reason),
            column => write!(f, "{reason} at column {column}"),
        }
    }
}
