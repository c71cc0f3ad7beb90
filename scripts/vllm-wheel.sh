#!/usr/bin/env bash
# Builds the kvlens wheel into build/wheels, and prints its path.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv="$root/build/maturin-venv"
if [ ! -x "$venv/bin/maturin" ]; then
  python3 -m venv "$venv" >&2
  "$venv/bin/python" -m pip --disable-pip-version-check install -q "maturin==1.16.0" "cffi==2.1.1" >&2
fi
cd "$root/backend-vllm-ffi/python"
PATH="$venv/bin:$PATH" "$venv/bin/maturin" build --release --out "$root/build/wheels" >&2
ls -t "$root"/build/wheels/kvlens-*.whl | head -1
