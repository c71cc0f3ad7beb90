//! Several ways to read one engine, tried in order.

use crate::clock::Clock;
use crate::collector::panic_message;
use crate::error::{Error, Result};
use crate::histogram::{FixedHistogram, SparseHistogram};
use crate::metric::MetricDesc;
use crate::record::{AccessRow, BlockRow, RequestRow, StepRow};
use crate::run::SourceInfo;
use crate::source::{MetricId, Reading, Sink, StatsSource};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The first wait before a failed member is tried again; doubles up to [`MAX_BACKOFF_NS`].
pub const FIRST_BACKOFF_NS: u64 = 1_000_000_000;
/// The longest wait before a failed member is tried again.
pub const MAX_BACKOFF_NS: u64 = 60_000_000_000;

/// A source made of several that read the same engine, best first.
///
/// Each sample is served by the first member that answers, and names it (`served_by`). A member that fails or panics is
/// passed over, and tried again after a wait that doubles from one second to one minute. The members' metrics are joined
/// by name: what a member does not know is missing while it serves. Cumulative counters must count from the same start
/// in every member; a member that can't should hand over [`Reading::Delta`].
///
/// A member that may hang is wrapped in [`Isolated`](crate::collector::Isolated) first.
///
/// When every member fails, so does the call, with the last member's error.
#[derive(Debug)]
pub struct Fallback {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    members: Vec<Member>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Member {
    source: Box<dyn StatsSource>,
    /// The member's metric ids in the joined list.
    ids: Vec<MetricId>,
    /// Not called before this time.
    retry_at_ns: u64,
    backoff_ns: u64,
}

impl Fallback {
    /// Joins members, best first, under one name.
    pub fn new(info: SourceInfo, members: Vec<Box<dyn StatsSource>>, clock: impl Clock) -> Self {
        let mut metrics: Vec<MetricDesc> = Vec::new();
        let mut id = |metric: &MetricDesc| {
            let at = metrics
                .iter()
                .position(|known| known.name == metric.name)
                .unwrap_or_else(|| {
                    metrics.push(metric.clone());
                    metrics.len() - 1
                });
            MetricId(at)
        };
        let member = |source: Box<dyn StatsSource>| {
            let ids = source.metrics().iter().map(&mut id).collect();
            Member {
                source,
                ids,
                retry_at_ns: 0,
                backoff_ns: 0,
            }
        };
        let members = members.into_iter().map(member).collect();
        Self {
            info,
            metrics,
            members,
            clock: Arc::new(clock),
        }
    }

    fn first_that_answers(
        &mut self,
        sink: &mut dyn Sink,
        call: impl Fn(&mut dyn StatsSource, &mut dyn Sink) -> Result<()>,
    ) -> Result<()> {
        let now = self.clock.monotonic_ns();
        let mut last = None;
        for member in self.members.iter_mut().filter(|member| now >= member.retry_at_ns) {
            match member.serve(sink, &call) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    member.back_off(now);
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::source(
                &self.info.name,
                "every member failed lately and waits to be tried again",
            )
        }))
    }
}

impl Member {
    fn serve(
        &mut self,
        sink: &mut dyn Sink,
        call: impl Fn(&mut dyn StatsSource, &mut dyn Sink) -> Result<()>,
    ) -> Result<()> {
        let mut mapped = Mapped { ids: &self.ids, sink };
        let source = self.source.as_mut();
        let outcome = catch_unwind(AssertUnwindSafe(|| call(source, &mut mapped)));
        let name = &self.source.info().name;
        let result = outcome.unwrap_or_else(|panic| {
            Err(Error::Panicked {
                name: name.clone(),
                message: panic_message(panic.as_ref()),
            })
        });
        if result.is_ok() {
            sink.served_by(name);
            (self.retry_at_ns, self.backoff_ns) = (0, 0);
        }
        result
    }

    fn back_off(&mut self, now: u64) {
        self.backoff_ns = (self.backoff_ns * 2).clamp(FIRST_BACKOFF_NS, MAX_BACKOFF_NS);
        self.retry_at_ns = now.saturating_add(self.backoff_ns);
    }
}

impl StatsSource for Fallback {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.first_that_answers(sink, |source, sink| source.sample(sink))
    }

    fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.first_that_answers(sink, |source, sink| source.drain(sink))
    }
}

/// Turns a member's metric ids into the joined list's.
struct Mapped<'a> {
    ids: &'a [MetricId],
    sink: &'a mut dyn Sink,
}

impl Mapped<'_> {
    /// An id that the member does not have stays out of range, and is counted as an anomaly further on.
    fn id(&self, metric: MetricId) -> MetricId {
        self.ids.get(metric.0).copied().unwrap_or(MetricId(usize::MAX))
    }
}

impl Sink for Mapped<'_> {
    fn gauge(&mut self, metric: MetricId, value: f64) {
        self.sink.gauge(self.id(metric), value);
    }

    fn counter(&mut self, metric: MetricId, reading: Reading) {
        self.sink.counter(self.id(metric), reading);
    }

    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram) {
        self.sink.histogram(self.id(metric), delta);
    }

    fn fixed_histogram(&mut self, metric: MetricId, delta: &FixedHistogram) {
        self.sink.fixed_histogram(self.id(metric), delta);
    }

    fn steps(&mut self, rows: &[StepRow]) {
        self.sink.steps(rows);
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        self.sink.requests(rows);
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        self.sink.blocks(rows);
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        self.sink.accesses(rows);
    }

    fn epoch(&mut self, epoch: u64) {
        self.sink.epoch(epoch);
    }

    fn served_by(&mut self, member: &str) {
        self.sink.served_by(member);
    }

    fn rows_dropped(&mut self, rows: u64) {
        self.sink.rows_dropped(rows);
    }

    fn anomalies(&mut self, count: u64) {
        self.sink.anomalies(count);
    }
}
