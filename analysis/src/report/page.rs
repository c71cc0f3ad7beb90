//! The page around the plots.

use super::plot::{Missing, Plot, Section};
use super::{Report, Told, slowest, tables};
use crate::render::html::{escape, script_json};

/// Apache `ECharts`, as `scripts/echarts.sh` makes it.
const ECHARTS: &str = include_str!("assets/echarts.min.js");
const SCRIPT: &str = include_str!("assets/report.js");
const STYLE: &str = include_str!("assets/report.css");

/// Nothing is loaded, and nothing that data could smuggle in may run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; \
                      base-uri 'none'; form-action 'none'";

const SECTIONS: [(Section, &str, &str); 4] = [
    (Section::Time, "time", "Over time"),
    (Section::Latency, "latency", "Latency"),
    (Section::Steps, "steps", "Steps"),
    (Section::Cache, "cache", "KV cache"),
];

pub(super) fn html(report: &Report) -> String {
    let mut out = head(report);
    out.push_str("<main>\n");
    out.push_str(&section("overview", "Overview", &overview(report)));
    for (section_of, id, title) in SECTIONS {
        let body = plots(report, section_of);
        out.push_str(&section(id, title, &body));
    }
    out.push_str(&section("slowest", "Slowest requests", &slowest_requests(report)));
    if let Some(comparison) = &report.comparison {
        let body = comparison.document().html(3);
        out.push_str(&section("comparison", "Comparison", &body));
    }
    out.push_str(&section("figures", "All figures", &figures(report)));
    out.push_str("</main>\n");
    let version = env!("CARGO_PKG_VERSION");
    out.push_str(&format!(
        "<footer><p>Made by kvlens {version}. Plots: Apache ECharts, Apache-2.0.</p></footer>\n"
    ));
    // Serialising numbers and text can't fail.
    let json = serde_json::to_string(&report.plots).unwrap_or_else(|_| "[]".to_owned());
    out.push_str(&format!(
        "<script type=\"application/json\" id=\"plots\">{}</script>\n",
        script_json(&json)
    ));
    out.push_str(&format!(
        "<script>{ECHARTS}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ));
    out
}

fn head(report: &Report) -> String {
    let names: Vec<_> = report.runs.iter().map(|run| run.name.as_str()).collect();
    let title = escape(&names.join(", "));
    let mut links = String::from("<a href=\"#overview\">Overview</a>");
    for (_, id, name) in SECTIONS {
        links.push_str(&format!("<a href=\"#{id}\">{name}</a>"));
    }
    links.push_str("<a href=\"#slowest\">Slowest requests</a>");
    if report.comparison.is_some() {
        links.push_str("<a href=\"#comparison\">Comparison</a>");
    }
    links.push_str("<a href=\"#figures\">All figures</a>");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"kvlens\">\n\
         <title>{title} · kvlens</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<div class=\"top\">\
         <p class=\"brand\">kvlens report</p><button type=\"button\" id=\"theme\" aria-label=\"switch between light and dark\">\
         <span class=\"if-light\">Dark</span><span class=\"if-dark\">Light</span></button></div>\n{}<nav>{links}</nav>\n\
         </header>\n",
        runs(report)
    )
}

fn runs(report: &Report) -> String {
    let one = |(at, run): (usize, &Told)| {
        let swatch = if report.runs.len() > 1 {
            format!("<i class=\"swatch c{}\"></i>", at % 8)
        } else {
            String::new()
        };
        let level = if report.runs.len() > 1 { 2 } else { 1 };
        format!(
            "<h{level} class=\"run\">{swatch}{}</h{level}>\n{}",
            escape(&run.name),
            tables::about(&run.summary)
        )
    };
    let all: String = report.runs.iter().enumerate().map(one).collect();
    if report.runs.len() > 1 {
        return format!("<h1>{} runs, overlaid</h1>\n{all}", report.runs.len());
    }
    all
}

fn section(id: &str, title: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")
}

/// Something of each run, under its name where there are several.
fn by_run(report: &Report, tell: impl Fn(&Told) -> String) -> String {
    let several = report.runs.len() > 1;
    let one = |run: &Told| {
        let body = tell(run);
        if several && !body.is_empty() {
            format!("<h3 class=\"of-run\">{}</h3>\n{body}", escape(&run.name))
        } else {
            body
        }
    };
    report.runs.iter().map(one).collect()
}

fn overview(report: &Report) -> String {
    let mut out = tables::overview(report);
    out.push_str("<h3>Warnings</h3>\n");
    out.push_str(&by_run(report, tables::warnings));
    let notes = by_run(report, |run| {
        let note = |note: &String| format!("<li>{}</li>\n", escape(note));
        let notes: String = run.summary.notes.iter().map(note).collect();
        if notes.is_empty() {
            String::new()
        } else {
            format!("<ul>{notes}</ul>\n")
        }
    });
    if !notes.is_empty() {
        out.push_str(&format!("<h3>Notes</h3>\n{notes}"));
    }
    out
}

fn plots(report: &Report, section: Section) -> String {
    let absent = report.missing.iter().filter(|missing| missing.section == section);
    let absent = absent.map(
        |Missing {
             title, id, reason, ..
         }| {
            let kind = match id.rsplit_once('_') {
                Some((_, "density")) => ", density",
                Some((_, "cdf")) => ", distribution",
                Some((_, "heat")) => ", over time",
                _ => "",
            };
            format!("<li>{}{kind}: {}</li>\n", escape(title), escape(reason))
        },
    );
    let absent: String = absent.collect();
    let mut out = drawings(report, section);
    if section == Section::Cache {
        out.push_str(&by_run(report, |run| run.kv.document().html(4)));
    }
    if !absent.is_empty() {
        out.push_str(&format!(
            "<div class=\"absent\"><p>Not shown:</p><ul>{absent}</ul></div>\n"
        ));
    }
    out
}

/// The plots of a section: a latency's three beside each other, others by two or three.
fn drawings(report: &Report, section: Section) -> String {
    let shown = report.plots.iter().filter(|plot| plot.section == section);
    let is_latency = |plot: &&Plot| {
        let what = plot.id.rsplit_once('_').map(|(_, what)| what);
        section == Section::Latency || matches!(what, Some("density" | "cdf" | "heat"))
    };
    let (latencies, others): (Vec<&Plot>, Vec<&Plot>) = shown.partition(is_latency);
    let columns = if others.len() % 3 == 0 && others.len() % 2 == 1 {
        "three"
    } else {
        "two"
    };
    let mut out = String::new();
    for (plots, columns) in [(others, columns), (latencies, "three")] {
        let figures: String = plots.into_iter().map(figure).collect();
        if !figures.is_empty() {
            out.push_str(&format!("<div class=\"plots {columns}\">\n{figures}</div>\n"));
        }
    }
    out
}

fn figure(plot: &Plot) -> String {
    let id = escape(&plot.id);
    format!(
        "<figure class=\"plot\" id=\"plot-{id}\" data-plot=\"{id}\">\n<figcaption><h3>{}</h3><p>{}</p></figcaption>\n\
         <div class=\"drawing\" role=\"img\" aria-label=\"{}\"></div>\n</figure>\n",
        escape(&plot.title),
        escape(&plot.note),
        escape(&format!(
            "{}: {} against {}",
            plot.title,
            plot.y.title(),
            plot.x.title()
        )),
    )
}

fn slowest_requests(report: &Report) -> String {
    let mut out = slowest::phases();
    out.push_str(&by_run(report, slowest::table));
    out
}

fn figures(report: &Report) -> String {
    let one = |run: &Told| {
        let mut out = format!("<details open><summary>Run {}</summary>\n", escape(&run.name));
        out.push_str(&run.summary.document().html(4));
        let attributes = tables::attributes(&run.summary);
        if !attributes.is_empty() {
            out.push_str(&format!("<h4>Kept with the run</h4>\n{attributes}"));
        }
        out.push_str("</details>\n");
        out
    };
    report.runs.iter().map(one).collect()
}
