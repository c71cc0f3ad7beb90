"""Whatever goes wrong on this side, generation goes on, nothing hangs, the message is clear, the data so far is whole."""

import os
import signal
import time

import pytest
from real_vllm import manifest, only_run, only_v0, only_v1, parquet, recover

GENERATE = """
    from vllm import LLM
    llm = LLM(**BASE)
    outputs = llm.generate(PROMPTS, sampling(20), use_tqdm=False)
    answer(tokens=sum(len(o.outputs[0].token_ids) for o in outputs))
"""


def test_a_directory_that_can_not_be_written(run, tmp_path):
    (tmp_path / "file").write_text("")
    script = run(GENERATE, KVLENS_OUT=str(tmp_path / "file" / "runs"))
    assert script.answer["tokens"] == 240
    assert "not recorded" in script.err and "can't be used" in script.err


@pytest.mark.parametrize("fault", ["source_panic", "push_panic", "exporter_panic", "exporter_stall"])
def test_a_defect_of_the_recorder(run, runs, fault):
    script = run(GENERATE, KVLENS_OUT=str(runs), KVLENS_INJECT_FAULT=fault, KVLENS_INTERVAL="0.1")
    assert script.answer["tokens"] == 240
    word = {"exporter_stall": "no progress", "push_panic": "panic"}.get(fault, "injected")
    assert word in script.err, script.err[-2000:]
    if fault != "push_panic":
        assert len(parquet(only_run(runs), "requests")) == 12, "the others went on"


def test_disk_full(run, runs):
    # Files can't grow beyond 8 kB: what a write to a full disk looks like.
    script = run("""
        import kvlens, resource, signal
        from vllm import LLM
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.05, formats=["csv"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))
        outputs = []
        for _ in range(3):
            outputs += llm.generate(PROMPTS, sampling(60), use_tqdm=False)
        run.close()
        answer(tokens=sum(len(o.outputs[0].token_ids) for o in outputs), figures=run.snapshot()["metrics"])
    """, RUNS=str(runs))
    assert script.answer["tokens"] == script.answer["figures"]["generation_tokens"] == 36 * 60
    assert "kvlens:" in script.err


def test_kill_9_loses_nothing_that_was_flushed(start, runs):
    script = start("""
        import kvlens
        from vllm import LLM
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.1)
        llm.generate(PROMPTS, sampling(10), use_tqdm=False)
        time.sleep(0.3)      # ten tokens can take less than the time to the first sample
        run.flush()
        print("FLUSHED", flush=True)
        while True:
            llm.generate(PROMPTS, sampling(60), use_tqdm=False)
    """, RUNS=str(runs))
    script.wait_for("FLUSHED")
    time.sleep(0.5)
    script.process.send_signal(signal.SIGKILL)
    script.process.wait(timeout=30)
    path = only_run(runs)
    assert manifest(path).get("end") is None or not manifest(path)["clean_stop"]
    recovered = recover(path)
    assert all(recovered[table]["recovered_rows"] > 0 for table in ("samples", "steps", "requests")), recovered
    facts = manifest(path)
    assert facts["clean_stop"] is False
    rows, steps = parquet(path, "requests"), parquet(path, "steps")
    assert len(rows) >= 12 and len({row["request_id"] for row in rows}) == len(rows), "nothing twice"
    assert [row["step"] for row in steps] == list(range(len(steps))), "no step is missing up to the last flush"
    counted = parquet(path, "samples")[-1]["generation_tokens"]
    assert 0 < counted <= sum(row["generation_tokens"] for row in steps), "as of the last sample"
    assert all(table["recovered_rows"] == 0 for table in recover(path).values()), "once is enough"


def test_interrupt(start, runs):
    script = start("""
        from vllm import LLM
        llm = LLM(**BASE)
        llm.generate(PROMPTS, sampling(10), use_tqdm=False)
        print("RUNS", flush=True)
        try:
            while True:
                llm.generate(PROMPTS, sampling(60), use_tqdm=False)
        except KeyboardInterrupt:
            print("STOPPED", flush=True)
    """, KVLENS_OUT=str(runs))
    script.wait_for("RUNS")
    time.sleep(1)
    script.process.send_signal(signal.SIGINT)
    script.wait()
    assert "STOPPED" in script.out
    path = only_run(runs)
    assert manifest(path)["clean_stop"] is True and parquet(path, "steps")


