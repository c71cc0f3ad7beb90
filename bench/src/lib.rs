//! Benchmarks of `kvlens-core` beside its peers.
//!
//! A [`Row`] is one thing measured. The rows are listed once, in [`record`], [`channel`] and [`snapshot`], and run by two
//! drivers: Criterion (`cargo bench -p kvlens-bench`), which keeps a history, and the command `ratios`
//! (`cargo run --release -p kvlens-bench`), which runs all rows in turn, many times, so that a neighbour's noise
//! hits all of them alike, and prints ratios. Peers need `--features peers`.

pub mod channel;
pub mod record;
pub mod snapshot;
pub mod values;

pub use values::Values;

use core_affinity::CoreId;
use std::sync::OnceLock;
use std::time::Duration;

/// Runs once over the values, and says how long the part that counts took.
pub type Op = Box<dyn FnMut(&Values) -> Duration + Send>;

/// One thing measured.
pub struct Row {
    /// What it is.
    pub name: String,
    /// How many operations one run does.
    pub per_run: usize,
    /// Whether two threads can do it to the same object.
    pub shared: bool,
    /// Makes the operation, once per thread; all operations of a shared row work on one object.
    pub make: Box<dyn Fn() -> Op>,
    /// Runs between measurements, such as a peer's own upkeep.
    pub upkeep: Option<Box<dyn Fn()>>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Row {
    /// Describes a row that one thread runs.
    pub fn new(name: impl Into<String>, per_run: usize, make: impl Fn() -> Op + 'static) -> Self {
        Self {
            name: name.into(),
            per_run,
            shared: false,
            make: Box::new(make),
            upkeep: None,
        }
    }

    /// Lets two threads run it, too.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Adds upkeep.
    #[must_use]
    pub fn with_upkeep(mut self, upkeep: impl Fn() + 'static) -> Self {
        self.upkeep = Some(Box::new(upkeep));
        self
    }
}

/// Binds the calling thread to a core, counted from the last one; where that can't be done, it stays free.
pub fn pin(from_last: usize) {
    // Asked once, because the answer holds only the cores that the caller is bound to.
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    let cores = CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default());
    if let Some(core) = cores.iter().rev().nth(from_last) {
        core_affinity::set_for_current(*core);
    }
}
