//! The report holds every plot that a run has data for, stays small, keeps extremes, and takes nothing in a run for markup.

use crate::made::{self, Made, access, healthy, life, sample};
use kvlens_analysis::kv::{MULTIPLES, answers, exact_curve};
use kvlens_analysis::report::{Body, Heat, Lines, MAX_RUNS, Plot, Report, Size};
use kvlens_analysis::{AnalysisError, Run, ScanOptions};
use kvlens_core::record::{BlockEnd, Opt32, Text};
use std::fs;
use std::path::Path;

const EVIL: &str = "</script><img src=x onerror=alert(1)><!--{{";

/// A run with rows in every table.
pub(crate) fn full(steps: usize, seed: u64) -> Made {
    let mut made = healthy(steps, seed);
    made.blocks = (0..800)
        .map(|hash| life(hash % 500, BlockEnd::Evicted, 1_000_000 * (hash + 1)))
        .collect();
    made.accesses = lookups()
        .into_iter()
        .map(|hash| access(hash, hash % 3 == 0))
        .collect();
    made.samples = (0..20)
        .map(|second| {
            sample(
                second,
                second * 100,
                &[9_000_000, 12_000_000 + second * 1_000_000, 30_000_000],
            )
        })
        .collect();
    made
}

fn lookups() -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..6_000)
        .map(|_| (6_000.0 * random.f64().powi(3)) as u64)
        .collect()
}

fn read(made: &Made) -> Report {
    let out = tempfile::tempdir().unwrap();
    report_of(&made::parquet(out.path(), "run", made))
}

fn report_of(dir: &Path) -> Report {
    Report::read(&[&Run::open(dir).unwrap()], ScanOptions::default()).unwrap()
}

fn lines(plot: &Plot) -> &Lines {
    match &plot.body {
        Body::Lines(lines) => lines,
        other => panic!("{other:?}"),
    }
}