def test_a_fork_and_an_exit_without_stop(run, runs):
    script = run("""
        import kvlens
        from vllm import LLM
        llm = LLM(**BASE)
        session = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.1)
        llm.generate(PROMPTS, sampling(10), use_tqdm=False)
        child = os.fork()
        if child == 0:
            loggers = getattr(getattr(llm.llm_engine, "logger_manager", None), "stat_loggers", None)
            started = time.monotonic()
            try:
                session.collector.push_page("vllm:prompt_tokens_total 1\\n", 5)
            except kvlens.KvlensError as error:
                good = error.code == 7010 and "fork" in str(error)
                session.close()
            os._exit(0 if good and time.monotonic() - started < 20 else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outputs = llm.generate(PROMPTS, sampling(10), use_tqdm=False)
        answer(status=status, tokens=sum(len(o.outputs[0].token_ids) for o in outputs))
    """, RUNS=str(runs))
    assert script.answer == {"status": 0, "tokens": 120}
    path = only_run(runs)
    assert manifest(path)["clean_stop"] is True and len(parquet(path, "requests")) == 24


@only_v1
def test_the_engine_core_dies(run, runs):
    script = run("""
        import kvlens, signal, subprocess, threading
        from vllm import LLM
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.1)
        llm.generate(PROMPTS, sampling(10), use_tqdm=False)
        def kill():
            time.sleep(1)
            children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
                                      capture_output=True, text=True).stdout
            for line in children.splitlines():
                if "EngineCore" in line:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                    print("KILLED", flush=True)
            # vLLM 0.32 itself waits for ever then, with or without kvlens.
            time.sleep(8)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=kill, daemon=True).start()
        try:
            for _ in range(200):
                llm.generate(PROMPTS, sampling(60), use_tqdm=False)
            died = False
        except BaseException as error:
            died = type(error).__name__
        run.close()
        answer(died=died, steps=run.snapshot()["metrics"]["steps"])
    """, RUNS=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING="1")
    assert script.answer["died"]
    path = only_run(runs)
    assert len(parquet(path, "steps")) == script.answer["steps"] > 0
    assert len(parquet(path, "requests")) >= 12


@only_v1
def test_statistics_of_another_shape(run, runs):
    """Fields that vanish, of the wrong type, negative or NaN, on the engine's own objects."""
    script = run("""
        import kvlens
        from vllm import LLM
        from vllm.v1.metrics.loggers import StatLoggerBase
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.1)
        manager = llm.llm_engine.logger_manager
        ours = manager.stat_loggers[-1]
        inner, turn = ours.record, [0]
        def record(scheduler_stats=None, iteration_stats=None, **more):
            turn[0] += 1
            s, i = scheduler_stats, iteration_stats
            kept = (vars(s).copy() if s else None, vars(i).copy() if i else None)
            broken = [
                lambda: delattr(s, "num_waiting_reqs"), lambda: setattr(s, "kv_cache_usage", float("nan")),
                lambda: setattr(s, "num_running_reqs", -5), lambda: setattr(s, "prefix_cache_stats", "no"),
                lambda: setattr(i, "inter_token_latencies_iter", [None, "x", -1.0, float("nan")]),
                lambda: setattr(i, "num_generation_tokens", "many"), lambda: delattr(i, "finished_requests"),
                lambda: setattr(s, "kv_cache_eviction_events", 7),
            ]
            if s is not None and i is not None:
                broken[turn[0] % len(broken)]()
            try:
                inner(s, i, **more)
            finally:
                for thing, values in ((s, kept[0]), (i, kept[1])):
                    if thing is not None:
                        vars(thing).clear()
                        vars(thing).update(values)
        ours.record = record
        outputs = llm.generate(PROMPTS, sampling(40), use_tqdm=False)
        ours.record = inner
        outputs += llm.generate(PROMPTS, sampling(40), use_tqdm=False)
        run.close()
        answer(tokens=sum(len(o.outputs[0].token_ids) for o in outputs),
               anomalies=run.summary()["sources"][0]["metrics"]["anomalies"])
    """, RUNS=str(runs))
    assert script.answer["tokens"] == 24 * 40
    assert script.answer["anomalies"] > 0
    assert len(parquet(only_run(runs), "requests")) >= 12


