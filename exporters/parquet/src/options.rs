//! How parts are cut and encoded.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Options of a [`ParquetExporter`](crate::ParquetExporter).
///
/// ```
/// use kvlens_parquet::ParquetOptions;
/// let options = ParquetOptions::default().with_threads(2).with_part_rows(100_000);
/// assert_eq!(options.row_group_rows(), ParquetOptions::ROW_GROUP_ROWS.min(100_000));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetOptions {
    threads: NonZeroUsize,
    row_group_rows: usize,
    part_rows: usize,
    part_time: Duration,
    zstd_level: i32,
    fsync: bool,
}

impl ParquetOptions {
    /// Rows of a row group: what waits in memory, per table, is at most this.
    pub const ROW_GROUP_ROWS: usize = 131_072;
    /// A row group ends at this memory, however few its rows.
    pub const ROW_GROUP_BYTES: usize = 40 << 20;
    /// A row group of samples ends at this memory: with histograms they take kilobytes each, and encoding them takes as much
    /// again.
    pub const SAMPLE_GROUP_BYTES: usize = 12 << 20;
    /// Row groups of a part, at most: the footer is written anew after each of them, and tells of all before.
    pub const PART_GROUPS: u32 = 64;
    /// Rows of a part.
    pub const PART_ROWS: usize = 1_048_576;
    /// A part is sealed at this age, however few its rows.
    pub const PART_TIME: Duration = Duration::from_secs(600);
    /// The zstd level of columns that gain from it.
    pub const ZSTD_LEVEL: i32 = 1;
    /// Threads that encode columns.
    pub const THREADS: NonZeroUsize = NonZeroUsize::MIN;

    /// Sets how many threads encode columns; 0 counts as 1. Default: [`THREADS`](Self::THREADS).
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = NonZeroUsize::new(threads).unwrap_or(Self::THREADS);
        self
    }

    /// Sets the rows of a row group, at least 1. Default: [`ROW_GROUP_ROWS`](Self::ROW_GROUP_ROWS).
    #[must_use]
    pub fn with_row_group_rows(mut self, rows: usize) -> Self {
        self.row_group_rows = rows.max(1);
        self
    }

    /// Sets the rows of a part, at least 1. Default: [`PART_ROWS`](Self::PART_ROWS).
    #[must_use]
    pub fn with_part_rows(mut self, rows: usize) -> Self {
        self.part_rows = rows.max(1);
        self
    }

    /// Sets the age at which a part is sealed. Default: [`PART_TIME`](Self::PART_TIME).
    #[must_use]
    pub fn with_part_time(mut self, age: Duration) -> Self {
        self.part_time = age;
        self
    }

    /// Sets the zstd level, moved into 1 to 22. Default: [`ZSTD_LEVEL`](Self::ZSTD_LEVEL).
    #[must_use]
    pub fn with_zstd_level(mut self, level: i32) -> Self {
        self.zstd_level = level.clamp(1, 22);
        self
    }

    /// Sets whether a flush and a seal also survive a loss of power. Default: off, they survive the process.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// How many threads encode columns.
    pub fn threads(&self) -> usize {
        self.threads.get()
    }

    /// Rows of a row group; never more than of a part.
    pub fn row_group_rows(&self) -> usize {
        self.row_group_rows.min(self.part_rows)
    }

    /// Rows of a part.
    pub fn part_rows(&self) -> usize {
        self.part_rows
    }

    /// The age at which a part is sealed.
    pub fn part_time(&self) -> Duration {
        self.part_time
    }

    /// The zstd level.
    pub fn zstd_level(&self) -> i32 {
        self.zstd_level
    }

    /// Whether a flush survives a loss of power.
    pub fn fsync(&self) -> bool {
        self.fsync
    }
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            threads: Self::THREADS,
            row_group_rows: Self::ROW_GROUP_ROWS,
            part_rows: Self::PART_ROWS,
            part_time: Self::PART_TIME,
            zstd_level: Self::ZSTD_LEVEL,
            fsync: false,
        }
    }
}
