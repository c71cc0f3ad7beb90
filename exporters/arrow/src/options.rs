//! How files are written.

/// Options of an [`ArrowExporter`](crate::ArrowExporter).
///
/// ```
/// use kvlens_arrow::ArrowOptions;
/// assert!(ArrowOptions::default().with_fsync(true).fsync());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArrowOptions {
    fsync: bool,
}

impl ArrowOptions {
    /// Sets whether a flush also survives a loss of power. Default: off, it survives the process.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Whether a flush survives a loss of power.
    pub fn fsync(self) -> bool {
        self.fsync
    }
}
