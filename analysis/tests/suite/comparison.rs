//! Comparisons find what is there and nothing else.

use crate::made::{self, Made, normal};
use kvlens_analysis::compare::{Candidate, Condition, Verdict, compare};
use kvlens_analysis::{Run, ScanOptions};
use kvlens_core::RequestRow;
use kvlens_core::record::{FinishReason, Opt64, Text};

const REQUESTS: u64 = 2_000;

/// Requests of one workload, served with noise: sizes belong to the request, noise to the run and correlated in time,
/// as a queue makes it.
fn served(workload: u64, run: u64, ttft_factor: f64) -> Made {
    // Sequences that begin alike would make sizes and noise one.
    let mut sizes = fastrand::Rng::with_seed(workload);
    let mut random = fastrand::Rng::with_seed(!run.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut made = Made::default();
    let (mut at, mut pressure) = (made::START, 0.0);
    for id in 0..REQUESTS {
        at += (-50e6 * (1.0 - sizes.f64()).ln()) as u64;
        let (size, length) = ((0.8 * normal(&mut sizes)).exp(), (0.5 * normal(&mut sizes)).exp());
        pressure = 0.7 * pressure + 0.05 * normal(&mut random);
        let mut noise =
            |median: f64, sigma: f64| (median * (sigma * normal(&mut random) + pressure).exp()) as u64;
        let queue = noise(20e6, 0.3);
        let prefill = noise(200e6 * size, 0.1);
        let ttft = ((queue + prefill) as f64 * ttft_factor) as u64;
        let decode = noise(2e9 * length, 0.1);
        made.requests.push(RequestRow {
            monotonic_ns: at + ttft + decode,
            arrival: at,
            request_id: Text::number(id),
            finish_reason: FinishReason::Stop,
            prompt_tokens: (1_000.0 * size) as u32,
            generation_tokens: 100,
            time_to_first_token_ns: Opt64::some(ttft),
            time_per_output_token_ns: Opt64::some(decode / 99),
            inter_token_latency_max_ns: Opt64::some(decode / 40),
            e2e_latency_ns: Opt64::some(ttft + decode),
            queue_time_ns: Opt64::some(queue),
            prefill_time_ns: Opt64::some(prefill),
            decode_time_ns: Opt64::some(decode),
            ..RequestRow::default()
        });
    }
    made
}

fn compared(a: &Made, b: &Made) -> Candidate {
    let out = tempfile::tempdir().unwrap();
    let (a, b) = (
        made::arrow(out.path(), "a", a, true),
        made::arrow(out.path(), "b", b, true),
    );
    let (a, b) = (Run::open(a).unwrap(), Run::open(b).unwrap());
    compare(&[&a, &b], ScanOptions::default().with_threads(1))
        .unwrap()
        .candidates
        .remove(0)
}

#[test]
fn the_same_configuration_does_not_differ_on_the_same_requests() {
    let differing =
        (0..100).filter(|seed| compared(&served(7, 2 * seed, 1.0), &served(7, 2 * seed + 1, 1.0)).differs());
    let differing = differing.count();
    eprintln!("same requests: {differing} of 100 pairs differ");
    assert!(differing <= 5, "{differing} of 100");
}

#[test]
fn the_same_configuration_does_not_differ_on_other_requests() {
    let pair = |seed: u64| {
        compared(
            &served(2 * seed, 2 * seed, 1.0),
            &served(2 * seed + 1, 2 * seed + 1, 1.0),
        )
    };
    let differing = (0..100).filter(|seed| pair(1_000 + *seed).differs()).count();
    eprintln!("other requests: {differing} of 100 pairs differ");
    assert!(differing <= 5, "{differing} of 100");
}

#[test]
fn a_slow_down_of_five_percent_is_found() {
    let slower = |seed: u64| {
        let found = compared(
            &served(7, 5_000 + 2 * seed, 1.0),
            &served(7, 5_001 + 2 * seed, 1.05),
        );
        assert_eq!(found.paired_requests, Some(REQUESTS));
        found.metric("ttft").unwrap().verdict == Verdict::Higher
    };
    let found = (0..100).filter(|seed| slower(*seed)).count();
    eprintln!("5 %: found in {found} of 100 pairs");
    assert!(found >= 95, "{found} of 100");
}

#[test]
fn a_run_does_not_differ_from_itself_at_all() {
    let same = compared(&served(7, 1, 1.0), &served(7, 1, 1.0));
    let quantiles = same.metrics.iter().flat_map(|metric| &metric.quantiles);
    let ratios: Vec<_> = quantiles.map(|quantile| quantile.ratio.unwrap()).collect();
    assert!(ratios.len() >= 21, "{}", ratios.len());
    for shift in ratios
        .iter()
        .chain(same.metrics.iter().flat_map(|metric| &metric.shift))
    {
        assert!(
            (shift.low - 1.0).abs() < 1e-12 && (shift.high - 1.0).abs() < 1e-12,
            "{shift:?}"
        );
        assert!(shift.p > 0.99, "{shift:?}");
    }
}

/// Of seeded pairs of the same requests, how many intervals of a quantile hold the true ratio, and how wide they are.
#[test]
fn intervals_of_paired_quantiles_cover() {
    let pair = |seed: u64| {
        let found = compared(
            &served(7, 9_000 + 2 * seed, 1.0),
            &served(7, 9_001 + 2 * seed, 1.0),
        );
        let ttft = found.metric("ttft").unwrap();
        let ratios = ttft.quantiles.iter().map(|found| found.ratio.unwrap());
        ratios.collect::<Vec<_>>()
    };
    let pairs: Vec<_> = (0..50).map(pair).collect();
    for (at, widest) in [0.12, 0.5, 1.0].into_iter().enumerate() {
        let covering = pairs
            .iter()
            .filter(|found| found[at].low <= 1.0 && 1.0 <= found[at].high);
        let (covering, width) = (
            covering.count(),
            pairs
                .iter()
                .map(|found| found[at].high / found[at].low - 1.0)
                .sum::<f64>()
                / 50.0,
        );
        eprintln!("quantile {at}: {covering} of 50 intervals hold the truth, {width:.3} wide");
        assert!(covering >= 44 && width < widest, "{covering} of 50, {width}");
    }
}

#[test]
fn conditions_fail_where_they_should() {
    let out = tempfile::tempdir().unwrap();
    let a = Run::open(made::parquet(out.path(), "a", &served(7, 1, 1.0))).unwrap();
    let b = Run::open(made::parquet(out.path(), "b", &served(7, 2, 1.0))).unwrap();
    let c = Run::open(made::parquet(out.path(), "c", &served(7, 3, 1.2))).unwrap();
    let comparison = compare(&[&a, &b, &c], ScanOptions::default()).unwrap();
    let fails = |text: &str| -> Vec<bool> {
        let outcomes = text.parse::<Condition>().unwrap().check(&comparison);
        outcomes.iter().map(|outcome| outcome.fails).collect()
    };
    assert_eq!(fails("ttft>+5%"), [false, true]);
    assert_eq!(fails("ttft>+30%"), [false, false]);
    assert_eq!(fails("e2e_p90>1ms"), [true, true]);
    assert_eq!(fails("requests<3000"), [true, true]);
    assert_eq!(fails("hit_rate<0.3"), [false, false]);
    let text = comparison.text();
    assert!(
        text.contains("* higher") && text.contains("noise") && text.contains("pair by pair"),
        "{text}"
    );
    assert!(
        comparison
            .markdown()
            .contains("| time to first token, shift of the typical request |")
    );
    assert!(comparison.json().unwrap().contains("\"verdict\": \"higher\""));
}
