#!/usr/bin/env bash
# Says where the instructions of the hot paths go: Benchmarks/profile.sh [NAME...]
#
# Runs `hot-paths NAME` under callgrind twice, so that start-up and inputs cancel out, and prints for each path, as
# Markdown, the instructions of one repetition by the function that executes them. The default paths are a whole small
# request, the head of one, a JSON matrix and DivPrune.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${ROWS:-14}
paths=("$@")
[ ${#paths[@]} -gt 0 ] || paths=(service-crop-1KB service-crop-1KB-new service-topk-1KB service-topk-1KB-new http-head json-matrix-64x1024 topk-1024x576-f16 divprune-576x1024)
for tool in valgrind callgrind_annotate strip; do
  command -v $tool >/dev/null || { echo "profile: $tool is missing; tools/setup.sh test installs it" >&2; exit 1; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
swift build -c release --product hot-paths >/dev/null
# Without debug information: older valgrinds stumble over that of newer compilers.
strip --strip-debug -o "$folder/hot-paths" "$(swift build -c release --show-bin-path)/hot-paths"

# As tools/guards.py counts: no table is laid out anew, and no `rep` counts as an instruction for each of its bytes.
export SWIFT_DETERMINISTIC_HASHING=1
export GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000

# NAME REPEATS: instructions and function, a line each, mangled names undone.
functions() {
  valgrind -q --tool=callgrind --callgrind-out-file="$folder/$1.$2" "$folder/hot-paths" "$1" "$2"
  callgrind_annotate --threshold=100 --auto=no "$folder/$1.$2" |
    sed -nE 's/^ *([0-9,]+) \([^)]*\) +[^:]*:(.*) \[[^]]*\]$/\1 \2/p' | tr -d , | sed -E "s/'[0-9]+$//" |
    awk '{n = $1; $1 = ""; count[$0] += n} END {for (name in count) print count[name] name}'
}

echo "Instructions of one repetition, by the function that executes them; \`make profile\` counts them again."
echo
echo "Kernels of level $(valgrind -q --tool=none "$folder/hot-paths" level)."
for path in "${paths[@]}"; do
  few=2 many=12
  case $path in json-* | divprune-* | cdpruner-*) few=1 many=2 ;; esac
  functions "$path" $few >"$folder/few"
  functions "$path" $many >"$folder/many"
  awk -v repeats=$((many - few)) '
    {name = substr($0, index($0, " ") + 1)}
    FNR == NR {before[name] = $1; next}
    {n = ($1 - before[name]) / repeats; if (n >= 1) {printf "%d %s\n", n, name}}' "$folder/few" "$folder/many" |
    sort -rn >"$folder/difference"
  total=$(awk '{sum += $1} END {print sum}' "$folder/difference")
  echo
  echo "### $path: $total instructions"
  echo
  echo "| instructions | share | function |"
  echo "|---|---|---|"
  head -n "$rows" "$folder/difference" | swift demangle --simplified |
    awk -v total="$total" '{n = $1; $1 = ""; gsub(/\|/, "\\|"); printf "| %d | %.1f %% | `%s` |\n", n, 100 * n / total, substr($0, 2, 140)}'
done
