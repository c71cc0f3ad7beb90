//! Explanations for people.

use super::{Explanation, Explanations, Phase, StepCost};
use crate::num::float;
use crate::render::number::{duration, grouped, percent, utc};
use crate::render::{Document, Table};

impl Explanation {
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
        let ttft = match (self.ttft_ns, self.generation_tokens) {
            (Some(ttft), _) => format!("first token after {}", duration(float(ttft))),
            (None, 0) => "no token".to_owned(),
            (None, _) => "first token at an unknown time".to_owned(),
        };
        out.paragraph(format!(
            "arrived {}, {ttft}, prompt {} tokens{cached}, generated {}, preempted {} times, ended: {}",
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
            let cells = [step.phase.to_string(), step.number(), took, cost];
            steps.row(cells.into_iter().chain(counts));
        }
        out.table(steps);
    }
}

impl StepCost {
    /// The step's number, or that it has none.
    pub(crate) fn number(&self) -> String {
        self.step.map_or("unknown".to_owned(), grouped)
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
        if self.requests.is_empty() {
            out.paragraph(if self.notes.is_empty() {
                "no request has finished in this run"
            } else {
                "no such request in what could be read"
            });
        }
        self.requests
            .iter()
            .for_each(|request| request.describe(&mut out));
        out.notes(&self.notes);
        out
    }
}
