"""Holds a run's invariants at every step, from what was recorded: blocks, hits, tokens, lives.

    python invariants.py RUN_DIR EXPECTED.json
"""

import json
import sys
from pathlib import Path

import duckdb

# Each query counts rows that break a rule, or the difference of two totals: 0 where it holds.
RULES = {
    "blocks used + cached + free = total, at every step":
        "select count(*) from steps where kv_blocks_used + kv_blocks_cached + kv_blocks_free <> kv_blocks_total",
    "hits <= queries, at every step": "select count(*) from steps where prefix_cache_hits > prefix_cache_queries",
    "no step computes more than it may": "select count(*) from steps where prefill_tokens + decode_tokens > 8192",
    "no more run than may": "select count(*) from steps where requests_running > 256",
    "steps are numbered without a gap": "select max(step) + 1 - count(*) from steps",
    "block lives = allocations": "select (select count(*) from blocks) - (select sum(kv_blocks_allocated) from steps)",
    "evicted lives = evictions":
        "select (select count(*) from blocks where \"end\" = 'evicted') - (select sum(kv_blocks_evicted) from steps)",
    "tokens sampled = tokens of requests":
        "select (select sum(generation_tokens) from requests) - (select sum(generation_tokens) from steps)",
    "hits of steps = hits of requests":
        "select (select sum(cached_prompt_tokens) from requests) - (select sum(prefix_cache_hits) from steps)",
    "tokens recomputed agree":
        "select (select sum(recomputed_tokens) from requests) - (select sum(recomputed_tokens) from steps)",
    "preemptions agree": """select (select sum(preemptions_recompute + preemptions_swap) from requests)
        - (select sum(preemptions_recompute + preemptions_swap) from steps)""",
    "a request's times add up": """select count(*) from requests where e2e_latency_ns
        <> queue_time_ns + prefill_time_ns + decode_time_ns + preempted_time_ns""",
    "no life ends before it begins": "select count(*) from blocks where lifetime_ns < 0 or idle_ns > lifetime_ns",
}


def main():
    run, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    connection = duckdb.connect()
    for table in ("steps", "requests", "blocks"):
        connection.execute(f"create view {table} as select * from read_parquet('{run}/{table}/*.parquet')")
    broken = []
    for rule, query in RULES.items():
        found = connection.execute(query).fetchone()[0]
        print(f"{'holds' if found == 0 else f'BROKEN by {found}':16} {rule}")
        if found != 0:
            broken.append(rule)
    facts = connection.execute("""select count(*), sum(prompt_tokens), sum(generation_tokens),
        sum(preemptions_recompute), sum(preemptions_swap) from requests""").fetchone()
    names = ("requests", "prompt_tokens", "generation_tokens", "preemptions_recompute", "preemptions_swap")
    facts = dict(zip(names, (int(value or 0) for value in facts)))
    print(facts)
    for name, value in expected.items():
        if name in facts and facts[name] != value:
            broken.append(f"{name} is {facts[name]}, not {value}")
    if facts["preemptions_recompute"] + facts["preemptions_swap"] == 0:
        broken.append("the pool was meant to be too small, and nothing was preempted")
    if broken:
        sys.exit("broken: " + "; ".join(broken))


if __name__ == "__main__":
    main()
