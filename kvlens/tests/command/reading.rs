//! The commands that read a run back.

use super::{code, copy_dir, json, kvlens, run, stderr, stdout};

#[test]
fn inspect_shows_what_is_in_a_run() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--limit", "2", "--quiet", "--device", "sim"]);
    let text = stdout(&kvlens(&["inspect", out.path().to_str().unwrap(), "--columns"]));
    for expected in [
        "kvlens-native",
        "sim",
        "ended well",
        "requests",
        "parquet",
        "samples.kv_cache_usage",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let found = json(&kvlens(&["inspect", "--json", out.path().to_str().unwrap()]));
    assert_eq!(found[0]["tables"]["requests"]["parquet"]["rows"], 2);
}

#[test]
fn a_run_that_can_t_be_inspected_hides_no_other() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "2"]);
    copy_dir(&out.path().join("run_id=t"), &out.path().join("run_id=bad"));
    std::fs::write(out.path().join("run_id=bad/run.json"), "{").unwrap();
    let output = kvlens(&["inspect", out.path().to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("run_id=t"), "{}", stdout(&output));
    assert!(stderr(&output).contains("run_id=bad"), "{}", stderr(&output));
}

#[test]
fn a_run_is_read_back() {
    let out = tempfile::tempdir().unwrap();
    for (id, size) in [("a", "16"), ("b", "32")] {
        let args = [
            "run",
            "--device",
            "sim",
            "--quiet",
            "--block-size",
            size,
            "--run-id",
            id,
        ];
        assert_eq!(
            code(&kvlens(
                &[&args[..], &["--out", out.path().to_str().unwrap()]].concat()
            )),
            0
        );
    }
    let path = |id: &str| out.path().join(format!("run_id={id}")).display().to_string();
    let summary = json(&kvlens(&["summary", "--json", &path("a")]));
    assert!(summary.to_string().contains("160"), "{summary}");
    assert!(stdout(&kvlens(&["summary", &path("a")])).contains("requests"));
    let why = kvlens(&["why", "--slowest", "2", &path("a")]);
    assert!(
        code(&why) == 0 && stdout(&why).contains("decode"),
        "{}",
        stderr(&why)
    );
    for count in ["0", "101"] {
        assert_eq!(code(&kvlens(&["why", "--slowest", count, &path("a")])), 2);
    }
    let compare = |condition: &str| kvlens(&["compare", &path("a"), &path("b"), "--fail-if", condition]);
    assert_eq!(code(&compare("requests<1")), 0);
    let holds = compare("requests>1");
    assert_eq!(code(&holds), 4, "{}", stderr(&holds));
    for wrong in ["nonsense", "ttft_p99>+5", "hit_rate<25"] {
        assert_eq!(code(&compare(wrong)), 2, "{wrong}");
    }
    assert_eq!(code(&kvlens(&["summary", "/nowhere"])), 1);
}

/// What a shell shows for runs that can't be read, command by command.
#[test]
fn bad_runs_are_named_by_every_command_that_reads() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "40"]);
    let good = out.path().join("run_id=t");
    let copy = |name: &str| {
        let dir = out.path().join(name);
        copy_dir(&good, &dir);
        dir
    };
    let truncated = copy("truncated");
    let part = truncated.join("steps/part-00000.parquet");
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let newer = copy("newer");
    let manifest = std::fs::read_to_string(newer.join("run.json")).unwrap();
    let manifest = manifest.replace("\"schema_version\": 1", "\"schema_version\": 99");
    std::fs::write(newer.join("run.json"), manifest).unwrap();
    let cut = copy("cut");
    std::fs::write(cut.join("run.json"), "{").unwrap();
    let no_run = out.path().join("no-run");
    std::fs::create_dir(&no_run).unwrap();

    let good = good.display().to_string();
    let commands: [&[&str]; 7] = [
        &["summary"],
        &["why"],
        &["cache"],
        &["compare", &good],
        &["report", "-o", "-"],
        &["watch", "--once"],
        &["inspect"],
    ];
    let cases = [
        (&no_run, "no-run", "no run"),
        (&truncated, "steps/part-00000.parquet", "Corrupt footer"),
        (&newer, "schema version 99", "use a newer kvlens"),
        (&cut, "cut/run.json", "not a manifest"),
    ];
    for (dir, place, problem) in cases {
        for command in commands {
            let output = kvlens(&[command, &[dir.to_str().unwrap()]].concat());
            let said = stderr(&output);
            // A view of what there is shows what is damaged beside the rest.
            if command[0] == "watch" && problem == "Corrupt footer" {
                assert_eq!(code(&output), 0, "{said}");
                assert!(stdout(&output).contains("is damaged"), "{}", stdout(&output));
                continue;
            }
            assert_eq!(code(&output), 1, "{command:?} {}: {said}", dir.display());
            assert!(
                said.starts_with("kvlens: ") && said.lines().count() == 1,
                "{said}"
            );
            assert!(
                said.contains(place) && said.contains(problem),
                "{command:?}: {said}"
            );
            assert!(said.matches("is damaged").count() <= 1, "said twice: {said}");
            let skips = problem == "Corrupt footer" && command[0] != "inspect";
            assert_eq!(said.contains("; --skip-damaged uses the rest"), skips, "{said}");
        }
    }
    let out = out.path().join("compacted").display().to_string();
    let compacting = kvlens(&["compact", truncated.to_str().unwrap(), "-o", &out]);
    let said = stderr(&compacting);
    assert!(said.contains("is damaged") && !said.contains("skip"), "{said}");
    for command in &commands[..5] {
        let path = truncated.to_str().unwrap();
        let skipping = kvlens(&[command, &[path, "--skip-damaged"][..]].concat());
        assert_eq!(code(&skipping), 0, "{command:?}: {}", stderr(&skipping));
        let said = stdout(&skipping);
        assert!(said.contains("steps/part-00000.parquet"), "{command:?}: {said}");
    }
    let unread = copy("unread");
    let part = unread.join("requests/part-00000.parquet");
    std::fs::write(&part, &std::fs::read(&part).unwrap()[..100]).unwrap();
    let why = |more: &[&str]| kvlens(&[&["why", "--skip-damaged", unread.to_str().unwrap()], more].concat());
    let said = stdout(&why(&[]));
    assert!(said.contains("requests/part-00000.parquet"), "{said}");
    assert!(!said.contains("no request has finished"), "{said}");
    let json = why(&["--json"]);
    assert!(stderr(&json).contains("requests/part-00000.parquet") && stdout(&json) == "[]\n");
}

