//! Request traces: what was asked of an engine, read from files.
//!
//! | format | one line | what prompts share |
//! |---|---|---|
//! | [`Mooncake`](TraceFormat::Mooncake) | JSON: arrival in ms, two lengths, `hash_ids` | blocks of 512 tokens with equal ids |
//! | [`Azure`](TraceFormat::Azure) | CSV: date and time, two lengths | nothing |
//! | [`Kvlens`](TraceFormat::Kvlens) | JSON: token ids, spans or a length, see [`TraceReader`] | equal token ids or span ids |
//!
//! The format is recognised from the first line, or forced. Blank lines, a byte-order mark and CRLF line ends are fine.
//! A line that is no request is an error that names file, line, reason and remedy; or it is skipped and counted.
//! `docs/traces.md` describes the formats in full.

mod azure;
mod entry;
mod error;
mod format;
mod json;
mod lines;
mod mooncake;
mod number;
mod options;
mod own;
mod reader;

pub use error::{LineFault, TraceError};
pub use format::{TraceFormat, UnknownTraceFormat};
pub use options::TraceOptions;
pub use reader::TraceReader;
