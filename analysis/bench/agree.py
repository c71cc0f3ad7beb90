"""Checks `kvlens summary` and `kvlens cache` against pandas, numpy and a simulated LRU cache on the raw rows.

    python analysis/bench/agree.py RUN --kvlens target/release/kvlens

Needs what requirements.txt names. Totals, counts, minima, maxima, exact quantiles and the hits of a cache of 8 sizes have to
be equal; means and time-weighted figures agree within 1e-9, since sums are taken in another order.
"""

import argparse
import glob
import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pandas as pd
import pyarrow.dataset as dataset

FROM_STEPS = [
    "prefill_tokens", "decode_tokens", "prompt_tokens", "generation_tokens", "recomputed_tokens", "prefix_cache_queries",
    "prefix_cache_hits", "kv_blocks_allocated", "kv_blocks_evicted", "kv_blocks_swapped_out", "kv_blocks_swapped_in",
    "preemptions_recompute", "preemptions_swap",
]
LATENCIES = [
    "time_to_first_token_ns", "time_per_output_token_ns", "inter_token_latency_max_ns", "e2e_latency_ns",
    "queue_time_ns", "prefill_time_ns", "decode_time_ns", "preempted_time_ns", "stalled_time_ns",
]
failures = []


def same(what, ours, theirs, tolerance=0.0):
    close = ours == theirs or (ours is not None and theirs is not None and abs(ours - theirs) <= tolerance * max(abs(theirs), 1e-300))
    print(f"{'ok ' if close else 'NOT'} {what}: {ours} / {theirs}")
    if not close:
        failures.append(what)


def table(run, name):
    files = sorted(glob.glob(f"{run}/{name}/part-*.parquet"))
    return dataset.dataset(files).to_table().to_pandas() if files else None


def nanoseconds(column):
    return column.astype("datetime64[ns, UTC]").astype("int64").to_numpy()


def check_steps(summary, steps):
    same("steps", summary["totals"]["steps"], len(steps))
    for name in FROM_STEPS:
        if steps[name].notna().any():
            same(name, summary["totals"][name], int(steps[name].sum()))
    hits, queries = steps["prefix_cache_hits"].sum(), steps["prefix_cache_queries"].sum()
    if queries:
        same("hit rate", summary["rates"]["prefix_cache_hit"], hits / queries, 1e-12)
    start, time = nanoseconds(steps["timestamp"]), steps["step_time_ns"].fillna(0).astype("int64").to_numpy()
    order = np.argsort(start + time, kind="stable")
    held = np.diff((start + time)[order]).astype("float64")
    for part in ["used", "cached", "free"]:
        values = steps[f"kv_blocks_{part}"].astype("float64").to_numpy()[order]
        if summary["blocks"] and summary["blocks"][part] and not np.isnan(values).any():
            ours = summary["blocks"][part]
            same(f"blocks {part}, mean", ours["mean"], float((values[:-1] * held).sum() / held.sum()), 1e-9)
            same(f"blocks {part}, extremes", [ours["low"], ours["high"]][0], values.min())
            same(f"blocks {part}, extremes", ours["high"], values.max())
    span = int((start + time).max() - start.min())
    same("busy", summary["utilisation"]["busy"], time.sum() / span, 1e-9)


def check_quantiles(summary, name, values):
    found = next((one for one in summary["distributions"] if one["label"]["name"] == name), None)
    if found is None or found["basis"] != "rows" or not len(values):
        return
    values = np.sort(values.astype("int64").to_numpy())
    same(f"{name}, count", found["count"], len(values))
    same(f"{name}, mean", found["mean"], float(values.mean()), 1e-9)
    same(f"{name}, max", found["max"], int(values[-1]))
    for quantile in found["quantiles"]:
        rank = max(int(np.ceil(quantile["q"] * len(values))) - 1, 0)
        same(f"{name}, p{quantile['q'] * 100:g}", quantile["value"], int(values[rank]))


def lru_hits(blocks, size):
    cache, hits = OrderedDict(), 0
    for block in blocks:
        if block in cache:
            cache.move_to_end(block)
            hits += 1
        else:
            cache[block] = None
            if len(cache) > size:
                cache.popitem(last=False)
    return hits


def check_curve(cache, accesses):
    blocks = accesses["prefix_hash"][accesses["first_admission"]].to_numpy().tolist()
    points = cache["curve"]["points"]
    same("look-ups", cache["measured"]["accesses"], len(blocks))
    same("hits", cache["measured"]["hits"], int(accesses["hit"][accesses["first_admission"]].sum()))
    for at in sorted({round(share * (len(points) - 1)) for share in np.linspace(0, 1, 8)}):
        size = points[at]["blocks"]
        same(f"hit rate of an LRU cache of {size} blocks", points[at]["hit_rate"], lru_hits(blocks, size) / len(blocks), 1e-12)


def asked(kvlens, command, run):
    done = subprocess.run([kvlens, command, run, "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"kvlens {command} exited with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--kvlens", default="target/release/kvlens")
    args = parser.parse_args()
    summary = asked(args.kvlens, "summary", args.run)
    steps, requests = table(args.run, "steps"), table(args.run, "requests")
    if steps is not None and len(steps):
        check_steps(summary, steps)
        if steps[["source", "engine_index"]].drop_duplicates().shape[0] == 1:
            check_quantiles(summary, "step_time_ns", steps["step_time_ns"].dropna())
    if requests is not None and len(requests):
        reasons = requests["finish_reason"].astype("object")
        for reason, count in reasons.fillna("unknown").value_counts().items():
            same(f"ended: {reason}", summary["finished"].get(reason), int(count))
        kept = requests[~reasons.isin(["abort", "error"])]
        for name in LATENCIES:
            check_quantiles(summary, name, kept[name].dropna())
    accesses = table(args.run, "accesses")
    if accesses is not None and len(accesses):
        check_curve(asked(args.kvlens, "cache", args.run), accesses)
    print(f"{len(failures)} figures differ" if failures else "all figures agree")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
