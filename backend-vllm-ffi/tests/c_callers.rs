//! Callers in C: the header compiles, the layouts agree, the example's run equals what it pushed, mistakes are survived.
//!
//! With gcc's address and undefined-behaviour sanitizers; says so and stops where there is no compiler.

mod common;

use common::{compiler, library_dir};
use kvlens_vllm_ffi::abi::{KvlensBlock, KvlensRequest, KvlensStep};
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out
}

/// Compiles a C program against the shared library, with sanitizers, and runs it.
fn run(source: &Path, dir: &Path, arguments: &[&str]) -> Option<String> {
    let cc = compiler("cc")?;
    let program = dir.join("program");
    let lib = library_dir();
    let rpath = format!("-Wl,-rpath,{}", lib.display());
    succeed(
        Command::new(cc)
            .args([
                "-std=c99",
                "-D_DEFAULT_SOURCE",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-g",
            ])
            .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
            .arg("-I")
            .arg(root().join("include"))
            .arg(source)
            .arg("-L")
            .arg(&lib)
            .args(["-lkvlens_vllm_ffi", &rpath, "-o"])
            .arg(&program),
    );
    let mut command = Command::new(&program);
    // It counts more than the path in the program, and names a directory where an older build may be.
    command.env_remove("LD_LIBRARY_PATH");
    Some(succeed(command.args(arguments)))
}

#[test]
fn the_header_is_c99_and_cpp17() {
    let dir = tempfile::tempdir().unwrap();
    for (compiler_name, standard, file) in [
        ("cc", "-std=c99", "header.c"),
        ("c++", "-std=c++17", "header.cpp"),
    ] {
        let Some(cc) = compiler(compiler_name) else {
            continue;
        };
        let source = dir.path().join(file);
        std::fs::write(
            &source,
            "#include \"kvlens.h\"\nint main(void) { return kvlens_version() == 0; }\n",
        )
        .unwrap();
        succeed(
            Command::new(cc)
                .args([
                    standard,
                    "-pedantic",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-fsyntax-only",
                    "-I",
                ])
                .arg(root().join("include"))
                .arg(source),
        );
    }
}

macro_rules! layout {
    ($out:ident, $rust:ty, $c:literal, [$($field:ident),* $(,)?]) => {
        writeln!($out, "SAME(sizeof({}), {});", $c, size_of::<$rust>()).unwrap();
        $( writeln!($out, "SAME(offsetof({}, {}), {});", $c, stringify!($field), offset_of!($rust, $field)).unwrap(); )*
    };
}

fn step_layout(source: &mut String) {
    layout!(
        source,
        KvlensStep,
        "kvlens_step",
        [
            struct_size,
            origin,
            known,
            engine_index,
            flags,
            time_to_first_token_s,
            time_to_first_token_count,
            inter_token_latency_s,
            inter_token_latency_count,
            requests_running,
            requests_waiting,
            kv_cache_usage,
            kv_blocks_total,
            generation_tokens,
            prompt_tokens,
            preemptions,
            requests_deferred,
            prefix_cache_queries,
            prefix_cache_hits,
            requests_admitted,
            cached_prompt_tokens,
            computed_prompt_tokens,
            prefix_cache_queries_preempted,
            prefix_cache_hits_preempted,
            requests_swapped,
            kv_blocks_used,
            kv_blocks_cached,
            kv_blocks_free,
            external_prefix_cache_queries,
            external_prefix_cache_hits,
            spec_decode_drafts,
            spec_decode_draft_tokens,
            spec_decode_accepted_tokens,
            prefill_requests,
            prefill_tokens,
            decode_tokens,
            step_time_s,
            prefix_cache_hit_rate,
        ]
    );
}

fn request_layout(source: &mut String) {
    layout!(
        source,
        KvlensRequest,
        "kvlens_request",
        [
            struct_size,
            finish_reason,
            known,
            engine_index,
            reserved,
            request_id,
            prompt_tokens,
            generation_tokens,
            cached_prompt_tokens,
            external_cached_tokens,
            max_tokens,
            preemptions,
            priority,
            time_to_first_token_s,
            time_per_output_token_s,
            e2e_latency_s,
            queue_time_s,
            prefill_time_s,
            decode_time_s,
            inter_token_latency_max_s,
        ]
    );
}

fn block_layout(source: &mut String) {
    layout!(
        source,
        KvlensBlock,
        "kvlens_block",
        [
            struct_size,
            end,
            known,
            engine_index,
            sample_every,
            reuse_gap_s,
            reuse_gap_count,
            block,
            prefix_hash,
            tokens,
            reuse_count,
            lifetime_s,
            idle_s,
            cached_s,
        ]
    );
}

/// The C compiler agrees with the Rust compiler on every field.
#[test]
fn the_layouts_agree() {
    let Some(cc) = compiler("cc") else { return };
    let mut source = String::from(
        "#include <stddef.h>\n#include \"kvlens.h\"\n#define JOIN(a, b) a##b\n#define NAME(line) JOIN(check, line)\n\
         #define SAME(a, b) typedef char NAME(__LINE__)[(a) == (b) ? 1 : -1]\n",
    );
    step_layout(&mut source);
    request_layout(&mut source);
    block_layout(&mut source);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout.c");
    std::fs::write(&path, source).unwrap();
    let include = root().join("include");
    succeed(
        Command::new(cc)
            .args(["-std=c99", "-fsyntax-only", "-I"])
            .arg(include)
            .arg(path),
    );
}

#[test]
fn the_example_records_what_it_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let source = root().join("examples/c/engine.c");
    let Some(said) = run(&source, dir.path(), &[out.to_str().unwrap()]) else {
        return;
    };
    assert!(said.ends_with("ok\n"), "{said}");
    let run: PathBuf = out.join("run_id=c-example");
    let requests = std::fs::read_to_string(run.join("requests.csv")).unwrap();
    assert_eq!(requests.lines().count(), 41, "a header and forty requests");
    assert!(requests.contains("request-39"));
    assert!(run.join("steps/part-00000.parquet").is_file());
    let manifest = std::fs::read_to_string(run.join("run.json")).unwrap();
    assert!(
        manifest.contains("tiny-c-engine") && manifest.contains("\"clean_stop\": true"),
        "{manifest}"
    );
}

#[test]
fn mistakes_are_survived() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let config = format!(
        r#"{{"out":{:?},"run_id":"edges","interval_ms":5}}"#,
        out.to_str().unwrap()
    );
    run(&root().join("tests/c/edges.c"), dir.path(), &[&config]);
}
