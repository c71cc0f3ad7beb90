//! A metrics page as a source of its own.

use super::page::{FixedValues, Page};
use crate::error::{Error, Result};
use crate::metrics::standard;
use kvlens_core::source::{MetricId, Reading, Sink, StatsSource};
use kvlens_core::{BoxError, Kind, MetricDesc, SourceInfo};
use std::fmt;
use std::time::Duration;

/// The longest page that is read, in bytes: some hundred engines' worth.
const MAX_PAGE: u64 = 64 << 20;

type Fetch = Box<dyn FnMut() -> Result<String, BoxError> + Send>;

/// Any engine whose metrics page speaks vLLM's names, read from outside.
///
/// Counters count from the first reading on; [`since_start`](Self::since_start) makes them count from the engine's own
/// start. When the process behind the page was started anew, they go on from where they were. There are no rows: a page
/// knows no step and no request. Give it to [`CollectorBuilder::source`](kvlens_core::collector::CollectorBuilder::source),
/// since a server may hang.
///
/// ```
/// use kvlens_core::collector::CollectorBuilder;
/// use kvlens_core::{RunInfo, SourceInfo, catalog};
/// use kvlens_vllm_ffi::prometheus::PrometheusSource;
///
/// let mut tokens = 0;
/// let page = move || {
///     tokens += 5;
///     Ok(format!("vllm:generation_tokens_total{{engine=\"0\"}} {tokens}\n"))
/// };
/// let source = PrometheusSource::from_fn(SourceInfo::new("server", "vllm"), page);
/// let mut collector = CollectorBuilder::new(RunInfo::new("demo")).local_source(source).build()?;
/// collector.tick();
/// collector.tick();
/// let report = collector.finish();
/// assert_eq!(report.sources[0].counter(&catalog::GENERATION_TOKENS), Some(10));
/// # Ok::<(), kvlens_core::Error>(())
/// ```
pub struct PrometheusSource {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    fetch: Fetch,
    last: Option<Page>,
    since_start: bool,
}

impl fmt::Debug for PrometheusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusSource")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl PrometheusSource {
    /// How long a page may take to arrive.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Reads pages that a function gives.
    pub fn from_fn(
        info: SourceInfo,
        fetch: impl FnMut() -> Result<String, BoxError> + Send + 'static,
    ) -> Self {
        Self {
            info,
            metrics: standard().cloned().collect(),
            fetch: Box::new(fetch),
            last: None,
            since_start: false,
        }
    }

    /// Reads a page over plain HTTP, such as `http://127.0.0.1:8000/metrics`.
    pub fn from_url(info: SourceInfo, url: impl Into<String>) -> Self {
        let url = url.into();
        let config = ureq::Agent::config_builder().timeout_global(Some(Self::TIMEOUT));
        let agent: ureq::Agent = config.build().into();
        let fetch = move || -> Result<String, BoxError> {
            let get = || {
                let mut response = agent.get(&url).call()?;
                response.body_mut().with_config().limit(MAX_PAGE).read_to_string()
            };
            get().map_err(|source| {
                let (url, source) = (url.clone(), source.into());
                Error::Scrape { url, source }.into()
            })
        };
        Self::from_fn(info, fetch)
    }

    /// Makes counters count from the engine's own start instead of from the first reading.
    #[must_use]
    pub fn since_start(mut self) -> Self {
        self.since_start = true;
        self
    }

    fn hand_over(&self, page: &Page, before: Option<&Page>, sink: &mut dyn Sink) {
        for (id, metric) in self.metrics.iter().enumerate() {
            let id = MetricId(id);
            match metric.kind {
                Kind::Gauge => {
                    if let Some(value) = page.number(metric) {
                        sink.gauge(id, value);
                    }
                }
                Kind::Counter => {
                    if let Some(now) = page.total(metric) {
                        let then = before.and_then(|page| page.total(metric)).unwrap_or(0);
                        sink.counter(id, Reading::Delta(if now < then { now } else { now - then }));
                    }
                }
                Kind::Histogram => {
                    if let Some(now) = page.histogram(metric) {
                        let then: Option<&FixedValues> = before.and_then(|page| page.histogram(metric));
                        sink.fixed_histogram(id, &now.since(then));
                    }
                }
            }
        }
    }
}

/// Whether two pages are of the same process, as far as they say.
fn same_process(one: &Page, other: &Page) -> bool {
    one.start() == other.start()
}

impl StatsSource for PrometheusSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> kvlens_core::Result<()> {
        let name = self.info.name.clone();
        let text = (self.fetch)().map_err(|error| kvlens_core::Error::source(&name, error))?;
        let page = Page::parse(&text);
        if page.is_empty() {
            return Err(kvlens_core::Error::source(name, Error::NothingKnown));
        }
        let before = match &self.last {
            Some(last) => same_process(last, &page).then_some(last),
            None => (!self.since_start).then_some(&page),
        };
        self.hand_over(&page, before, sink);
        sink.served_by(crate::Origin::MetricsUrl.name());
        self.last = Some(page);
        Ok(())
    }

    fn drain(&mut self, _sink: &mut dyn Sink) -> kvlens_core::Result<()> {
        Ok(())
    }
}
