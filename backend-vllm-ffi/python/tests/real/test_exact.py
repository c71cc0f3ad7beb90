"""What is recorded equals what vLLM itself counted."""

import pytest
from real_vllm import manifest, only_run, only_v0, only_v1, parquet

V1_SCRIPT = """
    import kvlens
    from vllm import LLM
    llm = LLM(**BASE)
    run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.2)
    outputs = []
    for _ in range(2):
        outputs += llm.generate(PROMPTS, sampling(100), use_tqdm=False)
    own = {}
    for metric in llm.get_metrics():
        reason = metric.labels.get("finished_reason")
        name = metric.name + ("/" + reason if reason else "")
        if hasattr(metric, "value"):
            own[name] = metric.value
        elif hasattr(metric, "sum"):
            own[name] = [metric.count, metric.sum]
    run.close()
    answer(own=own, figures=run.snapshot()["metrics"], path=run.path, requests={
        o.request_id: [len(o.prompt_token_ids), len(o.outputs[0].token_ids), o.num_cached_tokens,
                       o.outputs[0].finish_reason] for o in outputs})
"""


@only_v1
@pytest.mark.parametrize("multiprocessing", ["0", "1"])
def test_v1(run, runs, multiprocessing):
    found = run(V1_SCRIPT, RUNS=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING=multiprocessing).answer
    own, figures = found["own"], found["figures"]
    assert figures["prompt_tokens"] == own["vllm:prompt_tokens"]
    assert figures["generation_tokens"] == own["vllm:generation_tokens"] == 24 * 100
    assert figures["prefix_cache_queries"] == own["vllm:prefix_cache_queries"]
    assert figures["prefix_cache_hits"] == own["vllm:prefix_cache_hits"] > 0
    assert figures["preemptions_recompute"] == own["vllm:num_preemptions"] > 0
    assert figures["requests_finished_length"] == own["vllm:request_success/length"] == 24
    for name, theirs in (
        ("time_to_first_token_ns", "vllm:time_to_first_token_seconds"),
        ("inter_token_latency_ns", "vllm:inter_token_latency_seconds"),
    ):
        count, seconds = own[theirs]
        assert figures[name]["count"] == count
        assert abs(figures[name]["sum"] / 1e9 - seconds) < 1e-6
    path = only_run(runs)
    check_requests(path, found["requests"])
    steps = parquet(path, "steps")
    assert sum(row["generation_tokens"] for row in steps) == 24 * 100
    assert sum(row["preemptions_recompute"] for row in steps) == own["vllm:num_preemptions"]
    samples = parquet(path, "samples")
    named = [row["served_by"] for row in samples if row["served_by"] is not None]
    assert set(named) == {"stat_logger"} and samples[-1]["served_by"] == "stat_logger"
    facts = manifest(path)
    assert facts["clean_stop"] is True
    assert facts["sources"][0]["engine_version"].startswith("0.")
    assert "num_running_reqs" in facts["sources"][0]["attributes"]["vllm_SchedulerStats"]


def check_requests(path, outputs):
    rows = {row["request_id"].split("-")[0]: row for row in parquet(path, "requests")}
    assert len(rows) == len(outputs)
    for name, (prompt, generated, cached, reason) in outputs.items():
        row = rows[name.split("-")[0]]
        assert (row["prompt_tokens"], row["generation_tokens"]) == (prompt, generated)
        assert row["finish_reason"] == reason
        assert row["cached_prompt_tokens"] == cached
        assert row["time_to_first_token_ns"] > 0 and row["e2e_latency_ns"] >= row["decode_time_ns"]


