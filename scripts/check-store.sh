#!/usr/bin/env bash
# Object storage against a real S3 server on loopback: the library, the command, SQL and the C ABI; Python with that
# library. Ends with pytest's summary.
set -eu
cd "$(dirname "$0")/.."
. scripts/engines.sh
scripts/s3-server.sh
cargo test "${engines[@]}" --test s3 --test store

# The Python package with the library that was just built.
cargo build --quiet "${engines[@]}" --lib
venv=$PWD/build/store-venv
[ -x "$venv/bin/pytest" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet pytest==8.4.2; }
cd backend-vllm-ffi/python
KVLENS_LIBRARY=$OLDPWD/target/debug/libkvlens_vllm_ffi.so PYTHONPATH=$PWD "$venv/bin/python" -m pytest -p no:cacheprovider -rs \
    --rootdir tests tests/unit/test_store.py
