//! Where a request's time went, and which steps took it.
//!
//! The phases are the row's own: queue, prefill, preempted, decode, and the part of decode that was lost to others'
//! prefills. The steps come from `steps`, by time and engine: during the queue, those that the request waited through;
//! afterwards, those that took longer than steps without prefill did. Where the engine could not tell the time lost to
//! prefills, it is estimated from those steps and marked so.

mod render;
mod rows;
mod witness;

use crate::error::{AnalysisError, Damage, Result};
use crate::num::{float, ratio};
use crate::run::Run;
use crate::scan::ScanOptions;
use kvlens_core::Table;

/// Steps that are told for each phase.
pub const TOLD_STEPS: usize = 5;
/// Requests explained at most.
pub const MOST_REQUESTS: usize = 100;

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
    /// The step's number; `None` where steps have none.
    pub step: Option<u64>,
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

/// Requests of a run, explained. Serialises to JSON, as the list of requests; `Display` is for people.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct Explanations {
    /// The requests, the slowest first.
    pub requests: Vec<Explanation>,
    /// What limits them: parts left out.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Explains requests.
///
/// # Errors
/// [`AnalysisError::NoTable`] if requests were not recorded, [`AnalysisError::UnknownRequest`] if none has the
/// identifier, or what reading the run gives.
pub fn why(run: &Run, which: &Which, options: ScanOptions) -> Result<Explanations> {
    let (mut found, mut damage) = rows::requests(run, which, options)?;
    if let (true, true, Which::Request(request_id)) = (found.is_empty(), damage.is_empty(), which) {
        let (run_id, request_id) = (run.id().to_owned(), request_id.clone());
        return Err(AnalysisError::UnknownRequest { run_id, request_id });
    }
    found.sort_by_key(|request| std::cmp::Reverse(request.e2e_ns));
    if run.has(Table::Steps) && !found.is_empty() {
        damage.extend(witness::blame(run, &mut found, options)?);
    }
    found.iter_mut().for_each(Explanation::shares);
    Ok(Explanations {
        requests: found,
        notes: damage.iter().map(Damage::note).collect(),
    })
}

impl Explanation {
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
}
