//! A run that is followed while it is written.

use crate::made::{self, Made, healthy, sample};
use kvlens_analysis::follow::{Follow, Polled, Selection, Window};
use kvlens_analysis::{Run, ScanOptions, summary::summary};
use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::Exporter;
use kvlens_core::run::RunEnd;
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use std::fs;
use std::path::Path;

fn made() -> Made {
    let mut made = healthy(4_000, 3);
    made.samples = (0..80)
        .map(|second| sample(second, second * 10, &[1_000_000, 2_000_000, 40_000_000]))
        .collect();
    made
}

/// Polls until nothing is left.
fn catch_up(follow: &mut Follow) -> Polled {
    loop {
        let polled = follow.poll().unwrap();
        if !polled.more {
            return polled;
        }
    }
}

/// Writes a run batch by batch, with flushes now and then, and follows it all the while.
fn write_and_follow(out: &Path, exporter: &mut dyn Exporter, made: &Made, seed: u64) -> Follow {
    let schema = made::schema("live");
    let mut manifest = Manifest::create(out);
    assert!(
        Follow::open(out.join("run_id=live")).unwrap().is_none(),
        "not there yet"
    );
    manifest.begin(&schema).unwrap();
    exporter.begin(&schema).unwrap();
    let mut follow = Follow::open(out)
        .unwrap()
        .expect("the only run under the directory");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut batches = made::batches(made);
    // By time, as a collector would hand them over; each table in its own order.
    batches.sort_by_key(made::start_of);
    for batch in &batches {
        exporter.write(batch).unwrap();
        if random.u8(..) < 90 {
            exporter.flush().unwrap();
        }
        if random.u8(..) < 90 {
            let before: u64 = follow.live().rows().iter().sum();
            let polled = follow.poll().unwrap();
            assert!(!polled.ended);
            assert_eq!(follow.live().rows().iter().sum::<u64>(), before + polled.rows);
        }
    }
    let mut end = RunEnd::default();
    end.clean_stop = true;
    exporter.finish(&end).unwrap();
    manifest.finish(&end).unwrap();
    assert!(catch_up(&mut follow).ended);
    follow
}

#[test]
fn every_row_is_read_once_whatever_its_file_becomes() {
    let made = made();
    let rows = [made.steps.len(), made.requests.len(), made.samples.len()].map(|rows| rows as u64);
    let small = ParquetOptions::default()
        .with_part_rows(1_500)
        .with_row_group_rows(400);
    for seed in 0..2 {
        let (parquet, arrow, csv) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let (parquet, arrow, csv) = (parquet.path(), arrow.path(), csv.path());
        let mut exporters: [(&Path, Box<dyn Exporter>); 3] = [
            (parquet, Box::new(ParquetExporter::create(parquet, small.clone()))),
            (
                arrow,
                Box::new(ArrowExporter::create(arrow, ArrowOptions::default())),
            ),
            (csv, Box::new(CsvExporter::create(csv, CsvOptions::default()))),
        ];
        for (out, exporter) in &mut exporters {
            let follow = write_and_follow(out, exporter.as_mut(), &made, seed);
            assert_eq!(follow.live().rows(), rows, "{} seed {seed}", exporter.name());
            assert_eq!(follow.problems(), [""; 0]);
            let counted = follow.live().view(&Selection::All, Window::Whole, 40);
            let of_rows: u64 = made
                .steps
                .iter()
                .map(|step| u64::from(step.generation_tokens))
                .sum();
            assert_eq!(counted.rates.generation_tokens_of_run, of_rows);
        }
    }
}

#[test]
fn figures_are_those_of_the_summary() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "done", &made());
    let summary = summary(&Run::open(&dir).unwrap(), ScanOptions::default()).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary.json().unwrap()).unwrap();
    let mut follow = Follow::open(&dir).unwrap().unwrap();
    assert!(catch_up(&mut follow).ended);
    let view = follow.live().view(&Selection::All, Window::Whole, 60);
    let hit_rate = view.rates.hit_rate_of_run.unwrap();
    assert!((hit_rate - 0.5).abs() < 1e-9, "{hit_rate}");
    let first_token = &view.latencies[0];
    assert_eq!(first_token.name, "time to first token");
    let exact = |quantile: f64| {
        let mut values: Vec<u64> = made()
            .requests
            .iter()
            .filter_map(|row| row.time_to_first_token_ns.get())
            .collect();
        values.sort_unstable();
        values[(quantile * values.len() as f64).ceil() as usize - 1] as f64
    };
    for (quantile, found) in [
        (0.5, first_token.whole.p50),
        (0.9, first_token.whole.p90),
        (0.99, first_token.whole.p99),
    ] {
        let (found, exact) = (found.unwrap() as f64, exact(quantile));
        assert!(
            (found / exact - 1.0).abs() < 0.005,
            "p{quantile}: {found} for {exact}"
        );
    }
    assert_eq!(
        first_token.recent, first_token.whole,
        "the window is the whole run"
    );
    let finished = &summary["finished"];
    let finished = finished["length"]
        .as_u64()
        .zip(finished["stop"].as_u64())
        .map(|(length, stop)| length + stop);
    assert_eq!(finished, Some(follow.live().rows()[1]));
    // The gauges are those of the last step.
    let last = made().steps.last().copied().unwrap();
    assert_eq!(view.now.running, Some(f64::from(last.requests_running)));
    assert_eq!(view.now.blocks_used, last.kv_blocks_used.get().map(f64::from));
    // Rates of columns add up to the run's.
    let columns = view.series.generation_tokens.len() as f64;
    let per_column = view.span_ns.1.abs_diff(view.span_ns.0) as f64 / columns / 1e9;
    let tokens: f64 = view.series.generation_tokens.iter().flatten().sum::<f64>() * per_column;
    let total = view.rates.generation_tokens_of_run as f64;
    assert!((tokens / total - 1.0).abs() < 0.1, "{tokens} of {total}");
}

