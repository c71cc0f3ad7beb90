//! A caller of the C functions, as odd as can be while it keeps the header's promises about memory.

use arbitrary::Arbitrary;

/// A call, with what it is given.
#[derive(Debug, Clone, Arbitrary)]
pub(super) enum Call {
    Declare {
        name: Name,
        kind: u8,
        unit: u8,
        help: String,
    },
    Start,
    Step(Step),
    Requests(Rows<Request>),
    Blocks(Rows<Block>),
    Anomalies(u64),
    Gauge(u32, f64),
    Counter(u32, u64),
    Histogram {
        metric: u32,
        values: Array<u64>,
    },
    Page {
        text: Page,
        origin: u32,
        baseline: bool,
    },
    Pull(Pull),
    Snapshot(Buffer),
    Summary(Buffer),
    LastError(u8),
    Flush,
    /// Waits for a sample or two.
    Pause,
    Close,
    /// Everything with NULL for the collector.
    Nowhere,
}

/// A metric's name: often a good one.
#[derive(Debug, Clone, Arbitrary)]
pub(super) enum Name {
    Good(u8),
    Standard,
    Any(String),
    NotText(Vec<u8>),
    Null,
}

/// What is registered to be called before samples.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Pull {
    Nothing,
    Pushes,
    TakesItselfAway,
}

/// An output buffer.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Buffer {
    Null,
    Small(u8),
    Enough,
}

/// A pointer with a count.
#[derive(Debug, Clone, Arbitrary)]
pub(super) enum Array<T> {
    /// As many as there are.
    Whole(Vec<T>),
    /// NULL, whatever the count says.
    Null(u64),
    /// Not aligned: refused before it is read.
    Crooked(Vec<T>),
    /// More than any caller could have: refused before it is read.
    Huge(u64),
}

/// The size that a struct says it has, and the bytes that are there.
#[derive(Debug, Clone, Arbitrary)]
pub(super) struct Step {
    pub(super) size: Size,
    pub(super) bytes: Vec<u8>,
    pub(super) first: Array<f64>,
    pub(super) between: Array<f64>,
    pub(super) known_all: bool,
}

/// A struct's size.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Size {
    /// This version's.
    Now,
    /// That of an older or a newer version.
    Other(u8),
    /// Nonsense.
    Any(u32),
    NullPointer,
}

/// An array of structs.
#[derive(Debug, Clone, Arbitrary)]
pub(super) struct Rows<T> {
    pub(super) size: Size,
    pub(super) each: Vec<T>,
    pub(super) count: Count,
    /// The size that the last row says it has is another.
    pub(super) odd_one: Option<u32>,
}

/// How many rows the caller says there are.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Count {
    True,
    None,
    Huge(u64),
}

/// A finished request, as bytes after its head.
#[derive(Debug, Clone, Arbitrary)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
}

/// A block's life.
#[derive(Debug, Clone, Arbitrary)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) gaps: Array<f64>,
}

/// A metrics page: lines of vLLM's names with odd values, or any text.
#[derive(Debug, Clone, Arbitrary)]
pub(super) enum Page {
    Lines(Vec<(u8, f64)>),
    Any(String),
}

impl Page {
    pub(super) fn text(&self) -> String {
        const NAMES: [&str; 8] = [
            "vllm:generation_tokens_total{engine=\"0\"}",
            "vllm:prompt_tokens_total{engine=\"0\"}",
            "vllm:num_requests_running{engine=\"0\"}",
            "vllm:kv_cache_usage_perc{engine=\"0\"}",
            "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.1\"}",
            "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\"}",
            "vllm:time_to_first_token_seconds_sum{engine=\"0\"}",
            "process_start_time_seconds",
        ];
        match self {
            Self::Any(text) => text.clone(),
            Self::Lines(lines) => lines
                .iter()
                .filter_map(|(name, value)| Some((NAMES.get(usize::from(*name) % NAMES.len())?, value)))
                .fold(String::new(), |page, (name, value)| {
                    page + &format!("{name} {value}\n")
                }),
        }
    }
}
