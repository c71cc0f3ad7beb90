#!/usr/bin/env bash
# Builds the S3 server of the tests (s3s-fs: real protocol, objects as files) under target/tools, where it is missing, and
# prints its path.
set -eu
cd "$(dirname "$0")/.."
# The newest that builds with Rust 1.92 and up to 1.95.
version=0.14.1
server=$PWD/target/tools/bin/s3s-fs
if [ ! -x "$server" ]; then
    # Quick to build rather than quick to run: a thousand small objects are no work.
    CARGO_PROFILE_DEV_DEBUG=0 cargo install s3s-fs --version "$version" --features binary --locked --debug \
        --root target/tools --target-dir target/tools/build >&2
    rm -rf target/tools/build
fi
echo "$server"