@only_v0
def test_v0(run, runs):
    found = run("""
        import kvlens
        from vllm import LLM
        from vllm.engine.metrics_types import StatLoggerBase
        class Own(StatLoggerBase):
            sums = {}
            def log(self, stats):
                for name in ("num_prompt_tokens_iter", "num_generation_tokens_iter", "num_preemption_iter"):
                    self.sums[name] = self.sums.get(name, 0) + getattr(stats, name)
                for name in ("time_to_first_tokens_iter", "time_per_output_tokens_iter", "time_e2e_requests"):
                    count, total = self.sums.get(name, (0, 0.0))
                    values = getattr(stats, name)
                    self.sums[name] = (count + len(values), total + sum(values))
                self.sums["hit_rate"] = stats.gpu_prefix_cache_hit_rate
            def info(self, type, obj):
                pass
        llm = LLM(**BASE)
        engine = llm.llm_engine
        engine.add_logger("own", Own(local_interval=0.0, vllm_config=engine.vllm_config))
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.2)
        outputs = []
        for _ in range(2):
            outputs += llm.generate(PROMPTS, sampling(100), use_tqdm=False)
        run.close()
        answer(own=Own.sums, figures=run.snapshot()["metrics"], requests={
            o.request_id: [len(o.prompt_token_ids), len(o.outputs[0].token_ids), o.num_cached_tokens,
                           o.outputs[0].finish_reason] for o in outputs})
    """, RUNS=str(runs)).answer
    own, figures = found["own"], found["figures"]
    assert figures["prompt_tokens"] == own["num_prompt_tokens_iter"]
    assert figures["generation_tokens"] == own["num_generation_tokens_iter"]
    assert figures["preemptions_recompute"] == own["num_preemption_iter"]
    assert figures["requests_finished_length"] == own["time_e2e_requests"][0] == 24
    assert figures["vllm_v0_prefix_cache_hit_rate"] == own["hit_rate"] > 0
    assert "prefix_cache_hits" not in figures, "V0 does not count them"
    for name, theirs in (
        ("time_to_first_token_ns", "time_to_first_tokens_iter"),
        ("inter_token_latency_ns", "time_per_output_tokens_iter"),
    ):
        count, seconds = own[theirs]
        assert figures[name]["count"] == count
        assert abs(figures[name]["sum"] / 1e9 - seconds) < 1e-6
    check_requests(only_run(runs), found["requests"])


@only_v1
@pytest.mark.parametrize("multiprocessing", ["0", "1"])
def test_block_lives_from_kv_events(run, runs, multiprocessing):
    found = run("""
        import kvlens, msgspec, zmq
        from vllm import LLM
        from vllm.config import KVEventsConfig
        from vllm.distributed.kv_events import KVEventBatch
        endpoint = "ipc://" + os.environ["RUNS"] + "-events"
        llm = LLM(**BASE, kv_events_config=KVEventsConfig(
            enable_kv_cache_events=True, publisher="zmq", endpoint=endpoint))
        run = kvlens.attach(llm, out=os.environ["RUNS"], interval=0.2)
        own = zmq.Context.instance().socket(zmq.SUB)
        own.setsockopt(zmq.RCVHWM, 0)
        own.subscribe(b"")
        own.connect(endpoint)
        time.sleep(1)
        for _ in range(2):
            llm.generate(PROMPTS, sampling(100), use_tqdm=False)
        counted = {"BlockStored": 0, "BlockRemoved": 0}
        while own.poll(1000):
            for event in msgspec.msgpack.decode(own.recv_multipart()[2], type=KVEventBatch).events:
                counted[type(event).__name__] += len(event.block_hashes)
        run.close()
        figures = run.summary()["sources"][0]["metrics"]
        answer(**counted, lifetimes=figures["kv_block_lifetime_ns"]["count"], block_size=BASE["block_size"])
    """, RUNS=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING=multiprocessing).answer
    rows = parquet(only_run(runs), "blocks")
    evicted = [row for row in rows if row["end"] == "evicted"]
    assert len(evicted) == found["BlockRemoved"] == found["lifetimes"] > 0
    assert len(rows) == found["BlockStored"] > len(evicted)
    assert {row["end"] for row in rows} == {"evicted", "censored"}
    assert all(row["lifetime_ns"] > 0 and row["tokens"] == found["block_size"] for row in evicted)
    assert all(row["sample_every"] == 1 and row["reuse_count"] is None for row in rows)


