#!/usr/bin/env bash
# Real vLLM, V1 and V0: installs it, builds and installs the wheel, runs the tests in it. Ends with pytest's summary.
#
#   scripts/vllm-ci.sh [v1] [v0] [middle]    v1 and v0 unless given; see scripts/vllm-env.sh
#
# KVLENS_SLOW=1 adds the tests that CI leaves out; KVLENS_PYTEST: more options for pytest (-n 1: one test at a
# time). Everything is under build/, and environments that are complete are not made again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
generations=("$@")
[ ${#generations[@]} -gt 0 ] || generations=(v1 v0)
wheel=$(scripts/vllm-wheel.sh)
tests="$root/backend-vllm-ffi/python/tests"
only=(-m "not slow")
[ -z "${KVLENS_SLOW:-}" ] || only=()
# Or every test would compile all that it imports, which takes longer than the test.
unset PYTHONDONTWRITEBYTECODE
export KVLENS_TEST_MODEL="$root/build/tiny" OMP_NUM_THREADS=1
# The command that makes a killed run whole, if it was built.
export KVLENS_COMMAND="${KVLENS_COMMAND:-$root/target/release/kvlens}"
status=0
for which in "${generations[@]}"; do
  scripts/vllm-env.sh "$which"
  python="$root/build/vllm-$which/bin/python"
  "$python" -m pip --disable-pip-version-check install -q --no-deps --force-reinstall "$wheel"
  [ -f build/tiny/model.safetensors ] || "$python" "$tests/env/make_tiny_model.py" build/tiny
  if [ "$which" = v0 ]; then export VLLM_USE_V1=0; else unset VLLM_USE_V1; fi
  # vLLM 0.16 refuses two engines on a machine without NUMA nodes unless threads are left unbound.
  if [ "$which" = middle ]; then export VLLM_CPU_OMP_THREADS_BIND=nobind; else unset VLLM_CPU_OMP_THREADS_BIND; fi
  # shellcheck disable=SC2086
  "$python" -m pytest -p no:cacheprovider -n 2 -rs --durations=5 --rootdir "$tests" "$tests/real" "${only[@]}" ${KVLENS_PYTEST:-} || status=1
done
exit $status
