#!/usr/bin/env bash
# Holds the direction of dependencies: core depends on nobody of ours and on nothing heavy; backends and exporters never
# depend on each other.
set -eu
cd "$(dirname "$0")/.."
bad=0

# refuse PACKAGE PATTERN [FEATURES]: the package's normal dependencies must not match.
refuse() {
    local tree
    tree=$(cargo tree -q -p "$1" --edges normal --prefix none --locked ${3:-} | awk '{print $1}' | sort -u)
    if found=$(grep -E "^($2)\$" <<<"$tree"); then
        echo "$1 must not depend on: $(tr '\n' ' ' <<<"$found")"
        bad=1
    fi
}

backends='kvlens-native|kvlens-vllm-ffi'
exporters='kvlens-schema|kvlens-csv|kvlens-parquet|kvlens-arrow|kvlens-store'
heavy='arrow.*|parquet|cudarc|tokio|pyo3|serde|serde_json|datafusion.*'
refuse kvlens-core "$backends|$exporters|kvlens|kvlens-analysis|$heavy"
refuse kvlens-native "$exporters|kvlens-vllm-ffi|kvlens|kvlens-analysis|arrow.*|parquet|tokio|pyo3"
for exporter in schema csv parquet arrow; do
    refuse "kvlens-$exporter" "$backends|kvlens|kvlens-analysis|kvlens-store|cudarc|tokio|pyo3|object_store"
done
# A store takes files: it knows none of their formats.
refuse kvlens-store "$backends|kvlens|kvlens-analysis|kvlens-csv|kvlens-parquet|kvlens-arrow|datafusion.*|parquet"
refuse kvlens-analysis "$backends|kvlens|kvlens-csv|kvlens-parquet|kvlens-arrow|kvlens-store|tokio|object_store"
refuse kvlens-compact "$backends|kvlens|kvlens-store|tokio|object_store|datafusion.*"
refuse kvlens-vllm-ffi "tokio|object_store"
refuse kvlens "datafusion.*|ballista.*|object_store|tokio|cudarc"
# Query engines are asked for, never there by default; they know nothing of backends and exporters.
refuse kvlens-sql "datafusion.*|ballista.*|tokio"
refuse kvlens-sql "$backends|kvlens|kvlens-csv|kvlens-parquet|kvlens-arrow|cudarc|pyo3" "--features cluster"
[ $bad -eq 0 ] && echo "dependencies point the right way"
exit $bad
