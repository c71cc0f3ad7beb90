#!/usr/bin/env bash
# SQL on DataFusion and Ballista: check-sql.sh engine|cluster|clippy|alone.
set -eu
cd "$(dirname "$0")/.."
. scripts/engines.sh
case "${1:-}" in
engine) cargo test "${engines[@]}" --lib --bins --test suite --test sql ;;
cluster) cargo test "${engines[@]}" --test cluster ;;
clippy) cargo clippy "${engines[@]}" --all-targets -- -D warnings ;;
# The features that a user of SQL on one machine asks for, and no others.
alone) cargo clippy -p kvlens --features sql --locked -- -D warnings ;;
*) echo "usage: check-sql.sh engine|cluster|clippy|alone" >&2 && exit 2 ;;
esac
