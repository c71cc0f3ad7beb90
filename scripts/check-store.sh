#!/usr/bin/env bash
# Object storage against a real S3 server on loopback: the library, the command and the C ABI with the feature `store`.
set -eu
cd "$(dirname "$0")/.."
scripts/s3-server.sh
cargo clippy --locked --all-targets -p kvlens-store --features kvlens-store/s3-server -- -D warnings
cargo clippy --locked --all-targets -p kvlens --features store -- -D warnings
cargo test --locked -p kvlens-store --features s3-server
cargo test --locked -p kvlens --features store --test store
cargo test --locked -p kvlens-vllm-ffi --features store --test store
