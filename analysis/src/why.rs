//! Where a request's time went, and which steps took it.
//!
//! The phases are the row's own: queue, prefill, preempted, decode, and the part of decode that was lost to others'
//! prefills. The steps come from `steps`, by time and engine: during the queue, those that the request waited through;
//! afterwards, those that took longer than steps without prefill did. Where the engine could not tell the time lost to
//! prefills, it is estimated from those steps and marked so.

use crate::error::{AnalysisError, Result};
use crate::num::{float, ratio};
use crate::overview::steps;
use crate::render::number::{duration, grouped, percent, utc};
use crate::render::{Document, Table};
use crate::run::Run;
use crate::scan::{Cols, ScanOptions};
use arrow_array::RecordBatch;
use kvlens_core::Table as TableName;

/// Steps that are told for each phase.
pub const TOLD_STEPS: usize = 5;
/// Requests explained at most.
pub const MOST_REQUESTS: usize = 100;
/// Step times that a request's baseline is the median of; later ones are left out.
const BASELINE_STEPS: usize = 4_096;

/// Which requests are explained.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Which {
    /// The one of this identifier; several, if it was used again.
    Request(String),
    /// Those with the longest end-to-end latency, at most [`MOST_REQUESTS`].
    Slowest(usize),
}

/// A phase of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// From arrival to the first admission.
    Queue,
    /// From the first admission to the first token, without time preempted.
    Prefill,
    /// Between preemptions and re-admissions.
    Preempted,
    /// Decoding, lost to other requests' prefills.
    Stalled,
    /// Decoding, the rest.
    Decode,
    /// What the phases leave of the end-to-end latency: clocks that differ, or phases the engine does not know.
    Other,
}

/// The time of a phase.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// How long.
    pub time_ns: u64,
    /// Its share of the end-to-end latency.
    pub share: f64,
    /// Whether it was estimated from steps, because the engine could not tell.
    pub estimated: bool,
}

/// A step that took time from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct StepCost {
    /// The phase that the request was in.
    pub phase: Phase,
    /// The step's number.
    pub step: u64,
    /// When it began, in UTC.
    pub start_ns: i64,
    /// How long it took.
    pub step_time_ns: u64,
    /// What it cost the request: the time waited through it in the queue; else what it took beyond a step without
    /// prefill.
    pub cost_ns: u64,
    /// Tokens that it computed by prefill.
    pub prefill_tokens: u64,
    /// Requests that decoded in it.
    pub decode_requests: u64,
    /// Preemptions in it.
    pub preemptions: u64,
}

/// A request, explained.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Its identifier.
    pub request_id: String,
    /// Its source.
    pub source: String,
    /// Its engine.
    pub engine_index: u64,
    /// When it arrived, in UTC.
    pub arrival_ns: i64,
    /// When it finished, in UTC.
    pub finish_ns: i64,
    /// From arrival to the last token.
    pub e2e_ns: u64,
    /// From arrival to the first token.
    pub ttft_ns: Option<u64>,
    /// Tokens of its prompt.
    pub prompt_tokens: u64,
    /// Those found in the cache.
    pub cached_prompt_tokens: Option<u64>,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Tokens computed again after preemptions.
    pub recomputed_tokens: Option<u64>,
    /// Times it was preempted.
    pub preemptions: u64,
    /// How it ended.
    pub finish_reason: Option<String>,
    /// Where the time went, in the order of the phases.
    pub phases: Vec<PhaseTime>,
    /// The median step without prefill while it decoded.
    pub baseline_step_ns: Option<u64>,
    /// The steps that cost it most, by phase.
    pub steps: Vec<StepCost>,
}

impl Explanation {
    /// The phase that took the most.
    pub fn dominant(&self) -> Option<Phase> {
        self.phases
            .iter()
            .max_by_key(|phase| phase.time_ns)
            .map(|phase| phase.phase)
    }

    /// The time of a phase; 0 if it had none.
    pub fn time(&self, phase: Phase) -> u64 {
        self.phases
            .iter()
            .find(|found| found.phase == phase)
            .map_or(0, |found| found.time_ns)
    }
}

/// Requests of a run, explained; the slowest first. Serialises to JSON; `Display` is for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Explanations(pub Vec<Explanation>);

/// Explains requests.
///
/// # Errors
/// [`AnalysisError::NoTable`] if requests were not recorded, [`AnalysisError::UnknownRequest`] if none has the
/// identifier, or what reading the run gives.
pub fn why(run: &Run, which: &Which, options: ScanOptions) -> Result<Explanations> {
    let mut found = requests(run, which, options)?;
    if let (true, Which::Request(request_id)) = (found.is_empty(), which) {
        let (run_id, request_id) = (run.id().to_owned(), request_id.clone());
        return Err(AnalysisError::UnknownRequest { run_id, request_id });
    }
    found.sort_by_key(|request| std::cmp::Reverse(request.e2e_ns));
    if run.has(TableName::Steps) && !found.is_empty() {
        blame(run, &mut found, options)?;
    }
    found.iter_mut().for_each(Explanation::shares);
    Ok(Explanations(found))
}

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

