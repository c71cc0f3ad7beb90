#!/usr/bin/env bash
# Fuzzes the readers and the C functions under AddressSanitizer: fuzz.sh [SECONDS] [TARGET…]
# Each target runs for that long (60 s unless said otherwise), one after the other, and goes on from the corpus of the runs
# before. Needs a nightly toolchain. Corpora, logs and findings are in build/fuzz; a finding ends its target, and the
# input that made it is named: put it into tests/findings/<target>/ with the mend.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
root=$PWD tools=$PWD/build/tools work=$PWD/build/fuzz
export PATH=$tools/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --quiet cargo-fuzz --version 0.13.2 --locked --root "$tools"

cd fuzz
cargo +nightly fuzz build --target-dir "$root/target/fuzz"
built=$root/target/fuzz/x86_64-unknown-linux-gnu/release
# Runs are written into memory: the files are of no interest afterwards.
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" kvlens-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
mkdir -p "$work/artifacts"
"$built/seeds" "$work/corpus"

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list | grep -v '^seeds$')
bad=0
for target in "${targets[@]}"; do
    log=$work/$target.log
    known=$root/tests/findings/$target
    corpora=("$work/corpus/$target")
    [ -d "$known" ] && corpora+=("$known")
    if "$built/$target" "${corpora[@]}" -artifact_prefix="$work/artifacts/$target-" -max_total_time="$seconds" \
        -timeout=30 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
        echo "$target: $(awk '/number_of_executed_units/ { print $2 }' "$log") executions in $seconds s, no finding"
    else
        bad=1
        echo "$target: FOUND something: $(grep -aE 'SUMMARY|panicked|Test unit written' "$log" | head -3 | tr '\n' ' ')"
    fi
    rm -rf "${TMPDIR:?}"/*
done
exit $bad
