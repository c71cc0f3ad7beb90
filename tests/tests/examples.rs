//! The programs of `examples/` run and do what they say: each ends in an assertion of its own.

#[path = "../../examples/custom_backend.rs"]
mod custom_backend;
#[path = "../../examples/custom_exporter.rs"]
mod custom_exporter;
#[path = "../../examples/embed.rs"]
mod embed;
#[path = "../../examples/read_run.rs"]
mod read_run;

#[test]
fn embed_records_an_engine() {
    embed::main().unwrap();
}

#[test]
fn custom_backend_is_recorded() {
    custom_backend::main().unwrap();
}

#[test]
fn custom_exporter_receives_a_run() {
    custom_exporter::main().unwrap();
}

#[test]
fn read_run_reads_a_run() {
    read_run::main().unwrap();
}
