#!/usr/bin/env bash
# On a machine with a GPU: what recording costs the CUDA device. Ten pairs of 1,000 requests, all tables against none, in
# turns; the median step time of each, and the ratio of every pair.
#
#   scripts/gpu-recording.sh KVLENS OUT [PAIRS]
set -eu
kvlens=$1 out=$2 pairs=${3:-10}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# replay SHAPE TABLES ID: prints the median step time in ns.
replay() {
    "$kvlens" run --device cuda --model-shape "$1" --conversations 200 --arrivals closed:64 --kv-blocks 20000 \
        --interval 100ms --tables "$2" --out "$work" --run-id "$3" --json >"$work/summary.json"
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["replay"]["step_time_p50_ns"])' "$work/summary.json"
}

for shape in built-in 4x32x8x128; do
    replay "$shape" none warm >/dev/null
    for pair in $(seq "$pairs"); do
        # Which of the two goes first changes from pair to pair.
        if [ $((pair % 2)) = 0 ]; then
            on=$(replay "$shape" all "on-$shape-$pair") off=$(replay "$shape" none off)
        else
            off=$(replay "$shape" none off) on=$(replay "$shape" all "on-$shape-$pair")
        fi
        echo "$shape $pair $on $off"
    done
done | tee "$out/pairs.txt" | python3 -c '
import statistics, sys
pairs = {}
for line in sys.stdin:
    shape, _, on, off = line.split()
    pairs.setdefault(shape, []).append((int(on), int(off)))
print("| model | pairs | median step, recorded, us | not recorded, us | ratio of medians | ratios of pairs |")
print("|---|---|---|---|---|---|")
for shape, values in pairs.items():
    on, off = (statistics.median(side) / 1000 for side in zip(*values))
    ratios = sorted(a / b for a, b in values)
    print(f"| {shape} | {len(values)} | {on:.2f} | {off:.2f} | {on / off:.4f} | {ratios[0]:.4f} to {ratios[-1]:.4f} |")
' | tee "$out/recording.md"

mkdir -p "$out/run"
last="$work/run_id=on-4x32x8x128-$pairs"
cp "$last/run.json" "$out/run/"
for table in samples steps requests blocks; do cp "$last/$table/part-00000.parquet" "$out/run/$table.parquet"; done
"$kvlens" inspect "$last"
