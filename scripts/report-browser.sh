#!/usr/bin/env bash
# Makes reports of several kinds of runs, opens them in Chromium and checks what a person would see: every plot drawn and
# its axes named, nothing overlapping or cut off at 1400 and 400 px, in light and dark and on paper, no console error, no
# request to anywhere. Screenshots and PDFs stay in build/report-browser/out.
#
#   scripts/report-browser.sh            KVLENS names the command, CHROMIUM the browser
set -eu
cd "$(dirname "$0")/.."
kvlens=${KVLENS:-target/release/kvlens}
[ -x "$kvlens" ] || cargo build --release --locked -p kvlens
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ] || ! command -v npm >/dev/null; then
    echo "this needs Chromium and npm: scripts/ci-packages.sh installs them" >&2
    exit 1
fi
work=build/report-browser
mkdir -p $work
cp scripts/report-browser/* $work/
npm ci --prefix $work --silent --no-audit --no-fund --ignore-scripts

runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
record() { "$kvlens" run --out "$runs" --quiet --device sim --run-id "$@"; }
report() {
    local name=$1
    shift
    "$kvlens" report "$@" --out "$work/$name.html"
    pages+=("$work/$name.html")
}
pages=()
record one --tables all,accesses
record two --tables all,accesses --kv-blocks 300 --arrivals closed:32
record no-requests --tables samples,steps
report one "$runs/run_id=one"
report overlaid "$runs/run_id=one" "$runs/run_id=two"
report no-requests "$runs/run_id=no-requests"

# A run that was cut off, whose names try to break out of the page.
python3 - "$runs/run_id=two/run.json" <<'PY'
import json, sys
manifest = json.load(open(sys.argv[1]))
evil = "</script><img src=x onerror=alert(1)>"
manifest.update(run_id=evil, clean_stop=False, end=None, host=evil, attributes={evil: "x" * 300})
manifest["sources"][0]["model"] = evil
json.dump(manifest, open(sys.argv[1], "w"))
PY
report evil "$runs/run_id=two"
report evil-overlaid "$runs/run_id=one" "$runs/run_id=two"

trace=../shared/traces/mooncake_conversation.jsonl
if [ -f "$trace" ]; then
    record conversation --trace "$trace" --block-size 512 --kv-blocks 400000 --max-running 1 --arrivals closed:1 \
        --interval 60s --tables all,accesses
    report conversation "$runs/run_id=conversation"
else
    echo "skipped: the conversation replay needs $trace, which is not there"
fi
node $work/check.js "$chromium" $work/out "${pages[@]}"
