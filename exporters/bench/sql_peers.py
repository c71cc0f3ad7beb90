"""Asks `kvlens sql` and DuckDB the same question of the same runs, by turns, each in a process of its own.

usage: sql_peers.py KVLENS RUNS… [--threads T] [--reps R] [--only kvlens|duckdb]

The question: by source and minute, the mean and the largest KV usage, p50 and p99 of the time to first token. RUNS are
directories that `samples` of this folder has written; each gives a line of the table. Answers have to agree: counts and
extremes exactly, quantiles within a bucket. Of DuckDB the query alone is timed, of kvlens the whole process. The first
round of each is thrown away, so that files are in the page cache for both.

Needs duckdb (`pip install -r scripts/reading-runs.txt`).
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

KVLENS = """
select source, date_trunc('minute', timestamp) as minute, avg(kv_cache_usage) as mean, max(kv_cache_usage) as most,
       hist_quantile(hist_merge(time_to_first_token_ns), 0.5) as p50,
       hist_quantile(hist_merge(time_to_first_token_ns), 0.99) as p99
from samples group by source, minute order by source, minute
"""

DUCKDB = """
with s as (
    select source, epoch_ns(timestamp) // 60000000000 as minute, kv_cache_usage, time_to_first_token_ns.buckets as buckets
    from read_parquet('{runs}/run_id=*/samples/*.parquet')
), gauges as (
    select source, minute, avg(kv_cache_usage) as mean, max(kv_cache_usage) as most from s group by all
), flat as (
    select source, minute, unnest(buckets) as b from s
), merged as (
    select source, minute, b.index::bigint as i, sum(b.count) as n from flat group by all
), ranked as (
    select source, minute, i, sum(n) over w as below, sum(n) over (partition by source, minute) as total
    from merged window w as (partition by source, minute order by i)
), quantiles as (
    select source, minute, min(i) filter (below >= 0.5 * total) as p50, min(i) filter (below >= 0.99 * total) as p99
    from ranked group by all
)
select source, minute, mean, most, p50, p99 from gauges left join quantiles using (source, minute)
order by source, minute
"""


def middle(index):
    """The middle of a bucket of `h2(7,44)`."""
    g = (index >> 7) - 1
    return index if g < 1 else ((index - (g << 7)) << g) + (1 << g) // 2


def child(runs, threads):
    """Runs DuckDB in this process; prints what it took and the answer."""
    import duckdb

    db = duckdb.connect(config={"threads": threads})
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    rows = db.execute(DUCKDB.format(runs=runs)).fetchall()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"wall": wall, "cpu": cpu, "rows": rows}))


def duckdb(runs, threads, _):
    process = subprocess.Popen([sys.executable, __file__, "--child", str(threads), str(runs)], stdout=subprocess.PIPE)
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit("DuckDB failed")
    told = json.loads(text)
    rows = {
        (source, time.strftime("%Y-%m-%d %H:%M", time.gmtime(60 * minute))): (mean, most, middle(p50), middle(p99))
        for source, minute, mean, most, p50, p99 in told["rows"]
    }
    return told["wall"], told["cpu"], used.ru_maxrss, rows


def kvlens(runs, threads, command):
    began = time.perf_counter()
    out = "/tmp/kvlens-sql-bench.json"
    process = subprocess.Popen([command, "sql", str(runs), "--threads", str(threads), "-o", out, "-c", KVLENS])
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit("kvlens failed")
    rows = json.loads(Path(out).read_text())
    os.unlink(out)
    found = {(r["source"], r["minute"].replace("T", " ")[:16]): (r["mean"], r["most"], r["p50"], r["p99"]) for r in rows}
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss, found


def agree(ours, theirs):
    if ours.keys() != theirs.keys():
        sys.exit(f"{len(ours)} and {len(theirs)} groups; first difference: {sorted(ours.keys() ^ theirs.keys())[:2]}")
    for key, found in ours.items():
        for name, a, b, bound in zip(("mean", "most", "p50", "p99"), found, theirs[key], (1e-9, 0, 1 / 256, 1 / 256)):
            if abs(a - b) > bound * abs(b):
                sys.exit(f"{name} of {key}: {a} and {b}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("kvlens")
    p.add_argument("runs", nargs="+", type=Path)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--reps", type=int, default=5)
    p.add_argument("--only", choices=["kvlens", "duckdb"])
    args = p.parse_args()
    engines = {"kvlens": kvlens, "duckdb": duckdb}
    if args.only:
        engines = {args.only: engines[args.only]}
    print(f"{args.threads} threads, median of {args.reps}, load {os.getloadavg()[0]:.1f}")
    print("runs      MB groups " + "".join(f"| {name:>6}: wall s   CPU s  peak MB " for name in engines) + "| CPU ratio")
    for runs in args.runs:
        size = sum(file.stat().st_size for file in runs.rglob("*.parquet")) / 1e6
        taken = {name: [] for name in engines}
        for rep in range(args.reps + 1):
            answers = []
            for name, engine in engines.items():
                *cost, answer = engine(runs, args.threads, args.kvlens)
                answers.append(answer)
                if rep:
                    taken[name].append(cost)
            if rep == 0 and len(answers) == 2:
                agree(*answers)
        line = f"{sum(1 for _ in runs.glob('run_id=*')):<5} {size:>7.0f} {len(answers[0]):>6} "
        cpu = []
        for name in engines:
            wall, used, peak = (statistics.median(column) for column in zip(*taken[name]))
            cpu.append(used)
            line += f"| {'':>6}  {wall:>6.2f}  {used:>6.2f}  {peak / 1024:>7.0f} "
        print(line + (f"| {cpu[0] / cpu[1]:.2f}" if len(cpu) == 2 else ""), flush=True)


if sys.argv[1:2] == ["--child"]:
    child(sys.argv[3], int(sys.argv[2]))
else:
    main()
