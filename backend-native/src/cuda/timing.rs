//! Step times by events that are read later, never by waiting.

use std::{collections::VecDeque, time::Duration};

use cudarc::driver::{CudaEvent, sys::CUevent_flags};

use super::{
    context::Gpu,
    error::{Context as _, Result},
};

/// Times spans of the engine's stream. A span's time comes out once the GPU has passed its end.
#[derive(Debug, Default)]
pub struct SpanTimer {
    open: Option<CudaEvent>,
    closed: VecDeque<(u64, CudaEvent, CudaEvent)>,
    spare: Vec<CudaEvent>,
}

impl SpanTimer {
    /// Spans that may be unread; the oldest is dropped for a new one.
    pub const MAX_UNREAD: usize = 64;

    /// Marks the start of a span.
    ///
    /// # Errors
    /// The driver's.
    pub fn start(&mut self, gpu: &Gpu) -> Result<()> {
        self.open = Some(self.mark(gpu)?);
        Ok(())
    }

    /// Marks the end of the span and names it, as with the number of its step.
    ///
    /// # Errors
    /// The driver's.
    pub fn stop(&mut self, gpu: &Gpu, name: u64) -> Result<()> {
        let Some(start) = self.open.take() else {
            return Ok(());
        };
        let end = self.mark(gpu)?;
        if self.closed.len() == Self::MAX_UNREAD
            && let Some((_, a, b)) = self.closed.pop_front()
        {
            self.spare.extend([a, b]);
        }
        self.closed.push_back((name, start, end));
        Ok(())
    }

    /// Returns the oldest span that is over, if there is one. Never waits.
    ///
    /// # Errors
    /// The driver's.
    pub fn take(&mut self) -> Result<Option<(u64, Duration)>> {
        let Some((_, _, end)) = self.closed.front() else {
            return Ok(None);
        };
        if !end.try_is_complete().during("polling an event")? {
            return Ok(None);
        }
        let Some((name, start, end)) = self.closed.pop_front() else {
            return Ok(None);
        };
        let milliseconds = start.elapsed_ms(&end).during("reading an event")?;
        self.spare.extend([start, end]);
        Ok(Some((
            name,
            Duration::from_secs_f64(f64::from(milliseconds).max(0.0) / 1e3),
        )))
    }

    fn mark(&mut self, gpu: &Gpu) -> Result<CudaEvent> {
        let event = match self.spare.pop() {
            Some(event) => event,
            None => gpu
                .context()
                .new_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
                .during("making an event")?,
        };
        event.record(gpu.stream()).during("recording an event")?;
        Ok(event)
    }
}