@only_v1
def test_the_fallback_fills_a_gap(run, runs):
    """The stat logger fails in mid-run: the registry takes over, and hands back; totals are vLLM's own."""
    script = run("""
        import kvlens
        from kvlens import _session
        _session.FIRST_BACKOFF_S = 1.0
        from vllm import LLM
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.05)
        ours = llm.llm_engine.logger_manager.stat_loggers[-1]
        take = ours._take
        llm.generate(PROMPTS, sampling(20), use_tqdm=False)
        def broken(*_):
            raise ValueError("broken on purpose")
        ours._take = broken
        llm.generate(PROMPTS, sampling(20), use_tqdm=False)
        time.sleep(0.5)
        served = run.snapshot()["served_by"]
        in_gap = run.snapshot()["metrics"]["generation_tokens"]
        ours._take = take
        time.sleep(1.0)
        llm.generate(PROMPTS, sampling(20), use_tqdm=False)
        run.close()
        own = {m.name: m.value for m in llm.get_metrics() if hasattr(m, "value")}
        answer(served=served, in_gap=in_gap, own=own["vllm:generation_tokens"],
               total=run.snapshot()["metrics"]["generation_tokens"])
    """, RUNS=str(runs)).answer
    assert script["served"] == "get_metrics" and script["in_gap"] == 480
    assert script["total"] == script["own"] == 720
    served = {row["served_by"] for row in parquet(only_run(runs), "samples")}
    assert {"stat_logger", "get_metrics"} <= served


@only_v0
def test_statistics_of_another_shape_v0(run, runs):
    """The same on the older engine."""
    script = run("""
        import kvlens
        from vllm import LLM
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.1)
        [ours] = [one for name, one in llm.llm_engine.stat_loggers.items() if name.startswith("kvlens")]
        inner, turn = ours.log, [0]
        def log(stats):
            turn[0] += 1
            broken = [
                lambda: delattr(stats, "num_waiting_sys"), lambda: setattr(stats, "gpu_cache_usage_sys", float("nan")),
                lambda: setattr(stats, "num_running_sys", -5), lambda: setattr(stats, "gpu_prefix_cache_hit_rate", "no"),
                lambda: setattr(stats, "time_per_output_tokens_iter", [None, "x", -1.0, float("nan")]),
                lambda: setattr(stats, "num_generation_tokens_iter", "many"),
                lambda: setattr(stats, "time_e2e_requests", 7), lambda: setattr(stats, "time_queue_requests", [None]),
            ]
            kept = vars(stats).copy()
            broken[turn[0] % len(broken)]()
            try:
                inner(stats)
            finally:
                vars(stats).clear()
                vars(stats).update(kept)
        ours.log = log
        outputs = llm.generate(PROMPTS, sampling(40), use_tqdm=False)
        ours.log = inner
        outputs += llm.generate(PROMPTS, sampling(40), use_tqdm=False)
        run.close()
        answer(tokens=sum(len(o.outputs[0].token_ids) for o in outputs),
               anomalies=run.summary()["sources"][0]["metrics"]["anomalies"])
    """, RUNS=str(runs))
    assert script.answer["tokens"] == 24 * 40
    assert script.answer["anomalies"] > 0
    assert len(parquet(only_run(runs), "requests")) >= 12


@only_v0
def test_the_fallback_fills_a_gap_v0(run, runs):
    """Scheduler and block manager are looked at meanwhile, and the registry has what was counted."""
    script = run("""
        import kvlens
        from vllm import LLM
        llm = LLM(**BASE)
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.05)
        [ours] = [one for name, one in llm.llm_engine.stat_loggers.items() if name.startswith("kvlens")]
        take = ours._requests
        tokens = 0
        def generate():
            return sum(len(o.outputs[0].token_ids) for o in llm.generate(PROMPTS, sampling(20), use_tqdm=False))
        tokens += generate()
        def broken(*_):
            raise ValueError("broken on purpose")
        ours._requests = broken
        tokens += generate()
        time.sleep(0.5)
        served, in_gap = run.snapshot()["served_by"], run.snapshot()["metrics"]["generation_tokens"]
        ours._requests = take
        time.sleep(1.0)
        tokens += generate()
        run.close()
        answer(served=served, in_gap=in_gap, tokens=tokens, total=run.snapshot()["metrics"]["generation_tokens"])
    """, RUNS=str(runs)).answer
    assert script["served"] == "scheduler_poll" and script["in_gap"] == 480
    assert script["total"] == script["tokens"] == 720
    served = {row["served_by"] for row in parquet(only_run(runs), "samples")}
    assert {"v0_stat_logger", "scheduler_poll"} <= served
