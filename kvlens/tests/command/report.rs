//! `kvlens report`.

use super::{code, kvlens, run, stderr, stdout};

#[test]
fn a_run_is_made_a_report() {
    let out = tempfile::tempdir().unwrap();
    run(
        out.path(),
        &[
            "--device",
            "sim",
            "--quiet",
            "--limit",
            "40",
            "--tables",
            "all,accesses",
        ],
    );
    let path = out.path().join("run_id=t").display().to_string();
    let page = out.path().join("page.html").display().to_string();
    let output = kvlens(&["report", &path, "-o", &page]);
    assert!(
        code(&output) == 0 && stdout(&output).contains("wrote"),
        "{}",
        stderr(&output)
    );
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("plot-miss_ratio"));
    assert!(stdout(&kvlens(&["report", &path, "-o", "-"])).contains("plot-ttft_cdf"));
    assert_eq!(code(&kvlens(&["report", "/nowhere"])), 1);
    assert_eq!(code(&kvlens(&["report"])), 2);
    let nowhere = kvlens(&["report", &path, "-o", "/nowhere/page.html"]);
    assert!(
        code(&nowhere) == 1 && stderr(&nowhere).contains("can't write"),
        "{}",
        stderr(&nowhere)
    );
}

#[test]
fn single_plots_are_written() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "40"]);
    let path = out.path().join("run_id=t").display().to_string();
    let plots = out.path().join("plots").display().to_string();
    let report = |args: &[&str]| kvlens(&[&["report", &path, "-o", &plots], args].concat());
    let output = report(&[
        "--svg",
        "ttft_cdf,queue",
        "--png",
        "kv_blocks",
        "--size",
        "500x300",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let read = |name: &str| std::fs::read(out.path().join("plots").join(name)).unwrap();
    assert!(read("ttft_cdf.svg").starts_with(b"<svg") && read("queue.svg").starts_with(b"<svg"));
    let picture = read("kv_blocks.png");
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(
        &picture[16..24],
        [0, 0, 5, 0xdc, 0, 0, 3, 0x84],
        "1500 x 900 pixels"
    );
    let unknown = report(&["--svg", "nonsense"]);
    assert!(
        code(&unknown) == 2 && stderr(&unknown).contains("ttft_cdf"),
        "{}",
        stderr(&unknown)
    );
    let absent = report(&["--png", "miss_ratio"]);
    assert!(
        code(&absent) == 1 && stderr(&absent).contains("all,accesses"),
        "{}",
        stderr(&absent)
    );
    let small = report(&["--svg", "all", "--size", "20x20"]);
    assert!(
        code(&small) == 2 && stderr(&small).contains("680x380"),
        "{}",
        stderr(&small)
    );
}
