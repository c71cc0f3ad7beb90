#!/usr/bin/env bash
# Executes the snippets of docs/reading-runs.md: reading-runs.sh [ENGINE…] (duckdb, polars, pandas, spark, kvlens).
# KVLENS names the command; without it a debug build is made. Makes its own Python environment and runs under build/.
# Spark needs Java 17; where there is none and none can be installed, it is left out, and said so.
set -eu
cd "$(dirname "$0")/.."
venv=build/snippets-venv
if ! "$venv/bin/python" -c 'import duckdb, pandas, polars, pyarrow, pyspark' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement scripts/reading-runs.txt
fi
# Not `engines`: that is what scripts/engines.sh builds.
asked="$*"
if [ -z "$asked" ]; then
    asked="duckdb polars pandas kvlens"
    command -v java >/dev/null || apt-get install -q -y openjdk-17-jre-headless >/dev/null 2>&1 || true
    if command -v java >/dev/null; then asked="$asked spark"; else echo "skipped spark: no Java"; fi
fi
if [ -z "${KVLENS:-}" ]; then
    . scripts/engines.sh
    cargo build -q "${engines[@]}" --bin kvlens
    KVLENS=target/debug/kvlens
fi
rm -rf build/snippet-runs
for seed in 1 2; do
    "$KVLENS" run --out build/snippet-runs --run-id "s$seed" --seed "$seed" --device sim:h100 --interval 100ms \
        --conversations $((seed * 150)) --quiet
done
# shellcheck disable=SC2086
exec "$venv/bin/python" scripts/reading_runs.py docs/reading-runs.md "$KVLENS" build/snippet-runs $asked