#[test]
fn the_cache_is_asked() {
    let out = tempfile::tempdir().unwrap();
    run(
        out.path(),
        &["--device", "sim", "--quiet", "--tables", "all,accesses"],
    );
    let path = out.path().join("run_id=t").display().to_string();
    let found = json(&kvlens(&["cache", "--json", &path]));
    let sizes = found["what_if"].as_array().unwrap();
    assert_eq!(sizes.len(), 7);
    assert_eq!(sizes[3]["blocks"], 4096);
    // Nothing was evicted, so the run hit what a cache of any size from its own on hits.
    let measured =
        found["measured"]["hits"].as_f64().unwrap() / found["measured"]["accesses"].as_f64().unwrap();
    assert!(
        (sizes[3]["hit_rate"].as_f64().unwrap() - measured).abs() < 1e-9,
        "{found}"
    );
    // Most gaps are short ones of few blocks, which a block's row does not keep.
    let summary = json(&kvlens(&["summary", "--json", &path]));
    let mut gaps = summary["distributions"].as_array().unwrap().iter();
    let gaps = gaps.find(|found| found["label"]["name"] == "kv_block_reuse_gap_ns");
    assert_eq!(found["reuse_gap_ns"], gaps.unwrap()["quantiles"]);
    assert_eq!(found["reuse_gap_of"], "gaps");
    let bare = out.path().join("bare");
    run(&bare, &["--device", "sim", "--quiet", "--tables", "blocks"]);
    let bare = bare.display().to_string();
    let means = json(&kvlens(&["cache", "--json", &bare]));
    assert_eq!(means["reuse_gap_of"], "lives");
    assert_eq!(means["reuse_gap_ns"][0]["exact"], false);
    assert!(stdout(&kvlens(&["cache", &bare])).contains("mean of each life"));
    assert!(stdout(&kvlens(&["cache", "--sample", "0.5", &path])).contains("sampled at 50.0 %"));
    assert!(stdout(&kvlens(&["cache", "--markdown", &path])).contains("| 2 x |"));
    let none = kvlens(&["cache", "--sample", "0.000001", &path]);
    let said = stdout(&none);
    assert!(said.contains("too few sampled: 0 block contents"), "{said}");
    assert!(said.contains("--sample") && !said.contains("100 %"), "{said}");
    for share in ["0", "1e-7", "1.5", "nan"] {
        assert_eq!(code(&kvlens(&["cache", "--sample", share, &path])), 2, "{share}");
    }
    assert_eq!(code(&kvlens(&["cache", "/nowhere"])), 1);
}

#[test]
fn a_pattern_stands_for_the_runs_that_it_matches() {
    let out = tempfile::tempdir().unwrap();
    let at = |name: &str| out.path().join(name).display().to_string();
    let root = out.path().to_str().unwrap();
    for id in ["a1", "a2"] {
        let args = ["--device", "sim", "--quiet", "--limit", "4"];
        let recorded = kvlens(&[&["run", "--out", root, "--run-id", id], &args[..]].concat());
        assert_eq!(code(&recorded), 0, "{}", stderr(&recorded));
    }
    let (one, both) = (at("run_id=*1"), at("run_id=a*"));
    let summary = json(&kvlens(&["summary", "--json", &one]));
    assert_eq!(summary["run"]["run_id"], "a1");
    for command in [
        &["compare"][..],
        &["report", "-o", "-"],
        &["compact", "-o", &at("large")],
    ] {
        let output = kvlens(&[command, &[&both]].concat());
        assert_eq!(code(&output), 0, "{command:?}: {}", stderr(&output));
        let said = stdout(&output);
        assert!(said.contains("a1") && said.contains("a2"), "{command:?}: {said}");
    }
    let several = kvlens(&["summary", &both]);
    let said = stderr(&several);
    assert!(code(&several) == 1 && said.contains("holds 2 runs"), "{said}");
    assert!(!said.contains("job=ID"), "{said}");
    let alone = kvlens(&["compare", &one]);
    let said = stderr(&alone);
    assert!(
        code(&alone) == 2 && said.contains("at least two runs, 1 given"),
        "{said}"
    );
    for (pattern, problem) in [("run_id=z*", "no run under"), ("run_id=[", "can't be understood")] {
        let output = kvlens(&["summary", &at(pattern)]);
        assert!(
            code(&output) == 1 && stderr(&output).contains(problem),
            "{}",
            stderr(&output)
        );
    }
}
