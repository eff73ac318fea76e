#!/usr/bin/env bash
# Checks in the objects of a release build that no instruction of one processor level reaches another.
#
#   tools/check-levels.sh [FOLDER]   FOLDER: what swift build -c release --show-bin-path says
#
# Two ways lead there. A function of KernelsV3 or KernelsV4 that other modules may share (a specialisation of a generic
# function of the standard library) is kept once by the linker, for all levels. And a module without flags that inlines
# such a function has its instructions. Exit status 1 when there is one; each is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$(swift build -c release --show-bin-path)}
[ "$(uname -m)" = x86_64 ] || { echo "one level on $(uname -m)"; exit 0; }
broken=0

for level in KernelsV3 KernelsV4; do
  ls "$folder/$level.build/"*.o > /dev/null
  shared=$(nm "$folder/$level.build/"*.o | awk '$2 == "W" { print $3 }' | grep '^\$s' | grep -v "$level" || true)
  [ -z "$shared" ] && continue
  swift demangle --compact $shared | sed "s/^/$level shares with other modules: /"
  broken=1
done

for module in "$folder"/*.build; do
  name=$(basename "$module" .build)
  case $name in KernelsV3 | KernelsV4) continue ;; esac
  [ -d "Sources/$name" ] || continue
  for object in "$module"/*.o; do
    if objdump -d --no-show-raw-insn "$object" | grep -qE '%[yz]mm[0-9]'; then
      echo "$name: $(basename "$object") has instructions of AVX"
      broken=1
    fi
  done
done
[ $broken = 0 ] && echo "levels keep apart"
exit $broken
