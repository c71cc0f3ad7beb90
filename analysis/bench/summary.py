"""Times `kvlens summary` beside DuckDB and Polars on the same files, with the same threads, for the same figures.

    cargo build --release && cargo run --release -p kvlens-analysis --example write_benchmark_run build/bench-run
    python analysis/bench/summary.py build/bench-run/run_id=benchmark --kvlens target/release/kvlens

Needs duckdb and polars (`pip install duckdb polars`). Each engine runs in a process of its own, with the page cache warm;
times of the other two are of the query alone, ours are of the whole command. Rounds alternate, so that another job on the machine meets every engine; where one takes
the cores away, CPU time still tells. The last two columns are our time over theirs.

The figures: per table the totals of every count; extremes and time-weighted means of seven gauges; p50, p90, p99,
p99.9 of the step time and of nine latencies; means of the gauges and sums of the counts in some 600 bins of time, from
which trends are taken. `duckdb-cheap` is let off what costs it most: it weighs gauges by step time instead of by the time
to the next step, and bins nothing.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

GAUGES = [
    "requests_running", "requests_waiting", "requests_swapped", "kv_blocks_used", "kv_blocks_cached", "kv_blocks_free",
    "kv_tokens_used",
]
COUNTERS = [
    "requests_finished", "requests_admitted", "prefill_tokens", "decode_tokens", "prompt_tokens", "generation_tokens",
    "recomputed_tokens", "prefix_cache_queries", "prefix_cache_hits", "kv_blocks_allocated", "kv_blocks_evicted",
    "kv_blocks_swapped_out", "kv_blocks_swapped_in", "preemptions_recompute", "preemptions_swap", "step_time_ns",
    "device_time_ns", "energy_mj", "schedule_time_ns",
]
LATENCIES = [
    "time_to_first_token_ns", "time_per_output_token_ns", "inter_token_latency_max_ns", "e2e_latency_ns",
    "queue_time_ns", "prefill_time_ns", "decode_time_ns", "preempted_time_ns", "stalled_time_ns",
]
COUNTS = [
    "prompt_tokens", "cached_prompt_tokens", "external_cached_tokens", "almost_hit_tokens", "computed_prompt_tokens",
    "recomputed_tokens", "generation_tokens", "preemptions_recompute", "preemptions_swap", "spec_decode_draft_tokens",
    "spec_decode_accepted_tokens",
]
QUANTILES = [0.5, 0.9, 0.99, 0.999]


def duckdb_queries(run, cheap):
    steps, requests = f"read_parquet('{run}/steps/*.parquet')", f"read_parquet('{run}/requests/*.parquet')"
    sums = ", ".join(f"sum({c}) AS sum_{c}" for c in COUNTERS)
    extremes = ", ".join(f"min({g}) AS min_{g}, max({g}) AS max_{g}" for g in GAUGES)
    head = f"SELECT count(*) AS steps, {sums}, {extremes}, max(kv_blocks_total) AS blocks, epoch_ns(min(timestamp)), " \
           f"epoch_ns(max(timestamp)), quantile_disc(step_time_ns, {QUANTILES}) AS q_step_time_ns"
    weighted = ", ".join(f"sum({g}::DOUBLE * w) / sum(w) AS mean_{g}" for g in GAUGES)
    if cheap:
        yield f"{head}, {weighted.replace('w)', 'step_time_ns)')} FROM {steps}"
    else:
        yield f"{head} FROM {steps}"
        end = "epoch_ns(timestamp) + step_time_ns"
        yield f"SELECT {weighted} FROM (SELECT {', '.join(GAUGES)}, lead({end}) OVER " \
              f"(PARTITION BY source, engine_index ORDER BY {end}) - ({end}) AS w FROM {steps})"
        bins = ", ".join(f"avg({g})" for g in GAUGES) + ", " + ", ".join(f"sum({c})" for c in COUNTERS)
        yield f"SELECT epoch_ns(timestamp) >> 37 AS bin, {bins} FROM {steps} GROUP BY bin ORDER BY bin"
    kept = "FILTER (WHERE finish_reason NOT IN ('abort', 'error'))"
    each = ", ".join(
        f"quantile_disc({c}, {QUANTILES}) {kept} AS q_{c}, avg({c}) {kept} AS mean_{c}, max({c}) {kept} AS max_{c}"
        for c in LATENCIES
    )
    yield f"SELECT count(*) AS requests, epoch_ns(min(arrival)), epoch_ns(max(timestamp)), {each}, " + \
          ", ".join(f"sum({c}) AS sum_{c}" for c in COUNTS) + f" FROM {requests}"
    yield f"SELECT finish_reason, count(*) AS n FROM {requests} GROUP BY finish_reason"


def run_duckdb(run, threads, cheap):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    begin, rows = time.perf_counter(), []
    for query in duckdb_queries(run, cheap):
        cursor = connection.execute(query)
        rows.append((cursor.description, cursor.fetchall()))
    return time.perf_counter() - begin, {d[0]: str(v) for d, v in zip(rows[0][0], rows[0][1][0])}


def run_polars(run, threads):
    import polars as pl

    begin = time.perf_counter()
    steps, requests = pl.scan_parquet(f"{run}/steps/*.parquet"), pl.scan_parquet(f"{run}/requests/*.parquet")
    end = pl.col("timestamp").cast(pl.Int64) + pl.col("step_time_ns").cast(pl.Int64)
    weight = (end.shift(-1) - end).cast(pl.Float64)
    exprs = [pl.len().alias("steps"), pl.col("kv_blocks_total").max()]
    exprs += [pl.col(c).cast(pl.UInt64).sum().alias(f"sum_{c}") for c in COUNTERS]
    exprs += [pl.col(g).min().alias(f"min_{g}") for g in GAUGES] + [pl.col(g).max().alias(f"max_{g}") for g in GAUGES]
    exprs += [((pl.col(g) * weight).sum() / weight.sum()).alias(f"mean_{g}") for g in GAUGES]
    exprs += [pl.col("step_time_ns").quantile(q, "lower").alias(f"q{q}") for q in QUANTILES]
    bins = (pl.col("timestamp").cast(pl.Int64) // 2**37).alias("bin")
    binned = steps.group_by(bins).agg([pl.col(g).mean() for g in GAUGES] + [pl.col(c).sum() for c in COUNTERS])
    kept = ~pl.col("finish_reason").cast(pl.String).is_in(["abort", "error"])
    latencies = [pl.col(c).filter(kept).quantile(q, "lower").alias(f"{c}{q}") for c in LATENCIES for q in QUANTILES]
    latencies += [pl.col(c).filter(kept).mean().alias(f"mean_{c}") for c in LATENCIES]
    latencies += [pl.col(c).cast(pl.UInt64).sum().alias(f"sum_{c}") for c in COUNTS]
    reasons = requests.group_by("finish_reason").len()
    pl.collect_all([steps.select(exprs), binned, requests.select(latencies), reasons])
    return time.perf_counter() - begin, {}


def child(engine, run, threads):
    __import__("polars" if engine == "polars" else "duckdb")
    busy = time.process_time()
    seconds, figures = run_polars(run, threads) if engine == "polars" else run_duckdb(run, threads, "cheap" in engine)
    busy = time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": busy, "peak_mb": peak, "figures": figures}))


def ours(kvlens, run, threads):
    begin = time.perf_counter()
    with subprocess.Popen([kvlens, "summary", run, "--threads", str(threads)], stdout=subprocess.PIPE) as process:
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"kvlens exited with {process.returncode}")
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--kvlens", default="target/release/kvlens")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.child, args.run, args.threads[0])
    print(f"{'':<14} {'threads':>7} {'median s':>9} {'min s':>7} {'CPU s':>7} {'peak MB':>8} {'wall':>6} {'CPU':>6}")
    for threads in args.threads:
        taken = {}
        for _ in range(args.rounds):
            taken.setdefault("kvlens", []).append(ours(args.kvlens, args.run, threads))
            for engine in ["duckdb", "duckdb-cheap", "polars"]:
                command = [sys.executable, __file__, args.run, "--child", engine, "--threads", str(threads)]
                env = {**__import__("os").environ, "POLARS_MAX_THREADS": str(threads)}
                done = subprocess.run(command, capture_output=True, text=True, env=env)
                if done.returncode:
                    sys.exit(f"{engine}: {done.stderr}")
                taken.setdefault(engine, []).append(json.loads(done.stdout))
        own = taken["kvlens"]
        middle = lambda found, what: statistics.median(one[what] for one in found)
        for engine, found in taken.items():
            wall, cpu = middle(found, "seconds"), middle(found, "cpu")
            fastest, peak = min(one["seconds"] for one in found), max(one["peak_mb"] for one in found)
            ratios = f"{middle(own, 'seconds') / wall:>6.2f} {middle(own, 'cpu') / cpu:>6.2f}"
            print(f"{engine:<14} {threads:>7} {wall:>9.3f} {fastest:>7.3f} {cpu:>7.3f} {peak:>8.0f} {ratios}")


if __name__ == "__main__":
    main()
