//! The text of every table, byte for byte.
//!
//! After a wanted change: `KVLENS_BLESS=1 cargo test -p kvlens-csv --test golden`, then look at the difference.

use kvlens_core::conformance::{sample_batches, sample_schema};
use std::fs;
use std::path::Path;

#[test]
fn text_is_as_it_was() {
    let schema = sample_schema();
    for batch in sample_batches(&schema) {
        let text = kvlens_csv::to_string(&schema, &batch);
        let name = format!("tests/golden/{}.csv", batch.table().name());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("KVLENS_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        assert_eq!(text, expected, "{}", path.display());
    }
}
