//! Which formats there are, and how one is told from another.

use std::fmt;
use std::str::FromStr;

/// A format of request traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceFormat {
    /// Mooncake's JSON lines: lengths and the ids of 512-token blocks.
    Mooncake,
    /// Azure's CSV: a time of day and two lengths.
    Azure,
    /// The JSON lines of this project: token ids, shared spans or lengths.
    Kvlens,
}

impl TraceFormat {
    /// Every format's name, for messages.
    pub const CHOICES: &'static str = "mooncake, azure, kvlens";

    /// Tells the format from a first line; `None` if it begins none that is known.
    ///
    /// The words that only one format has decide, so a line that is broken elsewhere is still recognised.
    ///
    /// ```
    /// use kvlens_native::trace::TraceFormat;
    /// let line = br#"{"timestamp": 0, "input_length": 3, "output_length": 1, "hash_ids": [7]}"#;
    /// assert_eq!(TraceFormat::recognise(line), Some(TraceFormat::Mooncake));
    /// assert_eq!(TraceFormat::recognise(b"TIMESTAMP,ContextTokens,GeneratedTokens"), Some(TraceFormat::Azure));
    /// assert_eq!(TraceFormat::recognise(br#"{"length": 9, "max_tokens": 4}"#), Some(TraceFormat::Kvlens));
    /// assert_eq!(TraceFormat::recognise(b"hello"), None);
    /// ```
    pub fn recognise(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        if line.starts_with(b"{") {
            let has = |key: &[u8]| contains(line, key);
            if has(b"\"hash_ids\"") || has(b"\"input_length\"") {
                return Some(Self::Mooncake);
            }
            let ours: [&[u8]; 4] = [b"\"max_tokens\"", b"\"tokens\"", b"\"spans\"", b"\"length\""];
            return ours.iter().any(|key| has(key)).then_some(Self::Kvlens);
        }
        let head = line.to_ascii_lowercase();
        contains(&head, b"contexttokens").then_some(Self::Azure)
    }
}

impl fmt::Display for TraceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mooncake => "mooncake",
            Self::Azure => "azure",
            Self::Kvlens => "kvlens",
        })
    }
}

/// A name that is no trace format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no trace format: choose one of {}", TraceFormat::CHOICES)]
pub struct UnknownTraceFormat {
    /// The name.
    pub found: String,
}

impl FromStr for TraceFormat {
    type Err = UnknownTraceFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "mooncake" => Ok(Self::Mooncake),
            "azure" => Ok(Self::Azure),
            "kvlens" => Ok(Self::Kvlens),
            _ => Err(UnknownTraceFormat {
                found: name.to_owned(),
            }),
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}