fn requests(run: &Run, which: &Which, options: ScanOptions) -> Result<Vec<Explanation>> {
    let mut columns = COLUMNS.to_vec();
    columns.push("preemptions_swap");
    let scan = run.scan(TableName::Requests)?.columns(&columns).options(options);
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
    Ok(scan.fold(Vec::new, step, merge)?.value)
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

fn blame(run: &Run, found: &mut [Explanation], options: ScanOptions) -> Result<()> {
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
    let scan = run.scan(TableName::Steps)?.columns(&columns).options(options);
    let requests: &[Explanation] = found;
    let new = || vec![Witness::default(); requests.len()];
    let merge = |mine: &mut Vec<Witness>, theirs: Vec<Witness>| {
        mine.iter_mut()
            .zip(theirs)
            .for_each(|(mine, theirs)| mine.merge(theirs));
    };
    let step = |witnesses: &mut Vec<Witness>, batch: &RecordBatch| look(requests, witnesses, batch);
    let witnesses = scan.fold(new, step, merge)?.value;
    for (request, witness) in found.iter_mut().zip(witnesses) {
        request.settle(witness);
    }
    Ok(())
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
                step: step.get(row).unwrap_or(0),
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

    fn shares(&mut self) {
        let known: u64 = self.phases.iter().map(|phase| phase.time_ns).sum();
        if let Some(rest) = self.e2e_ns.checked_sub(known).filter(|rest| *rest > 0) {
            self.phases.push(PhaseTime {
                phase: Phase::Other,
                time_ns: rest,
                share: 0.0,
                estimated: false,
            });
        }
        self.phases.sort_by_key(|phase| phase.phase);
        for phase in &mut self.phases {
            phase.share = ratio(float(phase.time_ns), float(self.e2e_ns)).unwrap_or(0.0);
        }
    }

    fn describe(&self, out: &mut Document) {
        out.heading(format!(
            "Request {} on {}: {}",
            self.request_id,
            self.source,
            duration(float(self.e2e_ns))
        ));
        let cached = self
            .cached_prompt_tokens
            .map_or(String::new(), |tokens| format!(" ({} cached)", grouped(tokens)));
        let ttft = self
            .ttft_ns
            .map_or("never".to_owned(), |ttft| duration(float(ttft)));
        out.paragraph(format!(
            "arrived {}, first token after {ttft}, prompt {} tokens{cached}, generated {}, preempted {} times, ended: {}",
            utc(self.arrival_ns),
            grouped(self.prompt_tokens),
            grouped(self.generation_tokens),
            self.preemptions,
            self.finish_reason.as_deref().unwrap_or("unknown"),
        ));
        let mut phases = Table::new(["phase", "time", "share"]);
        for phase in self.phases.iter().filter(|phase| phase.time_ns > 0) {
            let about = if phase.estimated { "~" } else { "" };
            let time = format!("{about}{}", duration(float(phase.time_ns)));
            phases.row([phase.phase.to_string(), time, percent(phase.share)]);
        }
        out.table(phases);
        let mut steps = Table::new([
            "in",
            "step",
            "took",
            "cost",
            "prefill tokens",
            "decoding",
            "preemptions",
        ]);
        for step in &self.steps {
            let times = [step.step_time_ns, step.cost_ns].map(|time| duration(float(time)));
            let [took, cost] = times;
            let counts = [step.prefill_tokens, step.decode_requests, step.preemptions].map(grouped);
            let cells = [step.phase.to_string(), grouped(step.step), took, cost];
            steps.row(cells.into_iter().chain(counts));
        }
        out.table(steps);
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Prefill => "prefill",
            Self::Preempted => "preempted",
            Self::Stalled => "stalled by prefills",
            Self::Decode => "decode",
            Self::Other => "other",
        })
    }
}

impl std::fmt::Display for Explanations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Explanations {
    /// Renders them for a terminal.
    pub fn text(&self) -> String {
        self.document().text()
    }

    /// Renders them as Markdown.
    pub fn markdown(&self) -> String {
        self.document().markdown()
    }

    /// Renders them as JSON.
    ///
    /// # Errors
    /// None in practice: every key is text and every number finite or null.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    fn document(&self) -> Document {
        let mut out = Document::default();
        self.0.iter().for_each(|request| request.describe(&mut out));
        out
    }
}