@only_v1
def test_async_llm(run, runs):
    found = run("""
        import asyncio, kvlens
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        async def go():
            factory = kvlens.stat_logger(out=os.environ["RUNS"], interval=0.2)
            engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**BASE), stat_loggers=[factory])
            async def one(at):
                async for output in engine.generate(PROMPTS[at], sampling(20), request_id="mine-%d" % at):
                    last = output
                return len(last.outputs[0].token_ids)
            lengths = await asyncio.gather(*[one(at) for at in range(12)])
            from kvlens._engines import session_of
            session = session_of(engine.vllm_config)
            engine.shutdown()
            session.close()
            return lengths, session.snapshot()["metrics"]
        lengths, figures = asyncio.run(go())
        import prometheus_client
        page = {}
        for family in prometheus_client.REGISTRY.collect():
            for sample in family.samples:
                page[sample.name] = page.get(sample.name, 0) + sample.value
        answer(lengths=lengths, figures=figures, page={k: v for k, v in page.items() if k.startswith("vllm:")})
    """, RUNS=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING="1").answer
    figures, page = found["figures"], found["page"]
    assert figures["generation_tokens"] == sum(found["lengths"]) == page["vllm:generation_tokens_total"]
    assert figures["prompt_tokens"] == page["vllm:prompt_tokens_total"]
    assert figures["prefix_cache_hits"] == page["vllm:prefix_cache_hits_total"]
    assert figures["inter_token_latency_ns"]["count"] == page["vllm:inter_token_latency_seconds_count"]
    assert abs(figures["inter_token_latency_ns"]["sum"] / 1e9 - page["vllm:inter_token_latency_seconds_sum"]) < 1e-6
    names = {row["request_id"] for row in parquet(only_run(runs), "requests")}
    assert names == {f"mine-{at}" for at in range(12)}


@only_v1
def test_data_parallel_engines(run, runs):
    """Two engine cores behind one front end: rows tell them apart, samples say what is true of both."""
    found = run("""
        import asyncio, kvlens
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        async def go():
            factory = kvlens.stat_logger(out=os.environ["RUNS"], interval=0.02)
            engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**BASE, data_parallel_size=2), stat_loggers=[factory])
            async def one(at, rank):
                async for output in engine.generate(
                        PROMPTS[at], sampling(60), request_id="%d-%d" % (rank, at), data_parallel_rank=rank):
                    last = output
                return len(last.outputs[0].token_ids)
            # Uneven, so that one can't stand for the other.
            lengths = await asyncio.gather(*[one(at, int(at >= 8)) for at in range(12)])
            from kvlens._engines import session_of
            session = session_of(engine.vllm_config)
            engine.shutdown()
            session.close()
            return lengths, session.snapshot()["metrics"]
        lengths, figures = asyncio.run(go())
        import prometheus_client
        page = {}
        for family in prometheus_client.REGISTRY.collect():
            for sample in family.samples:
                if "engine" in sample.labels:
                    engines = page.setdefault(sample.name, {})
                    engines[sample.labels["engine"]] = engines.get(sample.labels["engine"], 0) + sample.value
        answer(lengths=lengths, figures=figures, tokens=page["vllm:generation_tokens_total"],
               hits=page["vllm:prefix_cache_hits_total"])
    """, RUNS=str(runs), VLLM_ENABLE_V1_MULTIPROCESSING="1").answer
    tokens = found["tokens"]
    assert tokens == {"0": 8 * 60, "1": 4 * 60} and sum(found["lengths"]) == 12 * 60
    assert found["figures"]["generation_tokens"] == 12 * 60
    assert found["figures"]["prefix_cache_hits"] == sum(found["hits"].values())
    path = only_run(runs)
    requests, steps, samples = (parquet(path, table) for table in ("requests", "steps", "samples"))
    assert len(requests) == 12
    assert all(row["engine_index"] == int(row["request_id"].split("-")[0]) for row in requests)
    for rank in (0, 1):
        of_rank = [row for row in steps if row["engine_index"] == rank]
        assert sum(row["generation_tokens"] for row in of_rank) == tokens[str(rank)]
        assert [row["step"] for row in of_rank] == list(range(len(of_rank)))
    one = max(row["kv_blocks_total"] for row in steps)
    assert samples[-1]["kv_blocks_total"] == 2 * one, "what both have"
    busiest = max(row["requests_running"] for row in steps)
    assert busiest <= 8 < max(row["requests_running"] or 0 for row in samples), "what both run"
