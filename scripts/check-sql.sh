#!/usr/bin/env bash
# SQL on DataFusion and Ballista: check-sql.sh engine|cluster|clippy|alone.
set -eu
cd "$(dirname "$0")/.."
. scripts/engines.sh
case "${1:-}" in
engine) cargo test "${engines[@]}" --lib --bins --test suite --test sql ;;
cluster) cargo test "${engines[@]}" --test cluster ;;
# As `cargo clippy` does it, but by a build: its check would compile the engines once more, for the lints of our crates alone.
clippy)
    export RUSTC_WORKSPACE_WRAPPER CLIPPY_ARGS='-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__'
    RUSTC_WORKSPACE_WRAPPER=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver)
    cargo build "${engines[@]}" --all-targets --keep-going
    ;;
# The features that a user of SQL on one machine asks for, and no others.
alone) cargo clippy -p kvlens --features sql --locked -- -D warnings ;;
*) echo "usage: check-sql.sh engine|cluster|clippy|alone" >&2 && exit 2 ;;
esac
