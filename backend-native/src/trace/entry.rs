//! One line of a trace, whatever its format.

use crate::request::{Prompt, Span};

/// What every format's parser makes of a line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) arrival_ns: u64,
    pub(super) prompt: Prompt,
    pub(super) max_tokens: u32,
    pub(super) priority: u32,
    pub(super) name: Option<String>,
}

impl Entry {
    /// Span ids from here on are kept for prompts that share nothing.
    pub(super) const FIRST_UNSHARED_ID: u64 = 1 << 63;

    /// A prompt that shares nothing with any other; `index` is the request's number.
    pub(super) fn unshared(len: u32, index: u64) -> Prompt {
        let id = Self::FIRST_UNSHARED_ID | index;
        Prompt::spans([Span::new(id, len)])
    }
}
