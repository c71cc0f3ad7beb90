//! How a trace is read.

use super::TraceFormat;

/// Settings of a [`TraceReader`](super::TraceReader).
///
/// ```
/// use kvlens_native::trace::{TraceFormat, TraceOptions};
/// let options = TraceOptions::new().with_format(TraceFormat::Azure).with_skip_bad_lines(true);
/// assert_eq!(options.format, Some(TraceFormat::Azure));
/// assert_eq!(options.block_tokens.get(), 512);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceOptions {
    /// The format; `None` recognises it from the first line.
    pub format: Option<TraceFormat>,
    /// Passes over lines that are no requests and counts them, where an error is the default.
    pub skip_bad_lines: bool,
    /// Tokens that one hash id of a Mooncake trace stands for: [`Self::DEFAULT_BLOCK_TOKENS`] if not set.
    pub block_tokens: std::num::NonZeroU32,
    /// The longest line that is read, in bytes: [`Self::DEFAULT_LINE_BYTES`] if not set.
    pub line_bytes: usize,
}

impl TraceOptions {
    /// Tokens of a block in the published Mooncake traces.
    pub const DEFAULT_BLOCK_TOKENS: std::num::NonZeroU32 = std::num::NonZeroU32::new(512).unwrap();

    /// The longest line read unless set otherwise: 64 MiB, a prompt of some eight million token ids.
    pub const DEFAULT_LINE_BYTES: usize = 64 << 20;

    /// Makes the default settings.
    pub const fn new() -> Self {
        Self {
            format: None,
            skip_bad_lines: false,
            block_tokens: Self::DEFAULT_BLOCK_TOKENS,
            line_bytes: Self::DEFAULT_LINE_BYTES,
        }
    }

    /// Forces a format.
    #[must_use]
    pub fn with_format(mut self, format: TraceFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Passes over bad lines, or not.
    #[must_use]
    pub fn with_skip_bad_lines(mut self, skip: bool) -> Self {
        self.skip_bad_lines = skip;
        self
    }

    /// Sets the tokens that one hash id of a Mooncake trace stands for.
    #[must_use]
    pub fn with_block_tokens(mut self, tokens: std::num::NonZeroU32) -> Self {
        self.block_tokens = tokens;
        self
    }

    /// Sets the longest line that is read.
    #[must_use]
    pub fn with_line_bytes(mut self, bytes: usize) -> Self {
        self.line_bytes = bytes;
        self
    }
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self::new()
    }
}
