//! One record: counter, gauge, histogram.

use crate::values::COUNT;
use crate::{Op, Row};
use kvlens_core::histogram::Config;
use kvlens_core::recorder::{Counter, CounterWriter, Gauge, Histogram, HistogramWriter, Recorder};
use kvlens_core::{SourceInfo, catalog};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The row that ratios refer to.
pub const REFERENCE: &str = "histogram::Histogram increment (one thread only)";

const BUCKETS: usize = Config::DEFAULT.buckets();

/// A row whose operation goes over all integers or floats.
macro_rules! row {
    ($rows:ident, $name:expr, $state:ty, $setup:expr, |$s:ident, $ns:ident, $seconds:ident| $body:expr) => {
        $rows.push(Row::new($name, COUNT, move || -> Op {
            let mut state: $state = $setup;
            Box::new(move |values| {
                let $s = &mut state;
                let start = Instant::now();
                for (&$ns, &$seconds) in values.ns.iter().zip(&values.seconds) {
                    let (_, _) = ($ns, $seconds);
                    $body;
                }
                start.elapsed()
            })
        }))
    };
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = floors();
    rows.extend(ours());
    rows.extend(plain_peers());
    #[cfg(feature = "peers")]
    rows.extend(peers::rows());
    rows
}

/// What can't be done faster, or not without giving something up.
fn floors() -> Vec<Row> {
    let mut rows = vec![];
    row!(
        rows,
        "floor: plain array add (one thread only)",
        Vec<u64>,
        vec![0; BUCKETS],
        |s, ns, _f| {
            s[Config::DEFAULT.index(ns)] += 1;
        }
    );
    let shared: Arc<[AtomicU64]> = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
    row!(
        rows,
        "floor: atomic add into a shared array",
        Arc<[AtomicU64]>,
        shared.clone(),
        |s, ns, _f| {
            s[Config::DEFAULT.index(ns)].fetch_add(1, Relaxed);
        }
    );
    rows = rows
        .into_iter()
        .map(|row| {
            if row.name.contains("shared") {
                row.shared()
            } else {
                row
            }
        })
        .collect();
    row!(rows, "floor: Instant::now", (), (), |_s, _n, _f| black_box(
        Instant::now()
    ));
    rows
}

fn ours() -> Vec<Row> {
    let recorder = Recorder::new(SourceInfo::new("bench", "bench"));
    let get = |what: &str| format!("kvlens {what}");
    let mut rows = vec![];
    let r = recorder.clone();
    row!(
        rows,
        get("HistogramWriter record"),
        HistogramWriter,
        r.histogram_writer(&catalog::STEP_TIME).expect("ours"),
        |s, ns, _f| s.record(ns)
    );
    let r = recorder.clone();
    row!(
        rows,
        get("Histogram record"),
        Histogram,
        r.histogram(&catalog::E2E_LATENCY).expect("ours"),
        |s, ns, _f| s.record(ns)
    );
    let r = recorder.clone();
    row!(
        rows,
        get("CounterWriter add"),
        CounterWriter,
        r.counter_writer(&catalog::PROMPT_TOKENS).expect("ours"),
        |s, ns, _f| s.add(ns)
    );
    let r = recorder.clone();
    row!(
        rows,
        get("Counter add"),
        Counter,
        r.counter(&catalog::GENERATION_TOKENS).expect("ours"),
        |s, ns, _f| s.add(ns)
    );
    let r = recorder.clone();
    row!(
        rows,
        get("Gauge set"),
        Gauge,
        r.gauge(&catalog::KV_CACHE_USAGE).expect("ours"),
        |s, _n, f| s.set(f)
    );
    row!(
        rows,
        get("Histogram record, noop"),
        Histogram,
        black_box(Histogram::noop()),
        |s, ns, _f| s.record(ns)
    );
    rows.into_iter().map(Row::shared).collect()
}

/// The crate whose bucket layout is ours.
fn plain_peers() -> Vec<Row> {
    let mut rows = vec![];
    row!(
        rows,
        REFERENCE,
        histogram::Histogram,
        histogram::Histogram::new(7, 44).expect("in range"),
        |s, ns, _f| drop(s.increment(ns))
    );
    let shared = Arc::new(histogram::AtomicHistogram::new(7, 44).expect("in range"));
    let mut atomic = vec![];
    row!(
        atomic,
        "histogram::AtomicHistogram increment",
        Arc<histogram::AtomicHistogram>,
        shared.clone(),
        |s, ns, _f| drop(s.increment(ns))
    );
    rows.extend(atomic.into_iter().map(Row::shared));
    rows
}

#[cfg(feature = "peers")]
mod peers;
