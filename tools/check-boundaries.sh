#!/usr/bin/env bash
# Checks what the compiler does not: which target may import what, and that no unsafe escape is used.
#
#   tools/check-boundaries.sh              check Sources/ of this repository
#   tools/check-boundaries.sh ROOT         check ROOT/Sources
#   tools/check-boundaries.sh --self-test  plant one violation of every rule in a copy; each must be found
#
# Exit status 1 when a rule is broken; every offence is printed as file:line: text.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

# Pure targets: nothing but these modules. No clock, no environment, no threads, no C library.
declare -A pure=(
  [JSON]=""
  [YAML]=""
  [Tensors]="Kernels"
  [TokenPruning]="JSON Kernels Locking Tensors"
  [TensorFormats]="JSON Tensors"
  [TokenPictures]=""
  [HTTP1]=""
  [ContentCodings]="CZlib HTTP1"
  [TLS]="COpenSSL"
  [Kernels]="CMemory CProcessor KernelsBaseline KernelsV3 KernelsV4"
  [KernelsBaseline]=""
  [KernelsV3]=""
  [KernelsV4]=""
  [Locking]="Synchronization"
)
# Target -> modules it must never import: the two halves meet only in the executable.
declare -A never=(
  [PruningService]="Transport TLS COpenSSL CLinux Dispatch Foundation FoundationEssentials Glibc Musl Darwin"
  [Transport]="COpenSSL PruningService TokenPruning TensorFormats Tensors JSON Foundation FoundationEssentials"
)
# Targets that may import the whole of Foundation (FoundationEssentials is enough everywhere so far).
full_foundation=""
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
      if [ -n "${pure[$target]+set}" ] && [[ " ${pure[$target]} " != *" $module "* ]]; then
        offend "$place: $target is pure and imports only: ${pure[$target]:-nothing}"
      fi
      if [[ " ${never[$target]-} " == *" $module "* ]]; then
        offend "$place: $target must not import $module"
      fi
      if [ "$module" = Foundation ] && [[ " $full_foundation " != *" $target "* ]]; then
        offend "$place: Foundation as a whole is not used; FoundationEssentials is"
      fi
    done < <(imports "$root/Sources/$target")
  done
  for target in "${!pure[@]}"; do
    [ -d "$root/Sources/$target" ] || offend "Sources/$target: the pure target is gone; mend tools/check-boundaries.sh"
  done
  while IFS= read -r place; do
    [ -n "$place" ] && offend "$place"
  done < <(grep -rnE --include='*.swift' "$escapes" "$root/Sources" | grep -vE '^[^:]+:[0-9]+:[[:space:]]*//' || true)
  # The thread sanitizer does not see the contended path of Mutex, and reports what it guards; Locked tells it.
  while IFS= read -r place; do
    [ -n "$place" ] && offend "$place: Locked, not Mutex"
  done < <(grep -rnE --include='*.swift' '\bMutex[<(]' "$root"/Sources "$root"/Tests 2>/dev/null | grep -v '/Sources/Locking/' || true)
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
  for line in Foundation FoundationEssentials Dispatch Glibc Musl Darwin Synchronization HTTP1; do
    planted TokenPruning "import $line"
  done
  for file in JSON Tensors TensorFormats HTTP1 Kernels KernelsBaseline; do planted "$file" "public import Glibc"; done
  planted KernelsV3 "import Kernels"
  planted JSON "@_exported import struct Foundation.Data"
  planted JSON "  import class Dispatch.DispatchQueue"
  planted PruningService "import Transport"
  planted PruningService "internal import Glibc"
  planted Transport "private import PruningService"
  planted Transport "import Tensors"
  planted Transport "import COpenSSL"
  planted TLS "import Glibc"
  planted crop "import Foundation"
  for line in 'final class A: @unchecked Sendable {}' 'nonisolated(unsafe) var a = 1' '@preconcurrency import Dispatch' \
    'let a = try! f()' 'let b = a as! Int' 'func f() -> Never { fatalError("no") }' \
    'let lock = Mutex(0)' 'let lock: Mutex<Int>'; do
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
