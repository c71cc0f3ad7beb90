//! Rows of other libraries.

use super::{QUANTILES, TIMES, timed};
use crate::{Row, Values};
use std::hint::black_box;

pub(super) fn rows(rows: &mut Vec<Row>, shape: &str, values: &Values, others: &Values) {
    hdr(rows, shape, values, others);
    ddsketch(rows, shape, values, others);
}

fn hdr(rows: &mut Vec<Row>, shape: &str, values: &Values, others: &Values) {
    let fill = |values: &Values| {
        let mut all = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 44, 2).expect("in range");
        values.ns.iter().for_each(|ns| all.record(*ns).expect("in range"));
        all
    };
    let (live, other) = (fill(values), fill(others));
    let source = live.clone();
    rows.push(Row::new(
        format!("hdrhistogram 2 digits, clone + 4 quantiles, {shape}"),
        TIMES,
        move || {
            let live = source.clone();
            timed(move || {
                let snapshot = black_box(&live).clone();
                black_box(snapshot.value_at_quantiles(QUANTILES).sum::<u64>());
            })
        },
    ));
    rows.push(Row::new(
        format!("hdrhistogram 2 digits, merge, {shape}"),
        TIMES,
        move || {
            let (mut sum, other) = (live.clone(), other.clone());
            timed(move || sum.add(black_box(&other)).expect("one layout"))
        },
    ));
}

fn ddsketch(rows: &mut Vec<Row>, shape: &str, values: &Values, others: &Values) {
    use sketches_ddsketch::{Config, DDSketch};
    let fill = |values: &Values| {
        let mut all = DDSketch::new(Config::new(0.004, 8192, 1e-9));
        values.seconds.iter().for_each(|s| all.add(*s));
        all
    };
    let (live, other) = (fill(values), fill(others));
    let source = live.clone();
    rows.push(Row::new(
        format!("ddsketch 0.4 %, clone + 4 quantiles, {shape}"),
        TIMES,
        move || {
            let live = source.clone();
            timed(move || {
                let snapshot = black_box(&live).clone();
                black_box(QUANTILES.map(|q| snapshot.quantile(q).expect("in range")));
            })
        },
    ));
    rows.push(Row::new(
        format!("ddsketch 0.4 %, merge, {shape}"),
        TIMES,
        move || {
            let (mut sum, other) = (live.clone(), other.clone());
            timed(move || sum.merge(black_box(&other)).expect("one layout"))
        },
    ));
}
