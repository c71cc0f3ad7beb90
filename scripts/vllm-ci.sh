#!/usr/bin/env bash
# Real vLLM, V1 and V0: installs both, builds and installs the wheel, runs the Python tests. Ends with pytest's summary.
#
#   scripts/vllm-ci.sh [v1] [v0]         both unless given
#
# Everything is under build/; environments that are complete are not made again. KVLENS_PYTEST: more options for pytest.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
generations=("$@")
[ ${#generations[@]} -gt 0 ] || generations=(v1 v0)
wheel=$(scripts/vllm-wheel.sh)
tests="$root/backend-vllm-ffi/python/tests"
status=0
for which in "${generations[@]}"; do
  scripts/vllm-env.sh "$which"
  python="$root/build/vllm-$which/bin/python"
  "$python" -m pip --disable-pip-version-check install -q --no-deps --force-reinstall "$wheel"
  if [ ! -f build/tiny/model.safetensors ]; then
    "$python" "$tests/env/make_tiny_model.py" build/tiny
  fi
  export KVLENS_TEST_MODEL="$root/build/tiny"
  if [ "$which" = v0 ]; then export VLLM_USE_V1=0; else unset VLLM_USE_V1; fi
  # shellcheck disable=SC2086
  OMP_NUM_THREADS=1 "$python" -m pytest -q -p no:cacheprovider --rootdir "$tests" "$tests/unit" "$tests/real" ${KVLENS_PYTEST:-} || status=1
done
exit $status
