#!/usr/bin/env bash
# Replays the Mooncake conversation trace and holds its totals, in every table and format, with three foreign readers.
set -eu
cd "$(dirname "$0")/.."
trace=../shared/traces/mooncake_conversation.jsonl
if [ ! -f "$trace" ]; then
    echo "skipped: this check needs $trace, which is not there"
    exit 0
fi
kvlens=${KVLENS:-target/release/kvlens}
[ -x "$kvlens" ] || cargo build --release --locked -p kvlens
venv=build/venv-readers
if [ ! -x $venv/bin/python ]; then
    python3 -m venv $venv
    $venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# replay ID HITS OPTIONS…
replay() {
    local id=$1 hits=$2
    shift 2
    "$kvlens" run --trace "$trace" --device sim --max-running 1 --arrivals closed:1 --interval 60s \
        --out "$out" --run-id "$id" --write parquet,csv,arrow --quiet "$@"
    cat >"$out/expected.json" <<JSON
{ "requests": 12031, "prompt_tokens": 144793823, "prefix_cache_queries": 144793823, "prefix_cache_hits": $hits,
  "generation_tokens": 4122048 }
JSON
    $venv/bin/python tests/foreign_readers.py "$out/run_id=$id" "$out/expected.json"
    rm -rf "$out/run_id=$id"
}

replay blocks-of-512 54063104 --block-size 512 --kv-blocks 400000
replay blocks-of-16 54097440 --block-size 16 --kv-blocks 8000000 --tables samples,steps,requests

# A pool too small for 256 at once: it preempts both ways, and every rule holds at every step.
for how in recompute swap; do
    "$kvlens" run --trace "$trace" --device sim --block-size 16 --kv-blocks 25000 --max-running 256 --arrivals closed:256 \
        --preempt $how --interval 60s --out "$out" --run-id "preempt-$how" --quiet
    echo '{ "requests": 12031, "prompt_tokens": 144793823, "generation_tokens": 4122048 }' >"$out/expected.json"
    $venv/bin/python tests/invariants.py "$out/run_id=preempt-$how" "$out/expected.json"
    rm -rf "$out/run_id=preempt-$how"
done
