//! The reader: lines in, requests out.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::azure::Azure;
use super::entry::Entry;
use super::error::{LineFault, TraceError};
use super::lines::{LineEnd, Lines};
use super::number::excerpt;
use super::{TraceFormat, TraceOptions, mooncake, own};
use crate::request::Request;
use kvlens_core::record::Text;

/// Reads a trace one request at a time; memory stays that of one line however long the trace is.
///
/// An iterator: after a bad line it goes on with the next one, after a failed read it ends. A file without any request
/// is an error. A request that arrives before the one ahead of it counts as arriving with it, and
/// [`out_of_order`](Self::out_of_order) counts it.
///
/// ```
/// use kvlens_native::trace::{TraceOptions, TraceReader};
/// let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n";
/// let mut reader = TraceReader::new(text.as_bytes(), "azure.csv", TraceOptions::new());
/// let request = reader.next().unwrap()?;
/// assert_eq!((request.prompt.len(), request.max_tokens), (4808, 10));
/// # Ok::<(), kvlens_native::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct TraceReader<R> {
    lines: Lines<R>,
    file: String,
    options: TraceOptions,
    parser: Option<Parser>,
    requests: u64,
    last_arrival_ns: u64,
    out_of_order: u64,
    skipped: u64,
    first_skipped: Option<TraceError>,
    failed: bool,
    done: bool,
}

/// A format and what its parser keeps between lines.
#[derive(Debug)]
enum Parser {
    Mooncake,
    Azure(Box<Azure>),
    Own,
}

impl TraceReader<BufReader<File>> {
    /// Opens a trace file.
    ///
    /// # Errors
    /// [`TraceError::Open`] if the file can't be opened.
    pub fn open(path: impl AsRef<Path>, options: TraceOptions) -> Result<Self, TraceError> {
        const BUFFER: usize = 256 << 10;
        let file = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(input) => Ok(Self::new(BufReader::with_capacity(BUFFER, input), file, options)),
            Err(source) => Err(TraceError::Open { file, source }),
        }
    }
}

impl<R: BufRead> TraceReader<R> {
    /// Reads a trace from any input; `file` names it in errors.
    pub fn new(input: R, file: impl Into<String>, options: TraceOptions) -> Self {
        Self {
            lines: Lines::new(input, options.line_bytes.max(1)),
            file: file.into(),
            parser: options.format.map(Parser::new),
            options,
            requests: 0,
            last_arrival_ns: 0,
            out_of_order: 0,
            skipped: 0,
            first_skipped: None,
            failed: false,
            done: false,
        }
    }

    /// The format: forced, or recognised once the first request was read.
    pub fn format(&self) -> Option<TraceFormat> {
        self.parser.as_ref().map(Parser::format)
    }

    /// Requests read so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Lines passed over so far; 0 unless [`TraceOptions::skip_bad_lines`] is set.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What was wrong with the first line that was passed over.
    pub fn first_skipped(&self) -> Option<&TraceError> {
        self.first_skipped.as_ref()
    }

    /// Requests so far that arrived before the one ahead of them.
    pub fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// Reads on to the next request, error or end.
    fn read(&mut self) -> Option<Result<Request, TraceError>> {
        loop {
            let end = match self.lines.advance() {
                Ok(Some(end)) => end,
                Ok(None) => return self.end(),
                Err(source) => {
                    self.done = true;
                    let (file, line) = (self.file.clone(), self.lines.number());
                    return Some(Err(TraceError::Read { file, line, source }));
                }
            };
            match self.line(end) {
                Ok(Some(entry)) => return Some(Ok(self.request(entry))),
                Ok(None) => {}
                Err(error) if self.options.skip_bad_lines && self.may_skip(&error) => {
                    self.skipped += 1;
                    self.first_skipped.get_or_insert(error);
                }
                Err(error) => {
                    self.failed = true;
                    self.done = self.parser.is_none();
                    return Some(Err(error));
                }
            }
        }
    }

    /// A file in no known format shouldn't be passed over to its end before anyone is told.
    fn may_skip(&self, error: &TraceError) -> bool {
        const BEFORE_FORMAT: u64 = 16;
        !matches!(error, TraceError::UnknownFormat { .. }) || self.skipped < BEFORE_FORMAT
    }

    /// A file without a request is an error, unless an error was given already.
    fn end(&mut self) -> Option<Result<Request, TraceError>> {
        self.done = true;
        if self.requests > 0 || self.failed {
            return None;
        }
        let file = self.file.clone();
        Some(Err(self
            .first_skipped
            .take()
            .unwrap_or(TraceError::Empty { file })))
    }

    /// Reads the line that lies in the buffer; `None` for a header.
    fn line(&mut self, end: LineEnd) -> Result<Option<Entry>, TraceError> {
        let parser = match &mut self.parser {
            Some(parser) => parser,
            None => {
                let Some(format) = TraceFormat::recognise(self.lines.line()) else {
                    return Err(TraceError::UnknownFormat {
                        file: self.file.clone(),
                        line: self.lines.number(),
                        found: excerpt(&String::from_utf8_lossy(self.lines.line())),
                    });
                };
                self.parser.insert(Parser::new(format))
            }
        };
        let limit = self.options.line_bytes;
        let parsed = match end {
            LineEnd::TooLong => Err(LineFault::TooLong { limit }),
            LineEnd::Whole => parser.parse(self.lines.line(), self.requests, &self.options),
            LineEnd::Open => parser
                .parse(self.lines.line(), self.requests, &self.options)
                .map_err(|fault| LineFault::Cut {
                    source: Box::new(fault),
                }),
        };
        parsed.map_err(|source| TraceError::Line {
            file: self.file.clone(),
            line: self.lines.number(),
            source,
        })
    }

    fn request(&mut self, entry: Entry) -> Request {
        let id = self.requests;
        self.requests += 1;
        self.out_of_order += u64::from(entry.arrival_ns < self.last_arrival_ns);
        self.last_arrival_ns = self.last_arrival_ns.max(entry.arrival_ns);
        let request = Request::new(id, entry.prompt, entry.max_tokens)
            .with_arrival_ns(self.last_arrival_ns)
            .with_priority(entry.priority);
        match entry.name {
            Some(name) => request.with_name(Text::new(&name)),
            None => request,
        }
    }
}

impl<R: BufRead> Iterator for TraceReader<R> {
    type Item = Result<Request, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done { None } else { self.read() }
    }
}

impl Parser {
    fn new(format: TraceFormat) -> Self {
        match format {
            TraceFormat::Mooncake => Self::Mooncake,
            TraceFormat::Azure => Self::Azure(Box::new(Azure::new())),
            TraceFormat::Kvlens => Self::Own,
        }
    }

    fn format(&self) -> TraceFormat {
        match self {
            Self::Mooncake => TraceFormat::Mooncake,
            Self::Azure(_) => TraceFormat::Azure,
            Self::Own => TraceFormat::Kvlens,
        }
    }

    fn parse(&mut self, line: &[u8], index: u64, options: &TraceOptions) -> Result<Option<Entry>, LineFault> {
        match self {
            Self::Mooncake => mooncake::parse(line, options.block_tokens.get()).map(Some),
            Self::Azure(azure) => azure.parse(line, index),
            Self::Own => own::parse(line, index).map(Some),
        }
    }
}
