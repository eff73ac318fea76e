#!/usr/bin/env bash
# Builds the documentation of every library target with DocC; any warning is an error.
#
#   tools/docs.sh            into .build-docs/<target>.doccarchive
#
# Parameters that need no word have none, so that check is off. Internal declarations are included: this is for those who work on crop, and the methods are not public.
set -euo pipefail
cd "$(dirname "$0")/.."
docc=$(command -v docc || dirname "$(readlink -f "$(command -v swift)")" | sed 's|$|/docc|')
[ -x "$docc" ] || { echo "docs: the toolchain has no docc" >&2; exit 1; }
graphs=$PWD/.build-docs/graphs
mkdir -p "$graphs"
# The modules to document are those with sources in Swift; `crop` itself is a program, --help documents it.
swift build --scratch-path .build-docs/build --product crop \
  -Xswiftc -emit-symbol-graph -Xswiftc -emit-symbol-graph-dir -Xswiftc "$graphs" \
  -Xswiftc -symbol-graph-minimum-access-level -Xswiftc internal
failed=0
for folder in Sources/*/; do
  target=$(basename "$folder")
  [ "$target" != crop ] && [ -f "$graphs/$target.symbols.json" ] || continue
  only=$PWD/.build-docs/only-$target
  rm -rf "$only" && mkdir -p "$only"
  cp "$graphs/$target.symbols.json" "$only"
  "$docc" convert --additional-symbol-graph-dir "$only" --output-path ".build-docs/$target.doccarchive" \
    --fallback-display-name "$target" --fallback-bundle-identifier "crop.$target" --warnings-as-errors \
    --disable-parameters-and-returns-validation || failed=1
done
exit $failed
