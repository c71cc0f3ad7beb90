//! Figures equal those that the rows give when computed the plain way.

use crate::bad_input::without_column;
use crate::made::{self, Made, healthy, life, sample};
use kvlens_analysis::kv::answers;
use kvlens_analysis::overview::{Basis, Overview};
use kvlens_analysis::why::{Phase, Which, why};
use kvlens_analysis::{Run, ScanOptions};
use kvlens_core::record::{BlockEnd, Opt32};
use proptest::prelude::*;

fn opened(made: &Made, ask: impl FnOnce(&Run)) {
    let out = tempfile::tempdir().unwrap();
    ask(&Run::open(made::parquet(out.path(), "run", made)).unwrap());
}

fn nearest_rank(mut values: Vec<u64>, q: f64) -> u64 {
    values.sort_unstable();
    values[((q * values.len() as f64).ceil() as usize).max(1) - 1]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn totals_quantiles_and_means_are_those_of_the_rows(steps in 40_usize..4_000, seed in 0_u64..1_000, threads in 1_usize..4) {
        let made = healthy(steps, seed);
        opened(&made, |run| {
            let overview = Overview::read(run, ScanOptions::default().with_threads(threads)).unwrap();
            let summary = overview.summary();
            let tokens: u64 = made.steps.iter().map(|step| u64::from(step.generation_tokens)).sum();
            assert_eq!((summary.totals["steps"], summary.totals["generation_tokens"]), (steps as u64, tokens));
            assert_eq!(summary.rates.prefix_cache_hit, Some(0.5));
            let e2e: Vec<u64> = made.requests.iter().filter_map(|row| row.e2e_latency_ns.get()).collect();
            let found = overview.distribution("e2e_latency_ns").unwrap();
            assert_eq!((found.count, found.basis), (e2e.len() as u64, Basis::Rows));
            for quantile in &found.quantiles {
                assert_eq!(quantile.value, Some(nearest_rank(e2e.clone(), quantile.q)));
                assert_eq!(quantile.supported, e2e.len() as u64 >= quantile.needed);
            }
            let step: Vec<u64> = made.steps.iter().filter_map(|row| row.step_time_ns.get()).collect();
            let found = overview.distribution("step_time_ns").unwrap();
            assert_eq!(found.quantile(0.99).unwrap().value, Some(nearest_rank(step, 0.99)));
            let used = summary.blocks.unwrap().used.unwrap();
            let expected = time_weighted(&made);
            assert!((used.mean / expected - 1.0).abs() < 1e-9, "{} {expected}", used.mean);
        });
    }
}

/// Used blocks, each value for the time from its step's end to the next one's.
fn time_weighted(made: &Made) -> f64 {
    let end = |row: &kvlens_core::StepRow| row.monotonic_ns + row.step_time_ns.get().unwrap();
    let used = |row: &kvlens_core::StepRow| f64::from(row.kv_blocks_used.get().unwrap());
    let pairs = made.steps.windows(2);
    let (sum, time) = pairs.fold((0.0, 0.0), |(sum, time), pair| {
        let held = (end(&pair[1]) - end(&pair[0])) as f64;
        (sum + used(&pair[0]) * held, time + held)
    });
    sum / time
}

#[test]
fn series_add_up_to_the_totals() {
    let made = healthy(3_000, 3);
    opened(&made, |run| {
        let overview = Overview::read(run, ScanOptions::default()).unwrap();
        for bins in [10, 200, 1_000] {
            let timeline = overview.timeline(bins);
            assert!(
                timeline.bins <= bins && timeline.bins * 2 >= bins.min(200),
                "{} of {bins}",
                timeline.bins
            );
            let counted: u64 = timeline.counter("generation_tokens").unwrap().counts.iter().sum();
            assert_eq!(Some(counted), overview.total("generation_tokens"));
            let hit = timeline
                .ratio("prefix_cache_hits", "prefix_cache_queries")
                .unwrap();
            assert!(hit.iter().flatten().all(|rate| (rate - 0.5).abs() < 1e-12));
        }
        let cdf = overview.cdf("e2e_latency_ns", 200);
        assert!(
            cdf.windows(2)
                .all(|pair| pair[0].value < pair[1].value && pair[0].share < pair[1].share)
        );
        assert!((cdf.last().unwrap().share - 1.0).abs() < 1e-12);
        let density: f64 = overview
            .density("e2e_latency_ns", 60)
            .iter()
            .map(|bar| bar.share)
            .sum();
        assert!((density - 1.0).abs() < 1e-6, "{density}");
        let map =
            kvlens_analysis::heatmap::heat_map(run, "e2e_latency_ns", 100, ScanOptions::default()).unwrap();
        assert_eq!(
            map.counts.iter().flatten().sum::<u64>(),
            made.requests.len() as u64
        );
        assert!(map.counts.len() <= 100 && map.counts.iter().all(|column| column.len() == map.rows.len()));
    });
}

