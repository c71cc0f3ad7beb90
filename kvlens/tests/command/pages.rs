//! What the command says about itself.

use super::{json, kvlens, stdout};
use std::path::Path;

#[test]
fn the_metrics_page_is_the_catalog() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(page).expect("docs/metrics.md");
    let catalog = stdout(&kvlens(&["catalog", "--format", "markdown"]));
    assert!(
        page == catalog,
        "write it anew: kvlens catalog --format markdown > docs/metrics.md"
    );
    let list = json(&kvlens(&["catalog", "--format", "json"]));
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .any(|metric| metric["names"]["vllm_v1"] == "kv_cache_usage_perc")
    );
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            stdout(&kvlens(&["completions", shell])).contains("kvlens"),
            "{shell}"
        );
    }
}
