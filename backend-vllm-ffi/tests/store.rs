//! The C ABI with object storage: the example engine records into a real S3 server.

mod common;
#[path = "../../store/tests/common/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the store")]
mod server;

use common::{compiler, library_dir};
use server::Server;
use std::path::Path;
use std::process::Command;

#[test]
fn the_example_engine_records_into_a_store() {
    let Some(cc) = compiler("cc") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (program, lib) = (dir.path().join("engine"), library_dir());
    let built = Command::new(cc)
        .args(["-std=c99", "-D_DEFAULT_SOURCE", "-I"])
        .arg(root.join("include"))
        .arg(root.join("examples/c/engine.c"))
        .arg("-L")
        .arg(&lib)
        .args([
            "-lkvlens_vllm_ffi",
            &format!("-Wl,-rpath,{}", lib.display()),
            "-o",
        ])
        .arg(&program)
        .status();
    assert!(built.unwrap().success());
    let run = |url: &str, secret: &str| {
        let mut command = Command::new(&program);
        // It counts more than the path in the program, and names a directory where an older build may be.
        command.env_remove("LD_LIBRARY_PATH");
        command
            .arg(url)
            .envs(server.variables())
            .env("XDG_CACHE_HOME", dir.path().join("home"));
        command.env("AWS_SECRET_ACCESS_KEY", secret).output().unwrap()
    };
    let output = run("s3://runs/from-c", server::SECRET);
    assert!(output.status.success(), "{output:?}");
    let objects = server.objects("from-c/run_id=c-example");
    for wanted in ["requests.csv", "run.json", "steps/part-00000.parquet"] {
        assert!(objects.iter().any(|name| name == wanted), "{wanted}: {objects:?}");
    }
    let refused = run("s3://runs/from-c-again", "wrong");
    let told = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(
        !refused.status.success() && told.contains("no usable credentials"),
        "{told}"
    );
}
