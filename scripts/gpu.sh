#!/bin/sh
# Checks and measures the CUDA kernels.
#
#   scripts/gpu.sh build        builds kvlens-gpu-test and kvlens-gpu-bench into build/gpu; needs no CUDA
#   scripts/gpu.sh run [OUT]    runs them on a machine with a GPU; needs the NVIDIA driver alone
#   scripts/gpu.sh              both, one after the other
#
# The programs are ordinary x86-64 (or Arm) Linux binaries with the kernels inside: build here, copy build/gpu and
# this script to the machine with the GPU, run there. OUT (default build/gpu/out) receives test.txt, bench.md and,
# where compute-sanitizer is installed, memcheck.txt and racecheck.txt. The exit status is that of the tests.
set -eu
cd "$(dirname "$0")/.."
programs=build/gpu

build() {
  cargo build --release --package kvlens-native --features cuda,nvml --bin kvlens-gpu-test --bin kvlens-gpu-bench
  mkdir -p "$programs"
  for name in kvlens-gpu-test kvlens-gpu-bench; do
    cp "${CARGO_TARGET_DIR:-target}/release/$name" "$programs/"
    strip "$programs/$name" 2>/dev/null || true
  done
}

# Runs a tool of compute-sanitizer over the kernels, f16 only, since every launch becomes slow.
sanitize() {
  command -v compute-sanitizer >/dev/null || { echo "$1 skipped: compute-sanitizer is not installed"; return 0; }
  compute-sanitizer --tool "$1" --error-exitcode 3 "$programs/kvlens-gpu-test" 3 quick >"$out/$1.txt" 2>&1 || status=$?
  grep "SUMMARY" "$out/$1.txt"
}

run() {
  out=${1:-$programs/out}
  mkdir -p "$out"
  status=0
  "$programs/kvlens-gpu-test" >"$out/test.txt" 2>&1 || status=$?
  grep -v "^ok" "$out/test.txt" || true
  [ "$status" -ne 2 ] || exit 2
  sanitize memcheck
  sanitize racecheck
  "$programs/kvlens-gpu-bench" >"$out/bench.md" || status=$?
  cat "$out/bench.md"
  return "$status"
}

case "${1:-all}" in
build) build ;;
run) shift && run "$@" ;;
all) build && run ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2 && exit 64 ;;
esac
