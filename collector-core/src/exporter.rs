//! The trait that a destination implements.

use crate::error::Result;
use crate::record::{Batch, Table};
use crate::run::{RunEnd, RunSchema};

/// Writes a run somewhere.
///
/// # Contract
/// - Calls come in this order: `begin` once, then any number of `write` and `flush`, then `finish` once. A call out of
///   order is [`Error::NotBegun`](crate::Error::NotBegun) or [`Error::Finished`](crate::Error::Finished).
/// - `write` takes batches of any table in any order; a table that the run does not record never comes.
/// - After `flush` returns, everything written so far survives the death of the process.
/// - After `finish` returns, the destination is complete and readable. `finish` may be called after a failed `write`; it
///   then saves what it can.
/// - Dropping without `finish` is an unclean end: nothing flushed may be lost.
/// - An exporter may block: it runs on a thread of its own. It must not panic; one that does is stopped and reported, and
///   the other exporters go on.
///
/// # Examples
/// ```
/// use kvlens_core::{Batch, Exporter, Result, RunSchema, run::RunEnd};
///
/// #[derive(Debug, Default)]
/// struct Count(usize);
///
/// impl Exporter for Count {
///     fn name(&self) -> &str { "count" }
///     fn begin(&mut self, _schema: &RunSchema) -> Result<()> { Ok(()) }
///     fn write(&mut self, batch: &Batch) -> Result<()> { self.0 += batch.len(); Ok(()) }
///     fn flush(&mut self) -> Result<()> { Ok(()) }
///     fn finish(&mut self, _end: &RunEnd) -> Result<()> { Ok(()) }
/// }
/// ```
pub trait Exporter: std::fmt::Debug + Send {
    /// The exporter's name, for messages.
    fn name(&self) -> &str;

    /// Starts a run.
    ///
    /// # Errors
    /// [`Error::Export`](crate::Error::Export) when the destination can't be written.
    fn begin(&mut self, schema: &RunSchema) -> Result<()>;

    /// Writes records.
    ///
    /// # Errors
    /// [`Error::Export`](crate::Error::Export) when the destination can't be written.
    fn write(&mut self, batch: &Batch) -> Result<()>;

    /// Makes everything written so far safe against the death of the process.
    ///
    /// # Errors
    /// [`Error::Export`](crate::Error::Export) when the destination can't be written.
    fn flush(&mut self) -> Result<()>;

    /// Ends the run: the destination is complete afterwards.
    ///
    /// # Errors
    /// [`Error::Export`](crate::Error::Export) when the destination can't be written.
    fn finish(&mut self, end: &RunEnd) -> Result<()>;

    /// Rows of a table that `write` accepted and that did not reach the destination after all: what was still in memory
    /// when the disk was full.
    ///
    /// Asked once, after `finish`; a recovery must find all other rows that were accepted. An exporter that holds nothing
    /// back has none.
    fn unwritten(&self, _table: Table) -> u64 {
        0
    }
}

macro_rules! forward {
    ($($target:ty),*) => { $(
        #[deny(clippy::missing_trait_methods)]
        impl<E: Exporter + ?Sized> Exporter for $target {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn begin(&mut self, schema: &RunSchema) -> Result<()> {
                (**self).begin(schema)
            }

            fn write(&mut self, batch: &Batch) -> Result<()> {
                (**self).write(batch)
            }

            fn flush(&mut self) -> Result<()> {
                (**self).flush()
            }

            fn finish(&mut self, end: &RunEnd) -> Result<()> {
                (**self).finish(end)
            }

            fn unwritten(&self, table: Table) -> u64 {
                (**self).unwritten(table)
            }
        }
    )* };
}

forward!(Box<E>, &mut E);
