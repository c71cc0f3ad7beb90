//! What a caller asks of the engine.

use kvlens_core::record::Text;
use std::sync::Arc;

/// One request: a prompt to be continued.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The caller's number for it, unique among live requests.
    pub id: u64,
    /// When it arrived, on the engine's clock.
    pub arrival_ns: u64,
    /// The tokens to continue.
    pub prompt: Prompt,
    /// How many tokens to generate at most; at least 1.
    pub max_tokens: u32,
    /// Lower runs earlier, under [`Policy::Priority`](crate::Policy::Priority).
    pub priority: u32,
    /// Anything besides the tokens that the KV depends on (adapter, salt): part of every block's hash.
    pub extra_key: u64,
    /// Generation ends when this token is sampled.
    pub stop_token: Option<u32>,
    /// The `request_id` of its row; the number where absent.
    pub name: Option<Text>,
}

impl Request {
    /// Makes a request of priority 0 that arrived at 0.
    pub fn new(id: u64, prompt: Prompt, max_tokens: u32) -> Self {
        Self {
            id,
            arrival_ns: 0,
            prompt,
            max_tokens,
            priority: 0,
            extra_key: 0,
            stop_token: None,
            name: None,
        }
    }

    /// Sets when it arrived, on the engine's clock.
    #[must_use]
    pub fn with_arrival_ns(mut self, arrival_ns: u64) -> Self {
        self.arrival_ns = arrival_ns;
        self
    }

    /// Sets the priority; lower runs earlier.
    #[must_use]
    pub fn with_priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets what the KV depends on besides the tokens.
    #[must_use]
    pub fn with_extra_key(mut self, extra_key: u64) -> Self {
        self.extra_key = extra_key;
        self
    }

    /// Sets the token that ends generation.
    #[must_use]
    pub fn with_stop_token(mut self, token: u32) -> Self {
        self.stop_token = Some(token);
        self
    }

    /// Sets the `request_id` of its row.
    #[must_use]
    pub fn with_name(mut self, name: Text) -> Self {
        self.name = Some(name);
        self
    }
}

/// The tokens of a prompt, whole or as a recipe.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// Token ids.
    Tokens(Arc<[u32]>),
    /// Spans whose tokens follow from their ids: a trace of many millions of tokens is never held in memory.
    Spans(Arc<[Span]>),
}

/// A run of tokens that is known by an id alone; equal ids give equal tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Names the content.
    pub id: u64,
    /// How many tokens; of two spans with one id the shorter is a prefix of the longer.
    pub len: u32,
}

impl Span {
    /// Makes a span.
    pub const fn new(id: u64, len: u32) -> Self {
        Self { id, len }
    }

    /// The token at an offset: a fixed mix of id and offset.
    #[inline]
    pub const fn token(self, offset: u32) -> u32 {
        Self::token_of(self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15), offset)
    }

    #[inline]
    const fn token_of(base: u64, offset: u32) -> u32 {
        let x = (base ^ offset as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        ((x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
    }

    fn read(self, from: u32, out: &mut [u32]) {
        let base = self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (offset, token) in (from..).zip(out) {
            *token = Self::token_of(base, offset);
        }
    }
}

impl Prompt {
    /// Takes token ids.
    pub fn tokens(tokens: impl Into<Arc<[u32]>>) -> Self {
        Self::Tokens(tokens.into())
    }

    /// Takes spans.
    pub fn spans(spans: impl Into<Arc<[Span]>>) -> Self {
        Self::Spans(spans.into())
    }

    /// Counts the tokens.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Spans(spans) => spans.iter().map(|span| span.len as usize).sum(),
        }
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the tokens from a position on; what lies past the end is left as it was.
    ///
    /// ```
    /// use kvlens_native::{Prompt, Span};
    /// let prompt = Prompt::spans([Span::new(7, 3), Span::new(8, 2)]);
    /// let mut tokens = [0; 3];
    /// prompt.read(2, &mut tokens);
    /// assert_eq!(tokens, [Span::new(7, 3).token(2), Span::new(8, 2).token(0), Span::new(8, 2).token(1)]);
    /// ```
    pub fn read(&self, from: usize, out: &mut [u32]) {
        match self {
            Self::Tokens(tokens) => {
                for (token, slot) in tokens.iter().skip(from).zip(out) {
                    *slot = *token;
                }
            }
            Self::Spans(spans) => read_spans(spans, from, out),
        }
    }
}

fn read_spans(spans: &[Span], mut from: usize, mut out: &mut [u32]) {
    for span in spans {
        let len = span.len as usize;
        if from >= len {
            from -= len;
            continue;
        }
        let take = (len - from).min(out.len());
        let (now, rest) = out.split_at_mut(take);
        // `from` is below a `u32` length here.
        span.read(u32::try_from(from).unwrap_or(u32::MAX), now);
        if rest.is_empty() {
            return;
        }
        out = rest;
        from = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_in_pieces_is_reading_whole() {
        let prompt = Prompt::spans([Span::new(1, 5), Span::new(2, 0), Span::new(3, 7)]);
        let mut whole = [0; 12];
        prompt.read(0, &mut whole);
        for (at, token) in whole.iter().enumerate() {
            let mut one = [0];
            prompt.read(at, &mut one);
            assert_eq!(one[0], *token, "position {at}");
        }
        assert_eq!(prompt.len(), 12);
    }

    #[test]
    fn past_the_end_nothing_is_written() {
        let mut out = [9; 3];
        Prompt::tokens([1, 2]).read(1, &mut out);
        assert_eq!(out, [2, 9, 9]);
        Prompt::spans([Span::new(1, 2)]).read(5, &mut out);
        assert_eq!(out, [2, 9, 9]);
    }

    #[test]
    fn a_shorter_span_is_a_prefix() {
        let read = |len| {
            let mut out = vec![0; len as usize];
            Prompt::spans([Span::new(4, len)]).read(0, &mut out);
            out
        };
        assert_eq!(read(9)[..5], read(5));
    }
}
