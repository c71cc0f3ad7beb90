//! Record batches for the program that embeds us.

use crate::error::ArrowExportError;
use arrow_array::RecordBatch;
use kvlens_core::record::Table;
use kvlens_core::run::{RunEnd, RunSchema};
use kvlens_core::{Batch, Error, Exporter, Result};
use kvlens_schema::TableBuilder;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};

type Sender = SyncSender<(Table, RecordBatch)>;

/// Makes an exporter whose record batches come out of the other end, up to `bound` waiting.
///
/// When the queue is full the exporter waits: its thread, never the engine's. The collector then merges samples and
/// counts what it has to drop, as it does for any slow exporter. A bound of 0 hands each batch over directly.
pub fn channel(bound: usize) -> (ChannelExporter, Batches) {
    let (sender, receiver) = sync_channel(bound);
    let exporter = ChannelExporter {
        state: State::New(sender),
    };
    (exporter, Batches { receiver })
}

/// The sending end: see [`channel`].
///
/// Batches are sent when [`CHUNK_ROWS`](kvlens_schema::table::CHUNK_ROWS) rows are together, and at every flush.
#[derive(Debug)]
#[must_use = "an exporter does nothing until a collector drives it"]
pub struct ChannelExporter {
    state: State,
}

#[derive(Debug)]
enum State {
    New(Sender),
    Begun(Sender, Vec<TableBuilder>),
    Finished,
}

impl ChannelExporter {
    /// The exporter's name.
    pub const NAME: &str = "arrow-channel";

    fn begun(&mut self) -> Result<(&Sender, &mut Vec<TableBuilder>)> {
        let exporter = Self::NAME.to_owned();
        match &mut self.state {
            State::New(_) => Err(Error::NotBegun { exporter }),
            State::Begun(sender, builders) => Ok((sender, builders)),
            State::Finished => Err(Error::Finished { exporter }),
        }
    }
}

fn send(sender: &Sender, builder: &mut TableBuilder) -> Result<()> {
    let failed = |error: ArrowExportError| Error::export(ChannelExporter::NAME, error);
    let batch = builder.finish().map_err(|e| failed(e.into()))?;
    sender
        .send((builder.table(), batch))
        .map_err(|_| failed(ArrowExportError::Disconnected))
}

impl Exporter for ChannelExporter {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::New(sender) => {
                let builders = schema
                    .run
                    .tables
                    .iter()
                    .map(|table| TableBuilder::new(schema, table));
                self.state = State::Begun(sender, builders.collect());
                Ok(())
            }
            other => {
                self.state = other;
                Err(Error::Finished {
                    exporter: Self::NAME.to_owned(),
                })
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let (sender, builders) = self.begun()?;
        let Some(builder) = builders
            .iter_mut()
            .find(|builder| builder.table() == batch.table())
        else {
            return Ok(());
        };
        let mut at = 0;
        while at < batch.len() {
            at += builder.append(batch, at);
            if builder.is_full() {
                send(sender, builder)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let (sender, builders) = self.begun()?;
        builders
            .iter_mut()
            .filter(|builder| !builder.is_empty())
            .try_for_each(|builder| send(sender, builder))
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        let result = self.flush();
        if matches!(self.state, State::Begun(..)) {
            self.state = State::Finished;
        }
        result
    }
}

/// The receiving end: see [`channel`]. As an iterator it ends when the run does.
#[derive(Debug)]
pub struct Batches {
    receiver: Receiver<(Table, RecordBatch)>,
}

impl Batches {
    /// Waits for the next batch.
    ///
    /// # Errors
    /// [`RecvError`] when the run has ended and every batch was taken.
    pub fn recv(&self) -> Result<(Table, RecordBatch), RecvError> {
        self.receiver.recv()
    }

    /// Takes the next batch if there is one.
    ///
    /// # Errors
    /// [`TryRecvError`] when there is none now, or none will come.
    pub fn try_recv(&self) -> Result<(Table, RecordBatch), TryRecvError> {
        self.receiver.try_recv()
    }
}

impl Iterator for Batches {
    type Item = (Table, RecordBatch);

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.recv().ok()
    }
}
