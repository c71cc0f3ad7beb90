#!/usr/bin/env bash
# Object storage against a real S3 server on loopback: the library, the command, SQL and the C ABI.
set -eu
cd "$(dirname "$0")/.."
. scripts/engines.sh
scripts/s3-server.sh
cargo test "${engines[@]}" --test s3 --test store
