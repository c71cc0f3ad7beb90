//! `kvlens catalog`.

use super::args::CatalogFormat;
use comfy_table::Table;
use kvlens_core::catalog::GROUPS;
use kvlens_core::metric::OtherNames;
use serde_json::json;
use std::fmt::Write;

/// Renders the catalog.
pub(super) fn render(format: CatalogFormat) -> String {
    match format {
        CatalogFormat::Table => table(),
        CatalogFormat::Markdown => markdown(),
        CatalogFormat::Json => json(),
    }
}

fn table() -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["metric", "kind", "unit", "what it is"]);
    for (group, metrics) in GROUPS {
        table.add_row([format!("\n{group}")]);
        for metric in *metrics {
            let unit = metric.unit.symbol();
            table.add_row([&*metric.name, &metric.kind.to_string(), unit, &*metric.help]);
        }
    }
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    format!("{}\n", table.trim_fmt())
}

fn markdown() -> String {
    let mut out = String::from(
        "# Metrics\n\nEvery standard metric, and what other systems call it. Written by `kvlens catalog --format markdown`.\n",
    );
    for (group, metrics) in GROUPS {
        // Writing to a String can't fail.
        let _ = writeln!(
            out,
            "\n## {group}\n\n| metric | kind | unit | what it is | elsewhere |\n|---|---|---|---|---|"
        );
        for metric in *metrics {
            let elsewhere = elsewhere(&metric.names);
            let unit = metric.unit.symbol();
            let _ = writeln!(
                out,
                "| `{}` | {} | {unit} | {} | {elsewhere} |",
                metric.name, metric.kind, metric.help
            );
        }
    }
    out
}

fn elsewhere(names: &OtherNames) -> String {
    let pairs = [
        ("vLLM V0", names.vllm_v0),
        ("vLLM V1", names.vllm_v1),
        ("SGLang", names.sglang),
        ("OTel", names.otel),
    ];
    let named = pairs
        .iter()
        .filter_map(|(system, name)| name.map(|name| format!("{system} `{name}`")));
    named.collect::<Vec<_>>().join("<br>")
}

fn json() -> String {
    let metric = |group: &str, metric: &kvlens_core::MetricDesc| {
        json!({
            "name": metric.name,
            "group": group,
            "kind": metric.kind.to_string(),
            "unit": metric.unit.symbol(),
            "help": metric.help,
            "names": {
                "vllm_v0": metric.names.vllm_v0,
                "vllm_v1": metric.names.vllm_v1,
                "sglang": metric.names.sglang,
                "otel_genai": metric.names.otel,
            },
        })
    };
    let all: Vec<_> = GROUPS
        .iter()
        .flat_map(|(group, metrics)| metrics.iter().map(|m| metric(group, m)))
        .collect();
    format!("{:#}\n", serde_json::Value::Array(all))
}
