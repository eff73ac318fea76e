#!/usr/bin/env bash
# Checks what the compiler does not: who may import modules of the system, and that no unsafe escape is used.
# (That targets of this package import only what Package.swift lists is checked by the builds of make build and make
# test, with --explicit-target-dependency-import-check error.)
#
#   tools/check-boundaries.sh              check Sources/ of this repository
#   tools/check-boundaries.sh ROOT         check ROOT/Sources
#   tools/check-boundaries.sh --self-test  plant one violation of every rule in a copy; each must be found
#
# Exit status 1 when a rule is broken; every offence is printed as file:line: text.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

# Target -> modules of the system that it may import. No other target may import any: no clock, no environment, no
# threads, no C library. (Who may import LibC, Package.swift says.)
declare -A system=(
  [Locking]="Synchronization"
  [PruningService]="Synchronization"
  [LibC]="Glibc"
  [Transport]="Dispatch Synchronization"
  [crop]="Dispatch FoundationEssentials Synchronization"
)
modules="Darwin Dispatch Foundation FoundationEssentials Glibc Musl Synchronization"
escapes='@unchecked[[:space:]]+Sendable|nonisolated\(unsafe\)|@preconcurrency|\btry!|\bas!|\bfatalError\('

# Prints FILE:LINE:MODULE of every import below a folder.
imports() {
  local kinds='(typealias|struct|class|enum|protocol|let|var|func)[[:space:]]+'
  grep -rnE --include='*.swift' '^[[:space:]]*(@[A-Za-z_]+(\([^)]*\))?[[:space:]]+|(public|package|internal|fileprivate|private)[[:space:]]+)*import[[:space:]]' "$1" |
    sed -E "s/^([^:]+:[0-9]+):.*import[[:space:]]+($kinds)?([A-Za-z0-9_]+).*/\1:\4/" || true
}

check() {
  local root=$1 broken=0 target module place
  offend() { echo "$1" | sed "s|^$root/||"; broken=1; }

  for target in "$root"/Sources/*/; do
    target=$(basename "$target")
    while IFS= read -r place; do
      [ -n "$place" ] || continue
      module=${place##*:}
      if [[ " $modules " == *" $module "* && " ${system[$target]-} " != *" $module "* ]]; then
        offend "$place: $target must not import $module"
      fi
    done < <(imports "$root/Sources/$target")
  done
  while IFS= read -r place; do
    [ -n "$place" ] && offend "$place"
  done < <(grep -rnE --include='*.swift' "$escapes" "$root/Sources" | grep -vE '^[^:]+:[0-9]+:[[:space:]]*//' || true)
  # The thread sanitizer does not see the contended path of Mutex, and reports what it guards; Locked tells it.
  while IFS= read -r place; do
    [ -n "$place" ] && offend "$place: Locked, not Mutex"
  done < <(grep -rnE --include='*.swift' '\bMutex[<(]' "$root"/Sources "$root"/Tests 2>/dev/null | grep -v '/Sources/Locking/' || true)
  # A prefix counts characters, one of which may have megabytes.
  while IFS= read -r place; do
    [ -n "$place" ] && offend "$place: excerpt, not prefix"
  done < <(grep -rnE --include='*.swift' '\\\([A-Za-z0-9_.]+\.prefix\(' "$root/Sources" || true)
  return $broken
}

self_test() {
  local copy failures=0 file line
  copy=$(mktemp -d)
  trap "rm -rf '$copy'" EXIT
  planted() {  # FILE LINE
    rm -rf "$copy/Sources"
    cp -r "$here/Sources" "$copy/Sources"
    printf '%s\n' "$2" >>"$copy/Sources/$1/Planted.swift"
    if (check "$copy") >/dev/null; then echo "not found: '$2' in $1"; failures=1; fi
  }
  rm -rf "$copy/Sources"; cp -r "$here/Sources" "$copy/Sources"
  (check "$copy") >/dev/null || { echo "the unchanged copy is refused"; failures=1; }
  for line in $modules; do planted TokenPruning "import $line"; done
  for file in JSON Tensors TensorFormats HTTP1 Kernels KernelsBaseline PruningNumerics GreedySearch VisionLayouts TLS; do
    planted "$file" "public import Glibc"
  done
  planted JSON "@_exported import struct Foundation.Data"
  planted JSON "  import class Dispatch.DispatchQueue"
  planted PruningService "internal import Glibc"
  planted Transport "private import FoundationEssentials"
  planted Transport "import Glibc"
  planted crop "import Foundation"
  for line in 'final class A: @unchecked Sendable {}' 'nonisolated(unsafe) var a = 1' '@preconcurrency import Dispatch' \
    'let a = try! f()' 'let b = a as! Int' 'func f() -> Never { fatalError("no") }' \
    'let lock = Mutex(0)' 'let lock: Mutex<Int>' 'let a = "no \(name.prefix(60))"'; do
    planted crop "$line"
  done
  [ $failures = 0 ] && echo "every planted violation is found"
  return $failures
}

case "${1-}" in
--self-test) self_test ;;
"") check "$here" && echo "boundaries hold" ;;
*) check "$1" && echo "boundaries hold" ;;
esac