#[test]
fn a_window_is_the_recent_past_only() {
    let out = tempfile::tempdir().unwrap();
    let mut made = made();
    // The last fifth of the requests is ten times slower.
    let slow = made.requests.len() * 4 / 5;
    for row in &mut made.requests[slow..] {
        row.time_to_first_token_ns = row.time_to_first_token_ns.get().map(|ns| ns * 10).into();
    }
    let dir = made::parquet(out.path(), "slower", &made);
    let mut follow = Follow::open(&dir).unwrap().unwrap();
    catch_up(&mut follow);
    let view = follow
        .live()
        .view(&Selection::All, Window::Recent(10_000_000_000), 40);
    let first_token = &view.latencies[0];
    let (recent, whole) = (first_token.recent.p50.unwrap(), first_token.whole.p50.unwrap());
    assert!(recent > 8 * whole, "{recent} and {whole}");
    assert!(first_token.recent.count < first_token.whole.count / 4);
    // A window begins with a whole bin: 250 ms may be missing.
    assert!((39..=40).contains(&view.series.running.len()));
    assert!(view.series.running.iter().all(Option::is_some));
}

#[test]
fn a_killed_run_is_followed_to_its_last_row_and_again_once_it_is_recovered() {
    // With and without row groups before the kill.
    for steps in [4_000, 300] {
        let out = tempfile::tempdir().unwrap();
        let mut made = made();
        made.steps.truncate(steps);
        let dir = made::killed(out.path(), "killed", &made);
        let mut follow = Follow::open(&dir).unwrap().unwrap();
        let polled = catch_up(&mut follow);
        assert!(!polled.ended, "no one ended it");
        assert_eq!(follow.live().rows()[0], steps as u64);
        assert!(follow.age().is_some());
        kvlens_parquet::recover(&dir).unwrap();
        catch_up(&mut follow);
        assert_eq!(follow.live().rows()[0], steps as u64, "once, in other files");
        assert_eq!(follow.poll().unwrap().rows, 0);
    }
}

#[test]
fn a_stream_is_read_up_to_its_last_whole_message_at_any_time() {
    let out = tempfile::tempdir().unwrap();
    let mut made = made();
    made.steps.truncate(300);
    let dir = made::killed(out.path(), "cut", &made);
    let path = dir.join("steps/_part-00000.00000.arrows");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, []).unwrap();
    let mut follow = Follow::open(&dir).unwrap().unwrap();
    let mut rows = 0;
    for end in (0..whole.len()).step_by(997).chain([whole.len()]) {
        // The same file grows: a writer appends.
        let at = fs::metadata(&path).unwrap().len() as usize;
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &whole[at..end]).unwrap();
        follow.poll().unwrap();
        assert!(follow.live().rows()[0] >= rows);
        rows = follow.live().rows()[0];
    }
    assert_eq!(rows, 300);
    assert_eq!(follow.problems(), [""; 0]);
}

#[test]
fn of_several_runs_the_last_is_followed_and_damage_is_told() {
    let out = tempfile::tempdir().unwrap();
    assert!(Follow::open(out.path()).unwrap().is_none());
    made::parquet(out.path(), "a", &made());
    std::thread::sleep(std::time::Duration::from_millis(5));
    let dir = made::parquet(out.path(), "b", &made());
    let mut follow = Follow::open(out.path()).unwrap().unwrap();
    assert_eq!(follow.run().id(), "b");
    fs::write(dir.join("steps/part-00000.parquet"), b"PAR1 nonsense PAR1").unwrap();
    catch_up(&mut follow);
    assert_eq!(follow.problems().len(), 1, "{:?}", follow.problems());
    let read = follow.live().rows()[0];
    assert!(
        read > 0 && read < made().steps.len() as u64,
        "the other parts: {read}"
    );
    fs::remove_dir_all(&dir).unwrap();
    assert!(follow.poll().is_err());
}
