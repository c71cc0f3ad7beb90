//! Reading a histogram of a million values: a snapshot with four quantiles, and merging two.
//!
//! Three shapes: inter-token latencies (narrow), times to first token, and a wide one from 1 us to 100 s.

use crate::{Op, Row, Values};
use kvlens_core::histogram::{Config, DenseHistogram, SparseHistogram};
use kvlens_core::recorder::Recorder;
use kvlens_core::{SourceInfo, catalog};
use std::hint::black_box;
use std::time::Instant;

/// The row that ratios refer to.
pub const REFERENCE: &str = "histogram clone + 4 quantiles, narrow";

const VALUES: usize = 1_000_000;
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// Operations per run.
const TIMES: usize = 20;

/// A shape of latencies: name, median in nanoseconds, sigma.
const SHAPES: [(&str, f64, f64); 3] = [("narrow", 20e6, 0.6), ("middle", 300e6, 1.2), ("wide", 10e6, 2.8)];

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![];
    for (at, (shape, median, sigma)) in (0_u64..).zip(SHAPES) {
        let draw = move |seed| Values::log_normal(seed + at, VALUES, median, sigma);
        ours(&mut rows, shape, &draw(100), &draw(200));
        plain(&mut rows, shape, &draw(100), &draw(200));
        #[cfg(feature = "peers")]
        peers::rows(&mut rows, shape, &draw(100), &draw(200));
    }
    rows
}

/// Times one thing several times over.
fn timed(mut f: impl FnMut() + Send + 'static) -> Op {
    Box::new(move |_| {
        let start = Instant::now();
        (0..TIMES).for_each(|_| f());
        start.elapsed()
    })
}

fn ours(rows: &mut Vec<Row>, shape: &str, values: &Values, others: &Values) {
    let recorder = Recorder::new(SourceInfo::new("bench", "bench"));
    let live = recorder.histogram(&catalog::STEP_TIME).expect("ours");
    values.ns.iter().for_each(|ns| live.record(*ns));
    let mut snapshot = SparseHistogram::default();
    live.snapshot(&mut snapshot);
    let mut other = SparseHistogram::default();
    others.ns.iter().for_each(|ns| other.record(*ns));

    let reader = live.clone();
    rows.push(Row::new(
        format!("kvlens live count, sum, min, max + 4 quantiles, {shape}"),
        TIMES,
        move || {
            let live = reader.clone();
            timed(move || {
                let mut answers = [None; 4];
                black_box(live.quantiles(&QUANTILES, &mut answers));
                black_box(answers);
            })
        },
    ));
    let buffer = snapshot.clone();
    rows.push(Row::new(
        format!("kvlens snapshot + 4 quantiles, {shape}"),
        TIMES,
        move || {
            let (live, mut out) = (live.clone(), buffer.clone());
            timed(move || {
                let mut answers = [None; 4];
                live.snapshot(&mut out);
                out.quantiles(&QUANTILES, &mut answers);
                black_box(answers);
            })
        },
    ));
    let (first, second) = (snapshot.clone(), other.clone());
    rows.push(Row::new(
        format!("kvlens merge into a dense sum, {shape}"),
        TIMES,
        move || {
            let (mut sum, other) = (DenseHistogram::new(Config::DEFAULT), second.clone());
            sum.merge(&first).expect("one layout");
            timed(move || sum.merge(black_box(&other)).expect("one layout"))
        },
    ));
    rows.push(Row::new(format!("kvlens merge, {shape}"), TIMES, move || {
        let (mut sum, other) = (snapshot.clone(), other.clone());
        timed(move || sum.merge(black_box(&other)).expect("one layout"))
    }));
}

fn plain(rows: &mut Vec<Row>, shape: &str, values: &Values, others: &Values) {
    let fill = |values: &Values| {
        let mut all = histogram::Histogram::new(7, 44).expect("in range");
        values
            .ns
            .iter()
            .for_each(|ns| all.increment(*ns).expect("in range"));
        all
    };
    let (live, other) = (fill(values), fill(others));
    let source = live.clone();
    rows.push(Row::new(
        format!("histogram clone + 4 quantiles, {shape}"),
        TIMES,
        move || {
            let live = source.clone();
            timed(move || {
                let snapshot = black_box(&live).clone();
                let mut answers = [const { None }; 4];
                snapshot
                    .quantile_buckets_into(&QUANTILES, &mut answers)
                    .expect("not empty");
                black_box(answers);
            })
        },
    ));
    rows.push(Row::new(format!("histogram merge, {shape}"), TIMES, move || {
        let (mut sum, other) = (live.clone(), other.clone());
        timed(move || sum.checked_add_assign(black_box(&other)).expect("no overflow"))
    }));
}

#[cfg(feature = "peers")]
mod peers;
