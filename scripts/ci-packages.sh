#!/usr/bin/env bash
# Installs what the checks need beside a Rust toolchain, where it is missing and may be installed.
set -eu
missing=()
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v g++ >/dev/null || missing+=(g++)
command -v npm >/dev/null || missing+=(nodejs npm)
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium fonts-dejavu-core)
# What the old CPU wheels of vLLM load.
ldconfig -p | grep -q 'libnuma\.so\.1' || missing+=(libnuma1)
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -q && apt-get install -q -y "${missing[@]}"
fi
rustup component list --installed 2>/dev/null | grep -q clippy || rustup component add clippy rustfmt
echo "everything is there"
