#!/usr/bin/env python3
"""What recording costs per engine step, beside vLLM's own Prometheus logger in the same run (V1).

    OMP_NUM_THREADS=1 python bench/step_cost.py MODEL                  vLLM's own statistics objects, calls in turns
    OMP_NUM_THREADS=1 python bench/step_cost.py MODEL --engine         in the real engine, core in this process
    OMP_NUM_THREADS=1 python bench/step_cost.py MODEL --throughput     generate() with and without, in turns

Microseconds per call, median (90th percentile). A decode step: every running request got one token. A mixed step: some
requests also finished, and as many began.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time

SIZES = (1, 32, 256)


def summary(nanoseconds):
    ordered = sorted(nanoseconds)
    return round(statistics.median(ordered) / 1e3, 2), round(ordered[int(len(ordered) * 0.9)] / 1e3, 2)


def show(rows):
    print(f"{'step':8} {'running':>7}  {'vLLM Prometheus':>18}  {'kvlens':>16}  {'share':>6}")
    for kind, size, theirs, ours in rows:
        share = ours[0] / theirs[0]
        print(f"{kind:8} {size:7}  {theirs[0]:9.2f} ({theirs[1]:.2f})  {ours[0]:7.2f} ({ours[1]:.2f})  {share:6.3f}")


def objects(kind, size):
    from vllm.v1.engine import FinishReason
    from vllm.v1.metrics.stats import FinishedRequestStats, IterationStats, SchedulerStats

    scheduler = SchedulerStats(num_running_reqs=size, num_waiting_reqs=3, kv_cache_usage=0.37)
    step = IterationStats()
    begun = max(1, size // 64) if kind == "mixed" else 0
    step.num_generation_tokens = size
    step.inter_token_latencies_iter = [0.011 + 1e-5 * at for at in range(size - min(begun, size - 1))]
    if begun:
        step.time_to_first_tokens_iter = [0.12] * begun
        prefix = scheduler.prefix_cache_stats
        prefix.requests, prefix.queries, prefix.hits = begun, 512 * begun, 256 * begun
        if hasattr(step, "prompt_token_stats"):
            step.prompt_token_stats.computed, step.prompt_token_stats.total = 256 * begun, 512 * begun
        else:
            step.num_prompt_tokens = 512 * begun
        for _ in range(begun):
            step.finished_requests.append(FinishedRequestStats(
                finish_reason=FinishReason.LENGTH, e2e_latency=1.9, num_prompt_tokens=512, num_generation_tokens=128,
                max_tokens_param=128, queued_time=0.002, prefill_time=0.11, inference_time=1.8, decode_time=1.7))
            step.max_num_generation_tokens_iter.append(128)
            step.n_params_iter.append(1)
    return scheduler, step


def in_turns(functions, rounds, per_turn=50):
    """Times functions in turns, so that noise of the machine falls on all of them alike."""
    clock = time.perf_counter_ns
    times = [[] for _ in functions]
    for turn in range(rounds // per_turn + 1):
        for function, found in zip(functions, times):
            for _ in range(per_turn):
                began = clock()
                function()
                took = clock() - began
                if turn:
                    found.append(took)
    return times


def synthetic(given):
    from kvlens._loggers import V1Logger
    from kvlens._session import Session
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    config = EngineArgs(
        model=given.model, dtype="bfloat16", max_model_len=1024, block_size=32, enforce_eager=True,
    ).create_engine_config()
    theirs = PrometheusStatLogger(config, [0])
    rows = []
    with tempfile.TemporaryDirectory() as out, Session(out) as session:
        session.set_blocks(4096)
        ours = V1Logger(session)
        for kind in ("decode", "mixed"):
            for size in SIZES:
                scheduler, step = objects(kind, size)
                rounds = given.rounds if size < 256 else given.rounds // 4
                # The collector's thread drains once in ten milliseconds; an engine makes far fewer steps in that time.
                found = in_turns([
                    lambda: theirs.record(scheduler, step, mm_cache_stats=None, engine_idx=0),
                    lambda: ours.record(scheduler, step, mm_cache_stats=None, engine_idx=0),
                ], rounds)
                rows.append((kind, size, summary(found[0]), summary(found[1])))
    show(rows)
    return rows


def build(given, statistics_on=True):
    from vllm import LLM

    return LLM(
        model=given.model, dtype="bfloat16", max_model_len=1024, enforce_eager=True, max_num_seqs=256, block_size=32,
        enable_prefix_caching=True, seed=0, disable_log_stats=not statistics_on,
    )


def engine(given):
    import kvlens
    from vllm import SamplingParams

    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    llm = build(given)
    out = tempfile.mkdtemp()
    session = kvlens.attach(llm, out=out)
    times = {}
    for logger in llm.llm_engine.logger_manager.stat_loggers:
        name = type(logger).__name__
        if name not in ("PrometheusStatLogger", "V1Logger"):
            continue
        inner, found = logger.record, times.setdefault(name, [])

        def record(*args, _inner=inner, _found=found, **kwargs):
            began = time.perf_counter_ns()
            _inner(*args, **kwargs)
            _found.append(time.perf_counter_ns() - began)

        logger.record = record
    sampling = SamplingParams(max_tokens=128, temperature=0.0, ignore_eos=True)
    rows = []
    for size in SIZES:
        prompts = [f"request number {at} of {size}" for at in range(size)]
        llm.generate(prompts, sampling, use_tqdm=False)
        for found in times.values():
            found.clear()
        for _ in range(6 if size == 1 else 3):
            llm.generate(prompts, sampling, use_tqdm=False)
        rows.append(("engine", size, summary(times["PrometheusStatLogger"]), summary(times["V1Logger"])))
    session.close()
    show(rows)
    return rows


def throughput(given):
    import kvlens
    from vllm import SamplingParams

    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    llm = build(given)
    manager = llm.llm_engine.logger_manager
    without = list(manager.stat_loggers)
    session = kvlens.attach(llm, out=tempfile.mkdtemp())
    # The control is a second run without: what it differs by is noise.
    loggers = {"with": list(manager.stat_loggers), "without": without, "control": without}
    sampling = SamplingParams(max_tokens=given.tokens, temperature=0.0, ignore_eos=True)
    prompts = [f"request number {at}" for at in range(given.requests)]
    llm.generate(prompts, sampling, use_tqdm=False)
    turns = []
    for turn in range(given.pairs):
        found = {}
        # Each comes first, second and last as often as the others.
        for name in itertools.islice(itertools.cycle(loggers), turn % 3, turn % 3 + 3):
            manager.stat_loggers[:] = loggers[name]
            # The engine core and the collector's threads are in this process: its CPU time is the whole cost.
            began, cpu = time.perf_counter(), time.process_time()
            llm.generate(prompts, sampling, use_tqdm=False)
            found[name] = (given.requests * given.tokens / (time.perf_counter() - began), time.process_time() - cpu)
        turns.append(found)
        print(f"turn {turn}: " + "; ".join(f"{name} {found[name][0]:.0f} tokens/s, {found[name][1]:.2f} s CPU"
                                           for name in loggers), flush=True)
    session.close()
    for at, what in enumerate(("tokens/s", "user+sys CPU")):
        for name in ("with", "control"):
            changes = [100 * (found[name][at] / found["without"][at] - 1) for found in turns]
            spread = statistics.stdev(changes)
            print(f"{what}, {name} against without: median {statistics.median(changes):+.2f} %, "
                  f"mean {statistics.mean(changes):+.2f} % +- {spread / len(changes) ** 0.5:.2f} (standard error)")
    return turns


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=900)
    parser.add_argument("--json")
    given = parser.parse_args()
    import vllm

    print("vllm", vllm.__version__, "load", " ".join(f"{load:.1f}" for load in os.getloadavg()))
    found = (throughput if given.throughput else engine if given.engine else synthetic)(given)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main()
