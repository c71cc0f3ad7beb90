#!/usr/bin/env bash
# The Python package without vLLM: builds the wheel, installs it into a plain environment (build/python), checks its types
# and runs the unit tests. Ends with pytest's summary.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
wheel=$(scripts/vllm-wheel.sh)
venv="$root/build/python"
python="$venv/bin/python"
[ -x "$python" ] || python3 -m venv "$venv"
pip() { "$python" -m pip --disable-pip-version-check install -q --no-cache-dir "$@"; }
# pyzmq and msgspec are what vLLM sends KV events with.
pip pytest==8.4.2 mypy==2.4.1 pyzmq==27.3.0 msgspec==0.22.0
pip --force-reinstall --no-deps "$wheel"
"$python" -m mypy --config-file backend-vllm-ffi/python/pyproject.toml backend-vllm-ffi/python/kvlens
"$python" -m pytest -p no:cacheprovider -rs --rootdir backend-vllm-ffi/python/tests backend-vllm-ffi/python/tests/unit
