#!/bin/sh
# Reads a run with pyarrow, Polars and DuckDB: foreign-readers.sh OUT EXPECTED_JSON (see foreign_readers.py).
# Makes a Python environment of its own under build/. Exit status 77: no Python, or the packages can't be had.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
venv="$root/build/export-venv"
requirements="$root/exporters/bench/requirements.txt"
if ! "$venv/bin/python" -c 'import pyarrow, polars, duckdb' 2>/dev/null; then
    command -v python3 >/dev/null || { echo "no python3" >&2; exit 77; }
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --requirement "$requirements" \
        || { echo "could not install $requirements" >&2; exit 77; }
fi
exec "$venv/bin/python" "$root/scripts/foreign_readers.py" "$@"
