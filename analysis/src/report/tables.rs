//! What the page says in words and numbers.

use super::{Report, Told};
use crate::num::float;
use crate::render::html::escape;
use crate::render::number::{duration, grouped, percent, significant, spoken, utc, with_unit};
use crate::summary::{Summary, Warning};

/// A figure at the top of the page.
struct Figure {
    name: &'static str,
    value: String,
    aside: String,
}

impl Figure {
    fn new(name: &'static str, value: Option<String>, aside: Option<String>) -> Self {
        Self {
            name,
            value: value.unwrap_or_else(|| "–".to_owned()),
            aside: aside.unwrap_or_default(),
        }
    }
}

fn figures(summary: &Summary) -> Vec<Figure> {
    let total = |name: &str| summary.totals.get(name).copied();
    let finished: u64 = summary.finished.values().sum();
    let per_s = |rate: Option<f64>, what: &str| rate.map(|rate| format!("{} {what}", significant(rate)));
    let preemptions = total("preemptions_recompute")
        .map(|count| count + total("preemptions_swap").unwrap_or(0))
        .or(total("preemptions_swap"));
    let utilisation = summary.utilisation;
    vec![
        Figure::new(
            "Requests",
            Some(grouped(finished)),
            per_s(summary.throughput.requests_per_s, "/s"),
        ),
        Figure::new(
            "Generated tokens",
            total("generation_tokens").map(grouped),
            per_s(summary.throughput.generation_tokens_per_s, "tokens/s"),
        ),
        Figure::new(
            "Prompt tokens",
            total("prompt_tokens").map(grouped),
            per_s(summary.throughput.prompt_tokens_per_s, "tokens/s"),
        ),
        Figure::new(
            "Prefix-cache hits",
            summary.rates.prefix_cache_hit.map(percent),
            Some("of tokens looked up".to_owned()),
        ),
        latency(summary, "TTFT", "time_to_first_token_ns"),
        latency(summary, "Inter-token latency", "inter_token_latency_ns"),
        latency(summary, "End to end", "e2e_latency_ns"),
        Figure::new(
            "KV blocks in use",
            utilisation.kv_cache_usage_mean.map(percent),
            utilisation
                .kv_cache_usage_max
                .map(|most| format!("at most {}", percent(most))),
        ),
        Figure::new(
            "Preemptions",
            preemptions.map(grouped),
            summary
                .rates
                .preemptions_per_request
                .map(|share| format!("{} per request", significant(share))),
        ),
        Figure::new(
            "Time in steps",
            utilisation.busy.map(percent),
            utilisation
                .idle_with_requests
                .map(|idle| format!("idle with requests {}", percent(idle))),
        ),
    ]
}

/// The median, and the p99 where there are enough values for one.
fn latency(summary: &Summary, name: &'static str, column: &str) -> Figure {
    let found = summary
        .distributions
        .iter()
        .find(|found| found.label.name == column);
    let at = |q: f64| {
        let quantile = found?.quantile(q).filter(|quantile| quantile.supported)?;
        Some(duration(float(quantile.value?)))
    };
    let tail = at(0.99)
        .map(|p99| format!("p99 {p99}"))
        .or_else(|| Some(format!("longest {}", duration(float(found?.max?)))));
    Figure {
        aside: tail.unwrap_or_default(),
        ..Figure::new(name, at(0.5).map(|p50| format!("p50 {p50}")), None)
    }
}

/// Tiles for one run, a table for several.
pub(super) fn overview(report: &Report) -> String {
    if let [only] = report.runs.as_slice() {
        let tile = |figure: Figure| {
            format!(
                "<div class=\"tile\"><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>\n",
                escape(figure.name),
                escape(&figure.value),
                escape(&figure.aside)
            )
        };
        let tiles: String = figures(&only.summary).into_iter().map(tile).collect();
        return format!("<dl class=\"tiles\">{tiles}</dl>\n");
    }
    let columns: Vec<_> = report.runs.iter().map(|run| figures(&run.summary)).collect();
    let head = report.runs.iter().enumerate().map(|(at, run)| {
        let name = escape(&run.name);
        format!(
            "<th class=\"number\"><i class=\"swatch c{}\"></i>{name}</th>",
            at % 8
        )
    });
    let mut rows = String::new();
    for (row, first) in columns.first().into_iter().flatten().enumerate() {
        let cells = columns.iter().filter_map(|figures| figures.get(row));
        let cell = |figure: &Figure| {
            let (value, aside) = (escape(&figure.value), escape(&figure.aside));
            format!("<td class=\"number\">{value}<small>{aside}</small></td>")
        };
        let cells: String = cells.map(cell).collect();
        rows.push_str(&format!(
            "<tr><th scope=\"row\">{}</th>{cells}</tr>\n",
            escape(first.name)
        ));
    }
    let head: String = head.collect();
    format!(
        "<div class=\"scroll\"><table class=\"wide\"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>\n"
    )
}

/// What a run was, in a line.
pub(super) fn about(summary: &Summary) -> String {
    let mut parts = Vec::new();
    for source in &summary.run.sources {
        let known = [
            Some(&source.engine),
            source.engine_version.as_ref(),
            source.model.as_ref(),
            source.device.as_ref(),
        ];
        let known: Vec<_> = known
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect();
        let text = format!("{}: {}", source.name, known.join(", "));
        if !parts.contains(&text) {
            parts.push(text);
        }
    }
    let shown: Vec<_> = parts
        .iter()
        .map(|part| format!("<span>{}</span>", escape(part)))
        .collect();
    let shown = shown.concat();
    let mut out = format!("<p class=\"about\">{shown}");
    if let Some(start) = summary.run.start_ns {
        let time = format!("{}, {} long", utc(start), duration(summary.run.span_s * 1e9));
        out.push_str(&format!("<span>{}</span>", escape(&time)));
    }
    if !summary.run.finished {
        out.push_str("<span class=\"flag\">not ended: what was flushed</span>");
    }
    out.push_str("</p>\n");
    out
}

/// Warnings of a run with what they rest on.
pub(super) fn warnings(run: &Told) -> String {
    let found = &run.summary.warnings;
    if found.is_empty() {
        return "<p class=\"calm\">No warnings.</p>\n".to_owned();
    }
    let cards: String = found.iter().map(warning).collect();
    format!("<div class=\"warnings\">{cards}</div>\n")
}

fn warning(warning: &Warning) -> String {
    let evidence = warning.evidence.iter().map(|found| {
        let value = with_unit(found.value, found.unit);
        format!(
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escape(&found.what),
            escape(&value)
        )
    });
    let evidence: String = evidence.collect();
    format!(
        "<article class=\"warning\"><h3>{}</h3><dl>{evidence}</dl><p><b>Try:</b> {}</p></article>\n",
        escape(&warning.message),
        escape(warning.advice)
    )
}

/// What the run's owner kept about it.
pub(super) fn attributes(summary: &Summary) -> String {
    let attributes = &summary.run.attributes;
    if attributes.is_empty() {
        return String::new();
    }
    let one = |(name, value): (&String, &String)| {
        format!(
            "<div><dt>{}</dt><dd>{}</dd></div>\n",
            escape(&spoken(name)),
            escape(value)
        )
    };
    let all: String = attributes.iter().map(one).collect();
    format!("<dl class=\"attributes\">{all}</dl>\n")
}
