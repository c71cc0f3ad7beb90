#!/usr/bin/env bash
# Makes the font that single plots are drawn in, analysis/src/report/assets/roboto-subset.ttf: Roboto (Apache License,
# Version 2.0, https://www.apache.org/licenses/LICENSE-2.0; Copyright 2015, Google Inc.) from Debian's package, with the
# Latin, Greek and Cyrillic letters and the punctuation alone. Needs apt-get, dpkg-deb and python3.
set -eu
cd "$(dirname "$0")/.."
root=$PWD work=$PWD/build/font
mkdir -p "$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet fonttools==4.60.1
(cd "$work" && apt-get download fonts-roboto-unhinted && dpkg-deb -x fonts-roboto-unhinted_*.deb .)
"$work/venv/bin/pyftsubset" "$work/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf" \
    --output-file="$root/analysis/src/report/assets/roboto-subset.ttf" --no-hinting --layout-features='' --notdef-outline \
    --name-IDs=0,1,2,13,14 --unicodes=U+0020-007E,U+00A0-017F,U+0370-03FF,U+0400-045F,U+2010-2015,U+2018-201E,U+2022,U+2026,U+2030,U+20AC,U+2212,U+2264,U+2265
