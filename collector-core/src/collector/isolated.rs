//! A source on a thread of its own, so that it may hang.

use super::problems::panic_message;
use crate::error::{Error, Result};
use crate::histogram::{FixedHistogram, SparseHistogram};
use crate::metric::MetricDesc;
use crate::record::{AccessRow, BlockRow, RequestRow, StepRow};
use crate::run::SourceInfo;
use crate::source::{MetricId, Reading, Sink, StatsSource};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// Wraps a source that may hang: it is called on a thread of its own, and left behind when it does not answer in time.
///
/// What a late answer held is handed over with the next call, so a source that hung for a while loses nothing. A panic
/// of the source becomes [`Error::Panicked`]; the source is called again next time.
#[derive(Debug)]
pub struct Isolated {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    timeout: Duration,
    calls: SyncSender<Call>,
    answers: Receiver<Answer>,
    /// A call that was not answered in time is still out.
    waiting: bool,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Sample,
    Drain,
}

#[derive(Debug)]
struct Answer {
    taken: Captured,
    result: Result<()>,
}

impl Isolated {
    /// Starts the source's thread.
    ///
    /// If the thread can't be started, every call fails with [`Error::SourceHangs`].
    pub fn new(source: impl StatsSource + 'static, timeout: Duration) -> Self {
        let (info, metrics) = (source.info().clone(), source.metrics().to_vec());
        let (calls, incoming) = sync_channel(1);
        let (outgoing, answers) = sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("kvlens-source-{}", info.name));
        // Without the thread both channels are closed, which `exchange` reports.
        let _ = thread.spawn(move || serve(source, &incoming, &outgoing));
        Self {
            info,
            metrics,
            timeout,
            calls,
            answers,
            waiting: false,
        }
    }

    fn exchange(&mut self, call: Call, sink: &mut dyn Sink) -> Result<()> {
        if self.waiting {
            match self.answers.try_recv() {
                Ok(late) => {
                    self.waiting = false;
                    late.taken.replay(sink);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Err(self.hangs()),
            }
        }
        if self.calls.send(call).is_err() {
            return Err(self.hangs());
        }
        match self.answers.recv_timeout(self.timeout) {
            Ok(answer) => {
                answer.taken.replay(sink);
                answer.result
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.waiting = true;
                Err(self.hangs())
            }
        }
    }

    fn hangs(&self) -> Error {
        Error::SourceHangs {
            name: self.info.name.clone(),
            waited: self.timeout,
        }
    }
}

impl StatsSource for Isolated {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.exchange(Call::Sample, sink)
    }

    fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.exchange(Call::Drain, sink)
    }
}

fn serve(mut source: impl StatsSource, calls: &Receiver<Call>, answers: &SyncSender<Answer>) {
    for call in calls {
        let mut taken = Captured::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| match call {
            Call::Sample => source.sample(&mut taken),
            Call::Drain => source.drain(&mut taken),
        }));
        let result = outcome.unwrap_or_else(|panic| {
            let (name, message) = (source.info().name.clone(), panic_message(panic.as_ref()));
            Err(Error::Panicked { name, message })
        });
        if answers.send(Answer { taken, result }).is_err() {
            return;
        }
    }
}

/// Everything that a source handed over in one call, to be handed on.
#[derive(Debug, Default)]
struct Captured {
    values: Vec<(MetricId, Taken)>,
    steps: Vec<StepRow>,
    requests: Vec<RequestRow>,
    blocks: Vec<BlockRow>,
    accesses: Vec<AccessRow>,
    epoch: Option<u64>,
    served_by: Option<String>,
    rows_dropped: u64,
    anomalies: u64,
}

#[derive(Debug)]
enum Taken {
    Gauge(f64),
    Counter(Reading),
    Histogram(SparseHistogram),
    Fixed(FixedHistogram),
}

impl Captured {
    fn replay(&self, sink: &mut dyn Sink) {
        if let Some(epoch) = self.epoch {
            sink.epoch(epoch);
        }
        if let Some(member) = &self.served_by {
            sink.served_by(member);
        }
        for (metric, value) in &self.values {
            match value {
                Taken::Gauge(value) => sink.gauge(*metric, *value),
                Taken::Counter(reading) => sink.counter(*metric, *reading),
                Taken::Histogram(delta) => sink.histogram(*metric, delta),
                Taken::Fixed(delta) => sink.fixed_histogram(*metric, delta),
            }
        }
        sink.steps(&self.steps);
        sink.requests(&self.requests);
        sink.blocks(&self.blocks);
        sink.accesses(&self.accesses);
        sink.rows_dropped(self.rows_dropped);
        sink.anomalies(self.anomalies);
    }
}

impl Sink for Captured {
    fn gauge(&mut self, metric: MetricId, value: f64) {
        self.values.push((metric, Taken::Gauge(value)));
    }

    fn counter(&mut self, metric: MetricId, reading: Reading) {
        self.values.push((metric, Taken::Counter(reading)));
    }

    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram) {
        self.values.push((metric, Taken::Histogram(delta.clone())));
    }

    fn fixed_histogram(&mut self, metric: MetricId, delta: &FixedHistogram) {
        self.values.push((metric, Taken::Fixed(delta.clone())));
    }

    fn steps(&mut self, rows: &[StepRow]) {
        self.steps.extend_from_slice(rows);
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        self.requests.extend_from_slice(rows);
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        self.blocks.extend_from_slice(rows);
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        self.accesses.extend_from_slice(rows);
    }

    fn epoch(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
    }

    fn served_by(&mut self, member: &str) {
        self.served_by = Some(member.to_owned());
    }

    fn rows_dropped(&mut self, rows: u64) {
        self.rows_dropped += rows;
    }

    fn anomalies(&mut self, count: u64) {
        self.anomalies += count;
    }
}
