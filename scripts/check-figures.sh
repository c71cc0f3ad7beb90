#!/usr/bin/env bash
# Holds the figures of `kvlens summary` and `kvlens cache` against pandas, numpy and a simulated LRU cache on the raw rows: on
# runs of random workloads, unsaturated, saturated, preempting and cut off, and on the Mooncake conversation trace.
set -eu
cd "$(dirname "$0")/.."
kvlens=${KVLENS:-target/release/kvlens}
[ -x "$kvlens" ] || cargo build --release --locked -p kvlens
venv=build/venv-figures
[ -x $venv/bin/python ] || python3 -m venv $venv
$venv/bin/pip install --quiet --disable-pip-version-check -r analysis/bench/requirements.txt
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# agree ID OPTIONS…: records a run and compares its figures.
agree() {
    local id=$1
    shift
    "$kvlens" run --device sim --out "$out" --run-id "$id" --tables all,accesses --quiet "$@"
    $venv/bin/python analysis/bench/agree.py "$out/run_id=$id" --kvlens "$kvlens"
    rm -rf "$out/run_id=$id"
}

for seed in 1 2 3; do
    agree "easy-$seed" --seed $seed
    agree "crowded-$seed" --seed $seed --arrivals closed:64 --kv-blocks 300
done
trace=../shared/traces/mooncake_conversation.jsonl
if [ -f "$trace" ]; then
    agree conversation --trace "$trace" --block-size 512 --kv-blocks 400000 --max-running 1 --arrivals closed:1 --interval 60s
else
    echo "skipped: the conversation replay needs $trace, which is not there"
fi
