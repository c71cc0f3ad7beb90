//! Batches that exporters are done with, for their memory.

use crate::record::Batch;
use std::collections::VecDeque;
use std::sync::Arc;

/// Batches that are kept per table; what is handed over while all of them are in use gets memory of its own.
const KEPT: usize = 4;

/// Batches that were handed over: once no exporter holds one any more, its memory is used again, since fresh memory costs
/// more than copying rows into it.
#[derive(Debug, Default)]
pub(super) struct Spares(VecDeque<Arc<Batch>>);

impl Spares {
    /// Keeps a batch that was handed over.
    pub(super) fn keep(&mut self, batch: Arc<Batch>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(batch);
    }

    /// Takes the oldest batch, if it is done with.
    pub(super) fn reuse(&mut self) -> Option<Batch> {
        let batch = self.0.pop_front()?;
        Arc::try_unwrap(batch)
            .map_err(|batch| self.0.push_front(batch))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_used_again_only_when_no_one_holds_it() {
        let mut spares = Spares::default();
        let batch = Arc::new(Batch::Samples(Vec::with_capacity(7)));
        spares.keep(batch.clone());
        assert!(spares.reuse().is_none());
        drop(batch);
        assert!(matches!(spares.reuse(), Some(Batch::Samples(rows)) if rows.capacity() == 7));
        assert!(spares.reuse().is_none());
    }
}
