#!/usr/bin/env bash
# Runs the C functions' tests, and the unit tests behind them, under Miri: it finds reads of memory that is not there or
# not initialised, misaligned and dangling pointers, data races and leaks. Needs a nightly toolchain with the component miri.
#
# The runs write no table: files of tables are locked by a system call that Miri does not know.
set -eu
cd "$(dirname "$0")/.."
# The tests make directories and look at the clock.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
# Everything is some hundred times slower: few cases of what is tried at random.
export PROPTEST_CASES=${PROPTEST_CASES:-4} PROPTEST_MAX_SHRINK_ITERS=0
exec cargo +nightly miri test -p kvlens-vllm-ffi --locked --lib --test boundary "$@"
