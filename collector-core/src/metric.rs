//! What a metric is: a name, a kind, a unit and a sentence.

use std::borrow::Cow;
use std::fmt;

/// How a metric's values combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A total since the start of the run; never goes backwards.
    Counter,
    /// A value now.
    Gauge,
    /// A distribution of integers over one sampling interval.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Tokens.
    Tokens,
    /// KV-cache blocks.
    Blocks,
    /// Requests.
    Requests,
    /// Engine steps (iterations).
    Steps,
    /// A share between 0 and 1.
    Ratio,
    /// Millijoules.
    Millijoules,
    /// Milliwatts.
    Milliwatts,
    /// Megahertz.
    Megahertz,
    /// Degrees Celsius.
    Celsius,
    /// Events, or anything else that is counted.
    Count,
    /// A name, a number without a unit, an identifier.
    None,
}

impl Unit {
    /// The unit's symbol, as in the Unified Code for Units of Measure (what OpenTelemetry uses).
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Bytes => "By",
            Self::Tokens => "{token}",
            Self::Blocks => "{block}",
            Self::Requests => "{request}",
            Self::Steps => "{step}",
            Self::Ratio => "1",
            Self::Millijoules => "mJ",
            Self::Milliwatts => "mW",
            Self::Megahertz => "MHz",
            Self::Celsius => "Cel",
            Self::Count => "{count}",
            Self::None => "",
        }
    }

    /// Whether values are whole numbers, and stored as such.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::Ratio | Self::None)
    }
}

/// What other systems call the same metric; `None` where they have nothing that means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OtherNames {
    /// vLLM's V0 engine, without the `vllm:` prefix.
    pub vllm_v0: Option<&'static str>,
    /// vLLM's V1 engine, without the `vllm:` prefix.
    pub vllm_v1: Option<&'static str>,
    /// SGLang, without the `sglang:` prefix.
    pub sglang: Option<&'static str>,
    /// OpenTelemetry's GenAI semantic conventions.
    pub otel: Option<&'static str>,
}

/// Describes one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricDesc {
    /// The column's name, with the unit as suffix where there is one.
    pub name: Cow<'static, str>,
    /// How values combine.
    pub kind: Kind,
    /// What the number counts.
    pub unit: Unit,
    /// One sentence that says what is counted, and when.
    pub help: Cow<'static, str>,
    /// What other systems call it.
    pub names: OtherNames,
}

impl MetricDesc {
    /// Describes a metric known at compile time.
    ///
    /// ```
    /// use kvlens_core::{Kind, MetricDesc, Unit};
    /// static DRAFTS: MetricDesc =
    ///     MetricDesc::new("my_engine_drafts", Kind::Counter, Unit::Count, "Draft sequences proposed.");
    /// assert!(DRAFTS.check_name().is_ok());
    /// ```
    pub const fn new(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Self {
        let names = OtherNames {
            vllm_v0: None,
            vllm_v1: None,
            sglang: None,
            otel: None,
        };
        Self {
            name: Cow::Borrowed(name),
            kind,
            unit,
            help: Cow::Borrowed(help),
            names,
        }
    }

    /// Describes a metric whose name is known only at run time.
    pub fn owned(name: impl Into<String>, kind: Kind, unit: Unit, help: impl Into<String>) -> Self {
        let (name, help) = (Cow::Owned(name.into()), Cow::Owned(help.into()));
        Self {
            name,
            kind,
            unit,
            help,
            names: OtherNames::default(),
        }
    }

    /// Adds what other systems call it.
    #[must_use]
    pub const fn with_names(mut self, names: OtherNames) -> Self {
        self.names = names;
        self
    }

    /// Checks that the name can be a column's: lower-case letters, digits and `_`, a letter first.
    ///
    /// # Errors
    /// [`Error::MetricName`](crate::Error::MetricName) if it can't.
    pub fn check_name(&self) -> crate::Result<()> {
        let mut bytes = self.name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        if first && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Ok(());
        }
        Err(crate::Error::MetricName {
            name: self.name.to_string(),
        })
    }
}
