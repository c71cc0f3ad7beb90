//! The slowest requests: where their time went.

use super::Told;
use crate::num::float;
use crate::render::html::escape;
use crate::render::number::{duration, grouped, percent};
use crate::why::{Explanation, Phase};

/// The slowest requests: where their time went, and the steps that did it.
pub(super) fn table(run: &Told) -> String {
    if run.slowest.requests.is_empty() {
        return "<p class=\"calm\">No finished request was recorded.</p>\n".to_owned();
    }
    let rows: String = run.slowest.requests.iter().map(request).collect();
    format!(
        "<div class=\"scroll\"><table class=\"slowest\"><thead><tr><th>request</th><th class=\"number\">end to end</th>\
         <th class=\"number\">TTFT</th><th class=\"number\">prompt</th><th class=\"number\">cached</th>\
         <th class=\"number\">generated</th><th class=\"number\">preempted</th><th>where the time went</th></tr></thead>\n\
         <tbody>{rows}</tbody></table></div>\n"
    )
}

fn request(request: &Explanation) -> String {
    let tokens = |tokens: Option<u64>| tokens.map_or("–".to_owned(), grouped);
    let cells = [
        duration(float(request.e2e_ns)),
        request
            .ttft_ns
            .map_or("–".to_owned(), |ttft| duration(float(ttft))),
        grouped(request.prompt_tokens),
        tokens(request.cached_prompt_tokens),
        grouped(request.generation_tokens),
        grouped(request.preemptions),
    ];
    let cells: String = cells.map(|cell| number_cell(&cell)).concat();
    format!(
        "<tr><th scope=\"row\">{}</th>{cells}<td>{}{}</td></tr>\n",
        escape(&request.request_id),
        bar(request),
        steps(request)
    )
}

fn number_cell(text: &str) -> String {
    format!("<td class=\"number\">{}</td>", escape(text))
}

/// A bar of the phases.
fn bar(request: &Explanation) -> String {
    let mut out = String::from("<div class=\"bar\" role=\"img\" aria-label=\"");
    let phases = || request.phases.iter().filter(|phase| phase.time_ns > 0);
    let texts = phases().map(|phase| {
        let about = if phase.estimated { "~" } else { "" };
        let time = duration(float(phase.time_ns));
        format!("{} {about}{time} ({})", phase.phase, percent(phase.share))
    });
    out.push_str(&escape(&texts.clone().collect::<Vec<_>>().join(", ")));
    out.push_str("\">");
    for (phase, text) in phases().zip(texts) {
        out.push_str(&format!(
            "<i class=\"phase-{}\" style=\"flex-grow:{:.4}\" title=\"{}\"></i>",
            class(phase.phase),
            phase.share.max(0.0),
            escape(&text)
        ));
    }
    let most = phases().max_by_key(|phase| phase.time_ns);
    let most = most.map_or(String::new(), |phase| {
        format!("{} {}", phase.phase, percent(phase.share))
    });
    out.push_str(&format!("</div><small>mostly {}</small>", escape(&most)));
    out
}

/// The phases with the classes of their colours, for the legend.
pub(super) fn phases() -> String {
    let all = [
        Phase::Queue,
        Phase::Prefill,
        Phase::Preempted,
        Phase::Stalled,
        Phase::Decode,
        Phase::Other,
    ];
    let one = |phase: Phase| format!("<span><i class=\"phase-{}\"></i>{phase}</span>", class(phase));
    format!("<p class=\"legend\">{}</p>\n", all.map(one).concat())
}

fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Queue => "queue",
        Phase::Prefill => "prefill",
        Phase::Preempted => "preempted",
        Phase::Stalled => "stalled",
        Phase::Decode => "decode",
        Phase::Other => "other",
    }
}

fn steps(request: &Explanation) -> String {
    if request.steps.is_empty() {
        return String::new();
    }
    let step = |step: &crate::why::StepCost| {
        let times = [step.step_time_ns, step.cost_ns].map(|time| duration(float(time)));
        let counts = [step.prefill_tokens, step.decode_requests, step.preemptions].map(grouped);
        let cells = times.into_iter().chain(counts);
        let cells: String = cells.map(|cell| number_cell(&cell)).collect();
        let phase = escape(&step.phase.to_string());
        format!(
            "<tr><td>{phase}</td><td class=\"number\">{}</td>{cells}</tr>\n",
            step.number()
        )
    };
    let rows: String = request.steps.iter().map(step).collect();
    format!(
        "<details><summary>steps that cost it most</summary><div class=\"scroll\"><table><thead><tr><th>in</th>\
         <th class=\"number\">step</th><th class=\"number\">took</th><th class=\"number\">cost</th>\
         <th class=\"number\">prefill tokens</th><th class=\"number\">decoding</th><th class=\"number\">preemptions</th>\
         </tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
}
