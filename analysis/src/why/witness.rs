//! What the steps say about requests.

use super::{Explanation, Phase, PhaseTime, StepCost, TOLD_STEPS};
use crate::error::{Damage, Result};
use crate::overview::steps;
use crate::run::Run;
use crate::scan::{Cols, ScanOptions};
use arrow_array::RecordBatch;
use kvlens_core::Table;

/// Step times that a request's baseline is the median of; later ones are left out.
const BASELINE_STEPS: usize = 4_096;

/// What the steps say about one request.
#[derive(Debug, Clone, Default)]
struct Witness {
    /// Times of steps without prefill while it decoded.
    plain: Vec<u64>,
    /// Steps with prefill while it decoded: how many, and how long in all.
    mixed: (u64, u64),
    queued: Vec<StepCost>,
    served: Vec<StepCost>,
}

impl Witness {
    fn merge(&mut self, other: Self) {
        self.plain.extend(other.plain);
        self.plain.truncate(BASELINE_STEPS);
        self.mixed = (self.mixed.0 + other.mixed.0, self.mixed.1 + other.mixed.1);
        self.queued.extend(other.queued);
        self.served.extend(other.served);
        keep_costliest(&mut self.queued);
        keep_costliest(&mut self.served);
    }
}

fn keep_costliest(steps: &mut Vec<StepCost>) {
    steps.sort_by_key(|step| std::cmp::Reverse(step.cost_ns));
    steps.truncate(TOLD_STEPS);
}

pub(super) fn blame(run: &Run, found: &mut [Explanation], options: ScanOptions) -> Result<Vec<Damage>> {
    let columns = [
        "timestamp",
        "source",
        "engine_index",
        "step",
        "step_time_ns",
        "prefill_tokens",
        "decode_requests",
        "preemptions_recompute",
        "preemptions_swap",
    ];
    let scan = run.scan(Table::Steps)?.columns(&columns).options(options);
    let requests: &[Explanation] = found;
    let new = || vec![Witness::default(); requests.len()];
    let merge = |mine: &mut Vec<Witness>, theirs: Vec<Witness>| {
        mine.iter_mut()
            .zip(theirs)
            .for_each(|(mine, theirs)| mine.merge(theirs));
    };
    let step = |witnesses: &mut Vec<Witness>, batch: &RecordBatch| look(requests, witnesses, batch);
    let witnesses = scan.fold(new, step, merge)?;
    for (request, witness) in found.iter_mut().zip(witnesses.value) {
        request.settle(witness);
    }
    Ok(witnesses.damage)
}

/// Lets every request see the steps that ran while it was there.
fn look(requests: &[Explanation], witnesses: &mut [Witness], batch: &RecordBatch) -> Result<()> {
    let cols = Cols::new(batch);
    let (source, engine) = (cols.strings("source")?, cols.numbers("engine_index")?);
    let (starts, ends) = steps::times(cols)?;
    let number = |name: &str| cols.numbers(name);
    let (step, time, prefill) = (
        number("step")?,
        number("step_time_ns")?,
        number("prefill_tokens")?,
    );
    let (decode, again, swap) = (
        number("decode_requests")?,
        number("preemptions_recompute")?,
        number("preemptions_swap")?,
    );
    let (first, last) = (starts.iter().min().copied(), ends.iter().max().copied());
    for (request, witness) in requests.iter().zip(witnesses) {
        // Most batches lie before or after a request.
        if first.is_none_or(|first| first > request.finish_ns)
            || last.is_none_or(|last| last < request.arrival_ns)
        {
            continue;
        }
        for (row, (start, end)) in starts.iter().zip(&ends).enumerate() {
            let elsewhere = source.get(row).is_some_and(|name| name != request.source)
                || engine.get(row).is_some_and(|index| index != request.engine_index);
            if *start >= request.finish_ns || *end <= request.arrival_ns || elsewhere {
                continue;
            }
            let cost = StepCost {
                phase: request.phase_at(*start),
                step: step.get(row),
                start_ns: *start,
                step_time_ns: time.get(row).unwrap_or(0),
                cost_ns: time.get(row).unwrap_or(0),
                prefill_tokens: prefill.get(row).unwrap_or(0),
                decode_requests: decode.get(row).unwrap_or(0),
                preemptions: again.get(row).unwrap_or(0) + swap.get(row).unwrap_or(0),
            };
            witness.see(cost, request.arrival_ns);
        }
    }
    Ok(())
}

impl Witness {
    fn see(&mut self, mut step: StepCost, arrival_ns: i64) {
        match step.phase {
            Phase::Queue => {
                let before = u64::try_from(arrival_ns.saturating_sub(step.start_ns)).unwrap_or(0);
                step.cost_ns = step.step_time_ns.saturating_sub(before);
                self.queued.push(step);
                keep_if_many(&mut self.queued);
            }
            Phase::Prefill => {
                self.served.push(step);
                keep_if_many(&mut self.served);
            }
            _ if step.prefill_tokens > 0 => {
                self.mixed = (self.mixed.0 + 1, self.mixed.1.saturating_add(step.step_time_ns));
                self.served.push(step);
                keep_if_many(&mut self.served);
            }
            _ if self.plain.len() < BASELINE_STEPS => self.plain.push(step.step_time_ns),
            _ => {}
        }
    }
}

fn keep_if_many(steps: &mut Vec<StepCost>) {
    if steps.len() > 16 * TOLD_STEPS {
        keep_costliest(steps);
    }
}

impl Explanation {
    /// The phase that it was in at a time; being preempted is taken for decoding, since the row does not say when.
    fn phase_at(&self, at_ns: i64) -> Phase {
        let since = u64::try_from(at_ns.saturating_sub(self.arrival_ns)).unwrap_or(0);
        if since < self.time(Phase::Queue) {
            return Phase::Queue;
        }
        if self.ttft_ns.is_some_and(|ttft| since < ttft) {
            Phase::Prefill
        } else {
            Phase::Decode
        }
    }

    /// Turns what the steps say into costs, and into an estimate of the stalls where the engine gave none.
    fn settle(&mut self, mut witness: Witness) {
        witness.plain.sort_unstable();
        let baseline = witness.plain.get(witness.plain.len() / 2).copied();
        self.baseline_step_ns = baseline;
        for step in witness
            .served
            .iter_mut()
            .filter(|step| step.phase == Phase::Decode)
        {
            step.cost_ns = step.step_time_ns.saturating_sub(baseline.unwrap_or(0));
        }
        keep_costliest(&mut witness.queued);
        keep_costliest(&mut witness.served);
        let knows = self.phases.iter().any(|phase| phase.phase == Phase::Stalled);
        if let (false, Some(baseline)) = (knows, baseline) {
            let (count, total) = witness.mixed;
            let decode = self.time(Phase::Decode);
            let lost = total.saturating_sub(count.saturating_mul(baseline)).min(decode);
            for phase in self
                .phases
                .iter_mut()
                .filter(|phase| phase.phase == Phase::Decode)
            {
                (phase.time_ns, phase.estimated) = (decode - lost, true);
            }
            self.phases.push(PhaseTime {
                phase: Phase::Stalled,
                time_ns: lost,
                share: 0.0,
                estimated: true,
            });
        }
        self.steps = witness
            .queued
            .into_iter()
            .chain(witness.served)
            .filter(|step| step.cost_ns > 0)
            .collect();
    }
}
