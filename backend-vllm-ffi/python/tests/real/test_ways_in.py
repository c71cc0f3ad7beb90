"""The ways in that a user has: no change to a script, the older tool's interface, a server."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from real_vllm import PATIENCE_S, environment, kill_group, kvlens, manifest, only_run, only_v1, parquet


def test_a_script_that_knows_nothing_of_kvlens(run, runs):
    found = run("""
        from vllm import LLM
        assert "kvlens" not in sys.argv
        outputs = LLM(**BASE).generate(PROMPTS, sampling(10), use_tqdm=False)
        answer(tokens=sum(len(o.outputs[0].token_ids) for o in outputs))
    """, KVLENS_OUT=str(runs)).answer
    path = only_run(runs)
    assert manifest(path)["clean_stop"] is True
    rows = parquet(path, "requests")
    assert len(rows) == 12 and sum(row["generation_tokens"] for row in rows) == found["tokens"]
    assert parquet(path, "samples")[-1]["generation_tokens"] == found["tokens"]


@only_v1
def test_the_readmes_script(tmp_path):
    """As it stands there, but for the model, which is not on this machine."""
    readme = Path(__file__).parents[2] / "README.md"
    [code] = re.findall("```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    model = os.environ["KVLENS_TEST_MODEL"]
    theirs, ours = 'model="facebook/opt-125m"', f"model={model!r}, dtype='bfloat16', max_model_len=1024, enforce_eager=True"
    assert theirs in code
    script = tmp_path / "script.py"
    script.write_text(code.replace(theirs, ours), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], env=environment(VLLM_ENABLE_V1_MULTIPROCESSING="1"), cwd=tmp_path,
        capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    # vLLM itself prints, too, before and after.
    [(path, hits)] = re.findall(r"^(runs/run_id=\S+)\n(\d+)$", done.stdout, re.MULTILINE)
    assert int(hits) >= 0
    summary = kvlens("summary", str(tmp_path / path))
    assert "vllm" in summary and re.search(r"requests +2\b", summary), summary


def test_the_older_tools_script(run, runs):
    found = run("""
        from kvlens import VLLMMetricsCollector
        from vllm import LLM
        llm = LLM(**BASE)
        collector = VLLMMetricsCollector(llm=llm, collection_interval=1.0, enable_monitoring=True)
        collector.start_monitoring()
        llm.generate(PROMPTS, sampling(30), use_tqdm=False)
        during = collector.collect_internal_stats()
        collector.stop_monitoring()
        stats = collector.get_comprehensive_stats()
        sizes = {}
        for ending in ("csv", "parquet", "arrow"):
            name = os.path.join(os.getcwd(), "x." + ending)
            collector.save_metrics(name)
            sizes[ending] = os.path.getsize(name)
        stats.pop("raw_metrics")
        answer(during=during, sizes=sizes, **stats)
    """).answer
    key = found["key_metrics"]
    assert key["generation_tokens_total"] == 360 and key["prompt_tokens_total"] > 12 * 90
    assert 0 < key["gpu_prefix_cache_hit_rate_percent"] <= 100
    assert key["gpu_cache_usage_percent"] is not None
    assert 0 < key["avg_time_per_output_token_seconds"] < 5 and 0 < key["avg_time_to_first_token_seconds"] < 60
    assert found["histogram_analysis"]["avg_time_to_first_token_seconds"] == key["avg_time_to_first_token_seconds"]
    assert found["histogram_analysis"]["time_per_output_token_seconds"]["p99"] > 0
    assert found["trend_analysis"]["generation_tokens_total"]["last"] == 360
    assert all(size > 0 for size in found["sizes"].values())
    for name, value in key.items():
        assert value is not None or name in found["reasons"] or name == "gpu_cache_usage_percent_max"


@only_v1
def test_statistics_off(run, runs):
    script = """
        import kvlens
        from vllm import LLM
        llm = LLM(**BASE, disable_log_stats=True)
        try:
            run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.02)
        except kvlens.StatisticsOff as error:
            answer(refused=str(error))
        else:
            llm.generate(PROMPTS, sampling(20), use_tqdm=False)
            run.close()
            answer(figures=run.snapshot())
    """
    refused = run(script, RUNS=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING="1").answer
    assert "disable_log_stats=False" in refused["refused"]
    polled = run(script, RUNS=str(runs)).answer["figures"]
    assert polled["served_by"] == "scheduler_poll" and "kv_cache_usage" in polled["metrics"]
    assert max(row["requests_running"] or 0 for row in parquet(only_run(runs), "samples")) > 0


@only_v1
def test_serve(tmp_path, runs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        os.path.join(os.path.dirname(sys.executable), "vllm"), "serve", os.environ["KVLENS_TEST_MODEL"],
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--max-model-len", "1024",
        "--block-size", "32", "--enforce-eager", "--served-model-name", "tiny",
    ]
    log = open(tmp_path / "serve.log", "w", encoding="utf-8")
    given = environment(KVLENS_OUT=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING="1")
    server = subprocess.Popen(command, env=given, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_for(address + "/health", server, tmp_path)
        from kvlens import scrape_url

        with scrape_url(address + "/metrics", out=str(tmp_path / "scraped"), interval=0.2) as scraped:
            time.sleep(1.0)
            body = b'{"model": "tiny", "prompt": "a server counts requests", "max_tokens": 25, "ignore_eos": true}'
            for _ in range(4):
                request = urllib.request.Request(
                    address + "/v1/completions", body, {"Content-Type": "application/json"})
                urllib.request.urlopen(request, timeout=60).read()
            time.sleep(1.0)
        page = urllib.request.urlopen(address + "/metrics", timeout=10).read().decode()
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        finally:
            kill_group(server)
    own = {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith("vllm:")}
    outside = scraped.summary()["sources"][0]
    assert outside["served_by"] == "metrics_url"
    inside = parquet(only_run(runs), "samples")[-1]
    for figures in (outside["metrics"], inside):
        assert figures["generation_tokens"] == own["vllm:generation_tokens_total"] == 100
        assert figures["prompt_tokens"] == own["vllm:prompt_tokens_total"]
        assert figures["prefix_cache_queries"] == own["vllm:prefix_cache_queries_total"]
    assert outside["metrics"]["inter_token_latency_ns"]["count"] == 96
    assert len(parquet(only_run(runs), "requests")) == 4


def wait_for(address, server, tmp_path, seconds=PATIENCE_S):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, (tmp_path / "serve.log").read_text()[-4000:]
        try:
            urllib.request.urlopen(address, timeout=2).read()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError((tmp_path / "serve.log").read_text()[-4000:])


def test_run_experiment(tmp_path, runs):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"count requests tokens blocks {at}" for at in range(6)))
    command = [
        sys.executable, "-m", "kvlens.run_experiment", "--model", os.environ["KVLENS_TEST_MODEL"], "--prompts",
        str(prompts), "--out", str(runs), "--max-tokens", "12", "--ignore-eos", "--repeat", "2",
        "--engine-arg", "dtype=bfloat16", "--engine-arg", "enforce_eager=true", "--engine-arg", "max_model_len=1024",
        "--engine-arg", f"block_size={16 if os.environ.get('VLLM_USE_V1') == '0' else 32}",
    ]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(parquet(only_run(runs), "requests")) == 12
    assert "generation_tokens: 144" in done.stdout
