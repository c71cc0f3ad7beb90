//! The numbers that the C functions return.
//!
//! A number is never given another meaning; one that is no longer used stays here as a comment.

/// What a C function returns: one of `KVLENS_OK` and so on; a caller treats an unknown number as an error.
pub type KvlensResult = u32;

/// It worked.
pub const KVLENS_OK: KvlensResult = 7000;
/// A pointer that must not be NULL is.
pub const KVLENS_NULL_POINTER: KvlensResult = 7001;
/// A struct's size, or the size of an array, can't be right.
pub const KVLENS_BAD_SIZE: KvlensResult = 7002;
/// A value can't be right, such as an unknown kind of metric.
pub const KVLENS_BAD_VALUE: KvlensResult = 7003;
/// Text is not UTF-8.
pub const KVLENS_BAD_TEXT: KvlensResult = 7004;
/// The configuration can't be used.
pub const KVLENS_BAD_CONFIG: KvlensResult = 7005;
/// The destination can't be written.
pub const KVLENS_OUTPUT: KvlensResult = 7006;
/// The collector was not started yet.
pub const KVLENS_NOT_STARTED: KvlensResult = 7007;
/// The collector was started already.
pub const KVLENS_ALREADY_STARTED: KvlensResult = 7008;
/// The collector was closed.
pub const KVLENS_CLOSED: KvlensResult = 7009;
/// The collector belongs to another process: this one was forked from it. Open a new one.
pub const KVLENS_FORKED: KvlensResult = 7010;
/// Another thread is pushing into the same collector; nothing was taken.
pub const KVLENS_BUSY: KvlensResult = 7011;
/// A defect of this library: a panic was caught, and the collector takes nothing more. What it had is written at close.
pub const KVLENS_PANIC: KvlensResult = 7012;
/// It did not finish in the time given.
pub const KVLENS_TIMEOUT: KvlensResult = 7013;
/// The caller's buffer is too small; how much is needed was written.
pub const KVLENS_BUFFER_TOO_SMALL: KvlensResult = 7014;
/// No metric of that kind was declared with that number.
pub const KVLENS_UNKNOWN_METRIC: KvlensResult = 7015;
/// There is no room for more.
pub const KVLENS_LIMIT: KvlensResult = 7016;
/// The system refused, such as a new thread.
pub const KVLENS_SYSTEM: KvlensResult = 7017;

/// The name of a number, for messages.
pub(crate) fn name(code: KvlensResult) -> &'static str {
    match code {
        KVLENS_OK => "ok",
        KVLENS_NULL_POINTER => "null pointer",
        KVLENS_BAD_SIZE => "bad size",
        KVLENS_BAD_VALUE => "bad value",
        KVLENS_BAD_TEXT => "text is not UTF-8",
        KVLENS_BAD_CONFIG => "bad configuration",
        KVLENS_OUTPUT => "the destination can't be written",
        KVLENS_NOT_STARTED => "not started; call kvlens_start first",
        KVLENS_ALREADY_STARTED => "started already",
        KVLENS_CLOSED => "closed already",
        KVLENS_FORKED => {
            "this process was forked from the one that opened the collector; open a new one here"
        }
        KVLENS_BUSY => "another thread is pushing",
        KVLENS_PANIC => "a panic was caught; the collector takes nothing more",
        KVLENS_TIMEOUT => "not finished in time",
        KVLENS_BUFFER_TOO_SMALL => "buffer too small",
        KVLENS_UNKNOWN_METRIC => "unknown metric",
        KVLENS_LIMIT => "no room for more",
        KVLENS_SYSTEM => "the system refused",
        _ => "unknown code",
    }
}

/// A code, and a sentence where there is more to say.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: KvlensResult,
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn code(code: KvlensResult) -> Self {
        Self { code, message: None }
    }

    pub(crate) fn new(code: KvlensResult, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
        }
    }

    pub(crate) fn text(&self) -> String {
        self.message.clone().unwrap_or_else(|| name(self.code).to_owned())
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        use kvlens_core::Error as Core;
        let code = match &error {
            crate::Error::Output { .. } | crate::Error::Core(Core::Export { .. }) => KVLENS_OUTPUT,
            crate::Error::TooManyMetrics { .. } => KVLENS_LIMIT,
            crate::Error::UnknownMetric { .. } => KVLENS_UNKNOWN_METRIC,
            crate::Error::Core(
                Core::MetricName { .. } | Core::MetricConflict { .. } | Core::MetricKind { .. },
            ) => KVLENS_BAD_VALUE,
            crate::Error::Core(Core::Thread { .. }) => KVLENS_SYSTEM,
            _ => KVLENS_BAD_CONFIG,
        };
        Self::new(code, error.chain())
    }
}

impl From<kvlens_core::Error> for Failure {
    fn from(error: kvlens_core::Error) -> Self {
        crate::Error::from(error).into()
    }
}