fn heat(plot: &Plot) -> &Heat {
    match &plot.body {
        Body::Heat(heat) => heat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_plot_is_there_that_there_is_data_for() {
    let mut made = full(4_000, 1);
    made.steps[100].preemptions_recompute = Opt32::some(2);
    let report = read(&made);
    let ids: Vec<&str> = report.plots().iter().map(|plot| plot.id.as_str()).collect();
    for id in [
        "kv_blocks",
        "queue",
        "prompt_throughput",
        "generation_throughput",
        "hit_rate",
        "preemptions",
        "ttft_density",
        "ttft_cdf",
        "ttft_heat",
        "itl_density",
        "itl_cdf",
        "tpot_heat",
        "e2e_cdf",
        "queue_time_density",
        "step_tokens",
        "busy",
        "step_time_density",
        "step_time_cdf",
        "step_time_heat",
        "miss_ratio",
        "residency",
        "block_turnover",
    ] {
        assert!(ids.contains(&id), "{id} is not among {ids:?}");
    }
    // The made requests hold no longest inter-token latency.
    let missing: Vec<&str> = report
        .missing()
        .iter()
        .map(|missing| missing.id.as_str())
        .collect();
    assert_eq!(missing, ["itl_heat"]);
    for plot in report.plots() {
        assert!(
            !plot.x.title().is_empty() && !plot.y.title().is_empty(),
            "{}",
            plot.id
        );
    }
    let html = report.html();
    ids.iter()
        .for_each(|id| assert!(html.contains(&format!("id=\"plot-{id}\"")), "{id}"));
}

#[test]
fn marks_stand_at_the_quantiles() {
    let report = read(&full(4_000, 2));
    let labels: Vec<_> = lines(report.plot("ttft_cdf").unwrap())
        .marks
        .iter()
        .map(|mark| mark.label.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(labels, ["p50", "p90", "p99"]);
    let few = read(&full(160, 2));
    let labels = &lines(few.plot("ttft_cdf").unwrap()).marks;
    assert_eq!(labels.len(), 2, "40 requests support no p99: {labels:?}");
}

#[test]
fn rates_add_up_and_heat_maps_count_every_row() {
    let made = full(4_000, 3);
    let report = read(&made);
    let rate = &lines(report.plot("generation_throughput").unwrap()).series[0];
    let made_tokens: u32 = made.steps.iter().map(|step| step.generation_tokens).sum();
    let kvlens_analysis::report::Xs::Grid { step, .. } = rate.x else {
        panic!("{:?}", rate.x)
    };
    let total: f64 = rate.y.iter().flatten().map(|value| value.0 * step).sum();
    // The first and the last bin reach over the run's ends.
    assert!(
        (total / f64::from(made_tokens) - 1.0).abs() < 0.1,
        "{total} of {made_tokens}"
    );
    let cells = &heat(report.plot("step_time_heat").unwrap()).cells;
    assert_eq!(cells.iter().map(|(.., count)| count).sum::<u64>(), 4_000);
    let density = &lines(report.plot("ttft_density").unwrap()).series[0];
    let area: f64 = (1..density.y.len())
        .map(|at| {
            let width = (density.x.at(at).unwrap() / density.x.at(at - 1).unwrap()).log10();
            density.y[at - 1].unwrap().0 * width
        })
        .sum();
    assert!((area - 1.0).abs() < 1e-6, "{area}");
}

#[test]
fn a_step_counts_in_every_bin_that_it_covers() {
    let mut made = full(400, 9);
    // The first of them arrived before the first step.
    made.requests.clear();
    // Steps without a gap, of which many are longer than a bin.
    let mut at = made::START;
    for (place, step) in made.steps.iter_mut().enumerate() {
        let time = if place % 10 == 0 {
            3_000_000_000
        } else {
            20_000_000
        };
        step.monotonic_ns = at;
        step.step_time_ns = time.into();
        at += time;
    }
    let report = read(&made);
    let busy = &lines(report.plot("busy").unwrap()).series[0];
    let known: Vec<f64> = busy.y.iter().flatten().map(|value| value.0).collect();
    assert!(
        known.len() > 20 && known.iter().all(|share| *share > 0.999),
        "{known:?}"
    );
}

#[test]
fn a_page_does_not_grow_with_the_run_and_keeps_extremes() {
    let mut long = full(60_000, 4);
    long.steps[31_234].requests_waiting = 777;
    let (short, long) = (read(&full(15_000, 4)).html(), read(&long));
    let high = lines(long.plot("queue").unwrap()).series[1].high.iter().flatten();
    assert!(high.map(|value| value.0).fold(0.0, f64::max) > 776.9);
    let long = long.html();
    assert!(
        long.len() < short.len() * 5 / 4 && long.len() < 2_000_000,
        "{} and {}",
        short.len(),
        long.len()
    );
}

#[test]
fn nothing_in_a_run_is_taken_for_markup() {
    let mut made = full(400, 5);
    made.requests[0].request_id = Text::new(EVIL);
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "run", &made);
    let manifest = fs::read_to_string(dir.join("run.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["run_id"] = EVIL.into();
    manifest["host"] = EVIL.into();
    manifest["sources"][0]["model"] = EVIL.into();
    manifest["attributes"] = serde_json::json!({ EVIL: EVIL });
    fs::write(dir.join("run.json"), manifest.to_string()).unwrap();
    let html = report_of(&dir).html();
    assert!(
        !html.contains("<img") && !html.contains("<!--"),
        "markup went through"
    );
    assert_eq!(html.matches("</script>").count(), 3, "the data and two scripts");
    let json = html
        .split("id=\"plots\">")
        .nth(1)
        .unwrap()
        .split("</script>")
        .next()
        .unwrap();
    let plots: serde_json::Value = serde_json::from_str(json).unwrap();
    let name = &plots[8]["body"]["lines"]["series"][0]["name"];
    assert!(
        plots.to_string().contains("onerror"),
        "the name is there as text: {name}"
    );
}

#[test]
fn runs_are_laid_over_each_other() {
    let out = tempfile::tempdir().unwrap();
    let dirs: Vec<_> = (0..2)
        .map(|seed| made::parquet(out.path(), &format!("run-{seed}"), &full(2_000, seed)))
        .collect();
    let runs: Vec<Run> = dirs.iter().map(|dir| Run::open(dir).unwrap()).collect();
    let report = Report::read(&runs.iter().collect::<Vec<_>>(), ScanOptions::default()).unwrap();
    let series = &lines(report.plot("ttft_cdf").unwrap()).series;
    assert_eq!(
        series.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["run-0", "run-1"]
    );
    assert_ne!(series[0].colour, series[1].colour);
    assert_eq!(
        lines(report.plot("queue").unwrap()).series.len(),
        4,
        "running and waiting of each"
    );
    assert!(report.plot("ttft_heat_2").is_ok());
    assert!(report.html().contains("run-1 against run-0"));
    let many = vec![&runs[0]; MAX_RUNS + 1];
    assert!(matches!(
        Report::read(&many, ScanOptions::default()),
        Err(AnalysisError::RunCount { given: 9, .. })
    ));
    let twice = Report::read(&[&runs[0], &runs[0]], ScanOptions::default()).unwrap();
    assert_eq!(lines(twice.plot("ttft_cdf").unwrap()).series[1].name, "run-0 (2)");
}

#[test]
fn one_run_of_several_with_data_is_named() {
    let out = tempfile::tempdir().unwrap();
    let mut bare = full(400, 1);
    bare.accesses.clear();
    let dirs = [
        made::parquet(out.path(), "with-look-ups", &full(400, 0)),
        made::parquet(out.path(), "without", &bare),
    ];
    let runs = dirs.map(|dir| Run::open(dir).unwrap());
    let both = Report::read(&[&runs[0], &runs[1]], ScanOptions::default()).unwrap();
    let plot = both.plot("miss_ratio").unwrap();
    assert_eq!(lines(plot).series.len(), 1);
    assert!(plot.svg(Size::default()).contains("with-look-ups"));
    let alone = Report::read(&[&runs[0]], ScanOptions::default()).unwrap();
    let plot = alone.plot("miss_ratio").unwrap();
    assert!(!plot.svg(Size::default()).contains("with-look-ups"));
}

#[test]
fn preemptions_that_did_not_happen_are_a_line() {
    let report = read(&full(400, 1));
    let series = &lines(report.plot("preemptions").unwrap()).series;
    let values: Vec<f64> = series
        .iter()
        .flat_map(|one| one.y.iter().flatten().map(|value| value.0))
        .collect();
    assert!(
        !values.is_empty() && values.iter().all(|value| *value == 0.0),
        "{values:?}"
    );
}

#[test]
fn a_latency_that_is_always_zero_has_no_plot() {
    let mut made = full(400, 8);
    for request in &mut made.requests {
        request.queue_time_ns = kvlens_core::record::Opt64::some(0);
    }
    let error = read(&made).plot("queue_time_cdf").unwrap_err().to_string();
    assert!(error.contains("`queue_time_ns` was 0 every time"), "{error}");
}

#[test]
fn what_a_run_lacks_is_said() {
    let mut made = full(400, 6);
    (made.accesses, made.requests) = (Vec::new(), Vec::new());
    let report = read(&made);
    let error = report.plot("miss_ratio").unwrap_err().to_string();
    assert!(error.contains("--tables all,accesses"), "{error}");
    assert!(matches!(
        report.plot("ttft_cdf"),
        Err(AnalysisError::NoPlot { .. })
    ));
    let error = report.plot("nonsense").unwrap_err().to_string();
    assert!(
        error.contains("kv_blocks") && error.contains("residency"),
        "{error}"
    );
    let html = report.html();
    assert!(html.contains("No finished request was recorded") && html.contains("--tables all,accesses"));
    let out = tempfile::tempdir().unwrap();
    let dir = made::killed(out.path(), "killed", &full(400, 6));
    assert!(report_of(&dir).html().contains("not ended"));
    let dir = made::parquet(out.path(), "empty", &Made::default());
    let empty = Report::read(&[&Run::open(dir).unwrap()], ScanOptions::default());
    assert!(matches!(empty, Err(AnalysisError::EmptyRun { .. })));
}

#[test]
fn what_more_memory_gives_is_an_exact_cache_of_that_size() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "run", &full(400, 7));
    let found = answers(&Run::open(dir).unwrap(), None, ScanOptions::default()).unwrap();
    let sizes = MULTIPLES.map(|multiple| (multiple * 1_000.0) as u64);
    let exact = exact_curve(lookups(), &sizes);
    let rates = |rates: Vec<f64>| rates.iter().map(|rate| format!("{rate:.9}")).collect::<Vec<_>>();
    assert_eq!(
        rates(found.what_if.iter().map(|size| size.hit_rate).collect()),
        rates(exact.points.iter().map(|point| point.hit_rate).collect())
    );
    let measured = found.measured.unwrap();
    assert_eq!(measured.accesses, 6_000);
    assert!(found.text().contains("0.25 x") && found.markdown().contains("| 4 x |"));
}
