//! The requests that are explained, from their rows.

use super::{Explanation, MOST_REQUESTS, Phase, PhaseTime, Which};
use crate::error::{AnalysisError, Damage, Result};
use crate::run::Run;
use crate::scan::{Cols, ScanOptions};
use arrow_array::RecordBatch;
use kvlens_core::Table;

const COLUMNS: [&str; 18] = [
    "timestamp",
    "arrival",
    "source",
    "engine_index",
    "request_id",
    "finish_reason",
    "prompt_tokens",
    "cached_prompt_tokens",
    "recomputed_tokens",
    "generation_tokens",
    "time_to_first_token_ns",
    "e2e_latency_ns",
    "queue_time_ns",
    "prefill_time_ns",
    "decode_time_ns",
    "preempted_time_ns",
    "stalled_time_ns",
    "preemptions_recompute",
];

pub(super) fn requests(
    run: &Run,
    which: &Which,
    options: ScanOptions,
) -> Result<(Vec<Explanation>, Vec<Damage>)> {
    let mut columns = COLUMNS.to_vec();
    columns.push("preemptions_swap");
    let scan = run.scan(Table::Requests)?.columns(&columns).options(options);
    let most = match which {
        Which::Request(_) => MOST_REQUESTS,
        Which::Slowest(count) => (*count).min(MOST_REQUESTS),
    };
    let keep = |found: &mut Vec<Explanation>| {
        found.sort_by_key(|request| std::cmp::Reverse(request.e2e_ns));
        found.truncate(most);
    };
    let step = |found: &mut Vec<Explanation>, batch: &RecordBatch| {
        let cols = Cols::new(batch);
        let (id, e2e) = (cols.strings("request_id")?, cols.numbers("e2e_latency_ns")?);
        for row in 0..cols.rows() {
            let slow_enough = || {
                let least = found.get(most.wrapping_sub(1)).map(|request| request.e2e_ns);
                most > 0
                    && e2e
                        .get(row)
                        .is_some_and(|time| least.is_none_or(|least| time > least))
            };
            let wanted = match which {
                Which::Request(wanted) => id.get(row) == Some(wanted),
                Which::Slowest(_) => slow_enough(),
            };
            if wanted {
                found.push(explanation(cols, row)?);
                keep(found);
            }
        }
        Ok(())
    };
    let merge = |found: &mut Vec<Explanation>, more: Vec<Explanation>| {
        found.extend(more);
        keep(found);
    };
    let scanned = scan.fold(Vec::new, step, merge)?;
    Ok((scanned.value, scanned.damage))
}

fn explanation(cols: Cols<'_>, row: usize) -> Result<Explanation> {
    let number = |name: &str| cols.numbers(name).map(|numbers| numbers.get(row));
    let text = |name: &str| cols.strings(name).map(|text| text.get(row).map(str::to_owned));
    let time =
        |name: &str| Ok::<_, AnalysisError>(number(name)?.and_then(|at| i64::try_from(at).ok()).unwrap_or(0));
    let (stalled, decode) = (number("stalled_time_ns")?, number("decode_time_ns")?);
    let phases = [
        (Phase::Queue, number("queue_time_ns")?),
        (Phase::Prefill, number("prefill_time_ns")?),
        (Phase::Preempted, number("preempted_time_ns")?),
        (Phase::Stalled, stalled),
        (
            Phase::Decode,
            decode.map(|decode| decode.saturating_sub(stalled.unwrap_or(0))),
        ),
    ];
    let phases = phases.into_iter().filter_map(|(phase, time)| {
        Some(PhaseTime {
            phase,
            time_ns: time?,
            share: 0.0,
            estimated: false,
        })
    });
    Ok(Explanation {
        request_id: text("request_id")?.unwrap_or_default(),
        source: text("source")?.unwrap_or_default(),
        engine_index: number("engine_index")?.unwrap_or(0),
        arrival_ns: time("arrival")?,
        finish_ns: time("timestamp")?,
        e2e_ns: number("e2e_latency_ns")?.unwrap_or(0),
        ttft_ns: number("time_to_first_token_ns")?,
        prompt_tokens: number("prompt_tokens")?.unwrap_or(0),
        cached_prompt_tokens: number("cached_prompt_tokens")?,
        generation_tokens: number("generation_tokens")?.unwrap_or(0),
        recomputed_tokens: number("recomputed_tokens")?,
        preemptions: number("preemptions_recompute")?.unwrap_or(0) + number("preemptions_swap")?.unwrap_or(0),
        finish_reason: text("finish_reason")?,
        phases: phases.collect(),
        baseline_step_ns: None,
        steps: Vec::new(),
    })
}
