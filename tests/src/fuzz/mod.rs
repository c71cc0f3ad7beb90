//! What the fuzz targets do with their bytes: `fuzz/` runs these for hours, `tests/fuzz_findings.rs` replays what was found.
//!
//! A target returns, whatever the bytes are; it panics only over a defect.

mod calls;
mod memory;
mod push;
mod readers;
pub mod seeds;
mod texts;

pub use push::{open_config, push_calls, push_figures};
pub use readers::{arrow_ipc, csv_table, open_part, parquet_part, run_json};
pub use texts::{config, metrics_page, trace};

use std::sync::Once;

/// What takes a target's bytes.
pub type Target = fn(&[u8]);

/// Every target by name: those that read runs and texts, then those that push.
pub const TARGETS: [(&str, Target); 11] = [
    ("run_json", run_json),
    ("parquet_part", parquet_part),
    ("open_part", open_part),
    ("arrow_ipc", arrow_ipc),
    ("csv_table", csv_table),
    ("trace", trace),
    ("config", config),
    ("metrics_page", metrics_page),
    ("open_config", open_config),
    ("push_calls", push_calls),
    ("push_figures", push_figures),
];

/// Keeps caught panics from ending a fuzzer's process: those of the format readers are caught and told as damage. One
/// that leaves a target still ends it.
pub fn let_panics_be_caught() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::env::var_os("KVLENS_FUZZ_SHOW_PANICS").is_some() {
                default(panic);
            }
        }));
    });
}
