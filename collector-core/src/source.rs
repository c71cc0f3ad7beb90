//! The trait that an engine implements.

use crate::error::Result;
use crate::histogram::{FixedHistogram, SparseHistogram};
use crate::metric::MetricDesc;
use crate::record::{AccessRow, BlockRow, RequestRow, StepRow};
use crate::run::SourceInfo;

/// A metric's place in its source's [`StatsSource::metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MetricId(pub usize);

/// What a source knows of a counter. The two are told apart by type, because feeding one as the other is a classic bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The total since the source's epoch began; see [`Sink::epoch`].
    Cumulative(u64),
    /// What was added since the last reading.
    Delta(u64),
}

/// Says what an engine is doing.
///
/// # Contract
/// - [`info`](Self::info) and [`metrics`](Self::metrics) never change once the source is attached.
/// - [`sample`](Self::sample) hands the sink every metric it can read now, once each, by its place in `metrics`. A metric
///   not handed over is missing in that sample, not 0.
/// - [`drain`](Self::drain) hands over the rows that arose since the last drain, oldest first, each once. It is called
///   much more often than `sample` and should return at once when there is nothing.
/// - Histograms handed over are deltas: what was recorded since the last `sample`.
/// - Values that can't be true (NaN, a counter that went back) may be handed over: the collector clamps and counts them.
/// - An error means that nothing more of this call can be had; what was handed over before it is kept. The next call
///   may succeed. A source must not panic; one that does is isolated and reported.
/// - Neither call should block. A source that does is left behind by the collector, its metrics null, until it returns.
///
/// # Examples
/// ```
/// use kvlens_core::{catalog, MetricDesc, MetricId, Result, Sink, SourceInfo, StatsSource};
///
/// #[derive(Debug)]
/// struct Engine { info: SourceInfo, metrics: Vec<MetricDesc>, running: u32 }
///
/// impl StatsSource for Engine {
///     fn info(&self) -> &SourceInfo { &self.info }
///     fn metrics(&self) -> &[MetricDesc] { &self.metrics }
///     fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
///         sink.gauge(MetricId(0), f64::from(self.running));
///         Ok(())
///     }
///     fn drain(&mut self, _sink: &mut dyn Sink) -> Result<()> { Ok(()) }
/// }
///
/// let engine = Engine {
///     info: SourceInfo::new("engine-0", "mine"),
///     metrics: vec![catalog::REQUESTS_RUNNING.clone()],
///     running: 3,
/// };
/// let boxed: Box<dyn StatsSource> = Box::new(engine);
/// assert_eq!(boxed.metrics()[0].name, "requests_running");
/// ```
pub trait StatsSource: std::fmt::Debug + Send {
    /// Says what the source is.
    fn info(&self) -> &SourceInfo;

    /// Lists the metrics that the source can know, in a fixed order.
    fn metrics(&self) -> &[MetricDesc];

    /// Hands over the values now, and what histograms recorded since the last call.
    ///
    /// # Errors
    /// [`Error::Source`](crate::Error::Source) when the engine can't be read.
    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()>;

    /// Hands over the rows that arose since the last call.
    ///
    /// # Errors
    /// [`Error::Source`](crate::Error::Source) when the engine can't be read.
    fn drain(&mut self, sink: &mut dyn Sink) -> Result<()>;
}

/// Receives what a source hands over. The collector implements it; a source only calls it.
///
/// A metric id out of range, or a value of another kind than the metric's, is dropped and counted as an anomaly.
pub trait Sink {
    /// Takes a gauge's value; NaN and infinities become null and are counted.
    fn gauge(&mut self, metric: MetricId, value: f64);

    /// Takes a counter's reading.
    fn counter(&mut self, metric: MetricId, reading: Reading);

    /// Takes what a log-linear histogram recorded since the last sample.
    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram);

    /// Takes what a fixed-boundary histogram recorded since the last sample.
    fn fixed_histogram(&mut self, metric: MetricId, delta: &FixedHistogram);

    /// Takes steps, oldest first.
    fn steps(&mut self, rows: &[StepRow]);

    /// Takes finished requests, oldest first.
    fn requests(&mut self, rows: &[RequestRow]);

    /// Takes block lives, oldest first.
    fn blocks(&mut self, rows: &[BlockRow]);

    /// Takes prefix-cache look-ups, oldest first.
    fn accesses(&mut self, rows: &[AccessRow]);

    /// Says that the engine's counters began anew: cumulative readings of a new epoch count from 0 and are added to
    /// what the run has. Without it a reading below the last one is clamped and counted as an anomaly.
    fn epoch(&mut self, epoch: u64);

    /// Says which member of a fallback served this call.
    fn served_by(&mut self, member: &str);

    /// Adds to the rows that the engine could not hand over.
    fn rows_dropped(&mut self, rows: u64);

    /// Adds to the values that the source itself had to clamp.
    fn anomalies(&mut self, count: u64);
}

macro_rules! forward {
    ($($target:ty),*) => { $(
        #[deny(clippy::missing_trait_methods)]
        impl<S: StatsSource + ?Sized> StatsSource for $target {
            fn info(&self) -> &SourceInfo {
                (**self).info()
            }

            fn metrics(&self) -> &[MetricDesc] {
                (**self).metrics()
            }

            fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
                (**self).sample(sink)
            }

            fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
                (**self).drain(sink)
            }
        }
    )* };
}

forward!(Box<S>, &mut S);
