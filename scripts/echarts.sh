#!/usr/bin/env bash
# Makes the chart library that reports carry, analysis/src/report/assets/echarts.min.js, from the pinned versions in
# scripts/echarts/, with its licences before it. With --check it only says whether the committed file is that.
#
#   scripts/echarts.sh [--check]
set -eu
cd "$(dirname "$0")/.."
committed=analysis/src/report/assets/echarts.min.js
command -v npm >/dev/null || { echo "this needs npm" >&2; exit 1; }
work=build/echarts
mkdir -p $work
cp scripts/echarts/package.json scripts/echarts/package-lock.json scripts/echarts/entry.js $work/
npm ci --prefix $work --silent --no-audit --no-fund --ignore-scripts

modules=$work/node_modules
version=$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' $modules/echarts/package.json | head -n 1)
{
    echo "/*! Apache ECharts $version, made smaller by scripts/echarts.sh. Licensed under the Apache License, Version 2.0:"
    echo "https://www.apache.org/licenses/LICENSE-2.0"
    echo
    sed 's/[[:space:]]*$//' $modules/echarts/NOTICE
    echo
    echo "It contains d3:"
    echo
    sed 's/[[:space:]]*$//' $modules/echarts/licenses/LICENSE-d3
    echo
    echo "It contains zrender:"
    echo
    sed 's/[[:space:]]*$//' $modules/zrender/LICENSE
    echo
    echo "It contains helpers of tslib:"
    echo
    sed 's/[[:space:]]*$//' $modules/tslib/LICENSE.txt
    echo "*/"
    $modules/.bin/esbuild $work/entry.js --bundle --minify --format=iife --global-name=echarts --target=es2020 \
        --legal-comments=none --charset=utf8 --log-level=warning
} >$work/echarts.min.js

# It stands inside a script element.
if grep -qiE '</script|<!--' $work/echarts.min.js; then
    echo "the library holds text that would end its script element" >&2
    exit 1
fi
if [ "${1:-}" = --check ]; then
    cmp $work/echarts.min.js $committed || { echo "$committed is not what scripts/echarts.sh makes: run it" >&2; exit 1; }
    echo "$committed is Apache ECharts $version as the script makes it"
else
    cp $work/echarts.min.js $committed
    echo "wrote $committed: Apache ECharts $version, $(wc -c <$committed) bytes"
fi
