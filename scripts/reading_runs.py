"""Executes the snippets of docs/reading-runs.md and compares their answers with `kvlens summary --json`.

usage: reading_runs.py DOCUMENT KVLENS RUNS [ENGINE…]

A snippet is a fenced block whose first line names its language, its engine and, for SQL, what it answers. RUNS is linked as
`runs` into a directory of its own, where the snippets are executed. `kvlens` is skipped where the command has no `sql`.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# A bucket is 1/128 wide; a quantile is the middle of one.
QUANTILE_ERROR = 1 / 256

document, kvlens, runs = Path(sys.argv[1]).resolve(), str(Path(sys.argv[2]).resolve()), Path(sys.argv[3]).resolve()
wanted = sys.argv[4:]


def snippets():
    for words, body in re.findall(r"^```(\w+ \w+[^\n]*)\n(.*?)^```$", document.read_text(), re.M | re.S):
        language, engine, *answers = words.split()
        yield language, engine, answers[0] if answers else None, body


def expected():
    """By run: the hit rate, and p50 and p99 of the time to first token."""
    found = {}
    for run in sorted(runs.iterdir()):
        summary = json.loads(subprocess.run([kvlens, "summary", run, "--json"], check=True, capture_output=True).stdout)
        ttft = next(d for d in summary["distributions"] if d["label"]["name"] == "time_to_first_token_ns")
        quantiles = {quantile["q"]: quantile["value"] for quantile in ttft["quantiles"]}
        found[summary["run"]["run_id"]] = (summary["rates"]["prefix_cache_hit"], quantiles[0.5], quantiles[0.99])
    return found


def rows(answer):
    """Rows of whatever kind of frame it is."""
    if isinstance(answer, list):
        return answer
    return list(answer.rows()) if hasattr(answer, "rows") else list(answer.itertuples(index=False, name=None))


def check(engine, what, answer):
    answer = rows(answer)
    if {row[0] for row in answer} != set(truth):
        sys.exit(f"{engine} {what}: runs {[row[0] for row in answer]}, expected {list(truth)}")
    for run_id, *found in answer:
        hit_rate, *quantiles = truth[run_id]
        pairs = [(found[0], hit_rate, 1e-9)] if what == "hit_rate" else list(zip(found, quantiles, [QUANTILE_ERROR] * 2))
        for value, right, error in pairs:
            if abs(float(value) - right) > error * right + 1:
                sys.exit(f"{engine} {what} of {run_id}: {value}, expected {right} within {error:.2%}")
    checked.append((engine, what))


def duckdb_rows(query):
    import duckdb

    connections.setdefault("duckdb", duckdb.connect())
    return connections["duckdb"].execute(query).fetchall()


def kvlens_rows(query):
    answer = subprocess.run([kvlens, "sql", "runs", "--json", "-c", query], check=True, capture_output=True).stdout
    return [tuple(row.values()) for row in json.loads(answer)]


truth, checked, connections = expected(), [], {}
has_sql = subprocess.run([kvlens, "sql", "--help"], capture_output=True).returncode == 0
with tempfile.TemporaryDirectory() as place:
    os.symlink(runs, Path(place) / "runs")
    os.chdir(place)
    for language, engine, what, body in snippets():
        if wanted and engine not in wanted:
            continue
        if engine == "kvlens" and not has_sql:
            print("skipped kvlens: this command was built without the feature sql")
            continue
        if language == "sql":
            answer = (kvlens_rows if engine == "kvlens" else duckdb_rows)(body)
            if what:
                check(engine, what, answer)
        else:
            variables = {"__name__": "snippet"}
            exec(compile(body, f"{document.name}, {engine}", "exec"), variables)
            check(engine, "hit_rate", variables["hit_rate"])
            check(engine, "ttft", variables["ttft"])
if not checked:
    sys.exit("no snippet was executed")
print(f"{len(checked)} answers agree over {len(truth)} runs: " + ", ".join(f"{engine} {what}" for engine, what in checked))
