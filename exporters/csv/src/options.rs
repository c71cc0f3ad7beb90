//! How values are written.

/// How points in time are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Timestamps {
    /// UTC in RFC 3339 with nine digits of the second.
    #[default]
    Rfc3339,
    /// Integer nanoseconds since 1970.
    Nanoseconds,
}

/// Options of a [`CsvExporter`](crate::CsvExporter).
///
/// ```
/// use kvlens_csv::{CsvOptions, Timestamps};
/// let options = CsvOptions::default().with_timestamps(Timestamps::Nanoseconds);
/// assert_eq!(options.timestamps(), Timestamps::Nanoseconds);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CsvOptions {
    timestamps: Timestamps,
    fsync: bool,
}

impl CsvOptions {
    /// Sets how points in time are written. Default: [`Timestamps::Rfc3339`].
    #[must_use]
    pub fn with_timestamps(mut self, timestamps: Timestamps) -> Self {
        self.timestamps = timestamps;
        self
    }

    /// Sets whether a flush also survives a loss of power. Default: off, it survives the process.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// How points in time are written.
    pub fn timestamps(self) -> Timestamps {
        self.timestamps
    }

    /// Whether a flush survives a loss of power.
    pub fn fsync(self) -> bool {
        self.fsync
    }
}
