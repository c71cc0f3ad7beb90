//! Runs all rows in turn, many times, and prints medians and ratios within the same round.
//!
//! `ratios [record|channel|snapshot] [ROUNDS] [NAME PART]`. Values are nanoseconds per operation. `2T` is per thread, of two
//! pinned threads on the same object, over the rounds in which the two ran at the same time for at least 90 % of it;
//! `kept` says how many rounds that were.

use kvlens_bench::{Op, Row, Values, channel, pin, record, snapshot};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often a two-thread run goes over the values, so that starting up weighs little.
const REPEAT: usize = 16;

/// Its name, its rows, the row that ratios refer to.
type Component = (&'static str, fn() -> Vec<Row>, &'static str);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(51);
    let part = arguments.get(2).map_or("", String::as_str);
    let which = arguments.first().map_or("", String::as_str);
    let all: [Component; 3] = [
        ("record", record::rows, record::REFERENCE),
        ("channel", channel::rows, channel::REFERENCE),
        ("snapshot", snapshot::rows, snapshot::REFERENCE),
    ];
    for (name, rows, reference) in all {
        if name.starts_with(which) {
            let mut rows = rows();
            rows.retain(|row| row.name.contains(part) || row.name == reference);
            println!(
                "# {name}: ns per operation, median of {rounds} interleaved rounds; x = ratio to \"{reference}\""
            );
            report(&rows, reference, rounds);
        }
    }
}

fn report(rows: &[Row], reference: &str, rounds: usize) {
    pin(0);
    let (mine, other) = (Values::latencies(42), Values::latencies(43));
    let one = one_thread(rows, &mine, rounds);
    let at = rows.iter().position(|row| row.name == reference).unwrap_or(0);
    let two: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| two_threads(row, &mine, &other, rounds))
        .collect();
    println!(
        "{:<52} {:>8} {:>8} {:>6} {:>8} {:>6}",
        "row", "1T", "1T min", "x", "2T", "kept"
    );
    for (i, row) in rows.iter().enumerate() {
        let ratios = one[i].iter().zip(&one[at]).map(|(a, b)| a / b).collect();
        let least = one[i].iter().copied().fold(f64::INFINITY, f64::min);
        let (median_1, ratio) = (median(one[i].clone()), median(ratios));
        print!("{:<52} {median_1:>8.2} {least:>8.2} {ratio:>6.2}", row.name);
        if row.shared {
            println!(" {:>8.2} {:>6}", median(two[i].clone()), two[i].len());
        } else {
            println!();
        }
    }
}

fn one_thread(rows: &[Row], values: &Values, rounds: usize) -> Vec<Vec<f64>> {
    let mut operations: Vec<Op> = rows.iter().map(|row| (row.make)()).collect();
    let mut times = vec![vec![]; rows.len()];
    for round in 0..rounds + 2 {
        for (i, operation) in operations.iter_mut().enumerate() {
            let took = operation(values);
            if let Some(upkeep) = &rows[i].upkeep {
                upkeep();
            }
            if round >= 2 {
                times[i].push(per_operation(took, rows[i].per_run));
            }
        }
    }
    times
}

fn two_threads(row: &Row, mine: &Values, other: &Values, rounds: usize) -> Vec<f64> {
    let mut times = vec![];
    if !row.shared {
        return times;
    }
    for _ in 0..rounds {
        let (mut left, mut right) = ((row.make)(), (row.make)());
        let ready = AtomicUsize::new(0);
        let run = |operation: &mut Op, values: &Values, core: usize| {
            pin(core);
            operation(values);
            // Spins, because a thread woken up starts late.
            ready.fetch_add(1, Ordering::AcqRel);
            while ready.load(Ordering::Acquire) < 2 {
                std::hint::spin_loop();
            }
            let begun = Instant::now();
            let took: Duration = (0..REPEAT).map(|_| operation(values)).sum();
            (begun, Instant::now(), took)
        };
        let (a, b) = std::thread::scope(|scope| {
            let there = scope.spawn(|| run(&mut right, other, 1));
            (
                run(&mut left, mine, 0),
                there.join().expect("a bench thread does not panic"),
            )
        });
        if let Some(upkeep) = &row.upkeep {
            upkeep();
        }
        let both = a.1.min(b.1).saturating_duration_since(a.0.max(b.0)).as_secs_f64();
        let longer = (a.1 - a.0).max(b.1 - b.0).as_secs_f64();
        if both >= 0.9 * longer {
            times.push(per_operation(a.2 + b.2, 2 * REPEAT * row.per_run));
        }
    }
    times
}

#[expect(clippy::cast_precision_loss, reason = "a duration of seconds in nanoseconds")]
fn per_operation(took: Duration, count: usize) -> f64 {
    took.as_nanos() as f64 / count as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