#[test]
fn histograms_of_samples_are_merged() {
    let made = Made {
        samples: (0..2_500)
            .map(|second| sample(second, second * 3, &[1_000_000 + second, 9_000_000]))
            .collect(),
        ..Made::default()
    };
    opened(&made, |run| {
        let overview = Overview::read(run, ScanOptions::default()).unwrap();
        let found = overview.distribution("inter_token_latency_ns").unwrap();
        assert_eq!(
            (found.count, found.max, found.basis),
            (5_000, Some(9_000_000), Basis::Buckets)
        );
        let p99 = found.quantile(0.99).unwrap();
        let (low, high) = p99.band.unwrap();
        assert!(low <= 9_000_000 && 9_000_000 <= high && !p99.exact);
        assert_eq!(overview.total("generation_tokens"), Some(2_499 * 3));
        let timeline = overview.timeline(100);
        assert_eq!(
            timeline
                .counter("generation_tokens")
                .unwrap()
                .counts
                .iter()
                .sum::<u64>(),
            2_499 * 3
        );
        let usage = timeline.gauge("device_utilization").unwrap();
        assert!(usage.mean.iter().flatten().all(|mean| (mean - 0.5).abs() < 1e-9));
    });
}

#[test]
fn residency_counts_the_blocks_that_outlive_the_recording() {
    let mut made = Made {
        blocks: (1..=100)
            .map(|at| life(at, BlockEnd::Evicted, at * 1_000_000))
            .collect(),
        ..Made::default()
    };
    made.blocks
        .extend((1..=100).map(|at| life(1_000 + at, BlockEnd::Censored, 200_000_000)));
    opened(&made, |run| {
        let overview = Overview::read(run, ScanOptions::default()).unwrap();
        let residency = overview.lives().unwrap().residency();
        assert_eq!((residency.events, residency.censored), (100, 100));
        assert!((residency.at(50_500_000) - 0.75).abs() < 1e-9 && residency.quantile(0.6).is_none());
        let quarter = residency.quantile(0.25).unwrap() as f64;
        assert!((quarter / 50e6 - 1.0).abs() < 0.001, "{quarter}");
    });
}

#[test]
fn why_adds_up_and_names_the_steps() {
    let mut made = healthy(2_000, 5);
    // The slowest request, and the step that held it up.
    let slow = made.requests.last_mut().unwrap();
    let wait = 9_000_000_000;
    slow.decode_time_ns = (slow.decode_time_ns.get().unwrap() + wait).into();
    slow.stalled_time_ns = (slow.stalled_time_ns.get().unwrap() + 8_000_000_000).into();
    slow.e2e_latency_ns = (slow.e2e_latency_ns.get().unwrap() + wait).into();
    slow.arrival -= wait;
    let id = slow.request_id;
    let culprit = made.steps.len() - 100;
    made.steps[culprit].prefill_tokens = Opt32::some(16_000);
    made.steps[culprit].step_time_ns = 2_000_000_000_u64.into();
    made.steps[culprit + 1..]
        .iter_mut()
        .for_each(|step| step.monotonic_ns += 1_980_000_000);
    opened(&made, |run| {
        let found = why(run, &Which::Slowest(2), ScanOptions::default()).unwrap();
        assert_eq!(found.requests.len(), 2);
        let first = &found.requests[0];
        assert_eq!(
            (first.request_id.as_str(), first.dominant()),
            (id.as_str(), Some(Phase::Stalled))
        );
        assert_eq!(
            first.phases.iter().map(|phase| phase.time_ns).sum::<u64>(),
            first.e2e_ns
        );
        let worst = first.steps.iter().max_by_key(|step| step.cost_ns).unwrap();
        assert_eq!(
            (worst.step, worst.phase),
            (Some(culprit as u64), Phase::Decode),
            "{:?}",
            first.steps
        );
        assert!(found.text().contains("stalled by prefills"));
        let same = why(run, &Which::Request(id.as_str().into()), ScanOptions::default()).unwrap();
        assert_eq!(same.requests[0], *first);
    });
}

/// A healthy run whose table lacks a column.
fn lacking(table: &str, column: &str, ask: impl FnOnce(&Run)) {
    let out = tempfile::tempdir().unwrap();
    let mut made = healthy(400, 6);
    made.blocks = (0..50).map(|hash| life(hash, BlockEnd::Evicted, 1_000)).collect();
    let dir = made::csv(out.path(), "run", &made, true);
    let path = dir.join(format!("{table}.csv"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, without_column(&text, column)).unwrap();
    ask(&Run::open(dir).unwrap());
}

#[test]
fn what_has_no_column_is_unknown() {
    let slowest = |run: &Run| why(run, &Which::Slowest(3), ScanOptions::default()).unwrap();
    lacking("steps", "step_time_ns", |run| {
        let overview = Overview::read(run, ScanOptions::default()).unwrap();
        let summary = overview.summary();
        let time = summary.utilisation;
        assert_eq!(
            (time.busy, time.device, time.idle_with_requests),
            (None, None, None)
        );
        let text = summary.text();
        assert!(
            !text.contains("idle") && !text.contains("on the device"),
            "{text}"
        );
        assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
    });
    lacking("steps", "step", |run| {
        let found = slowest(run);
        let steps: Vec<_> = found.requests.iter().flat_map(|one| &one.steps).collect();
        assert!(!steps.is_empty() && steps.iter().all(|step| step.step.is_none()));
        assert!(found.text().contains("unknown"), "{found}");
    });
    lacking("requests", "time_to_first_token_ns", |run| {
        let text = slowest(run).text();
        assert!(text.contains("first token at an unknown time"), "{text}");
    });
    lacking("blocks", "lifetime_ns", |run| {
        let found = answers(run, None, ScanOptions::default()).unwrap();
        assert!(
            found.residency.is_none() && !found.text().contains("outlived"),
            "{found}"
        );
    });
}
