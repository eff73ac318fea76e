#!/usr/bin/env bash
# Fuzzes the parts that read untrusted bytes, with libFuzzer and the address sanitizer.
#
#   tools/fuzz.sh run [TARGET...]        SECONDS_EACH (60) seconds each, or RUNS executions; stops at a finding
#   tools/fuzz.sh minimise [TARGET...]   keep in Fuzz/Corpus the fewest inputs that cover what seeds, corpus and finds do
#   tools/fuzz.sh pack FOLDER TARGET     make a folder of inputs the corpus of a target
#   tools/fuzz.sh repeat TARGET FILE     try one input again
#
# PLAIN=1 leaves out the address sanitizer, so that only traps and broken laws are found, and the notes of what the program
# compares, from which libFuzzer takes the tokens of a text: for `operation`, whose bytes are choices.
#
# The corpus of a target is the archive Fuzz/Corpus/TARGET.tar, unpacked to .build-fuzz/corpus/TARGET.
# New inputs go to .build-fuzz/finds/TARGET, never into the tree; a finding is written to .build-fuzz/findings, and the
# exit status is 1. Each run's last status line goes to .build-fuzz/TARGET.log.
set -uo pipefail
cd "$(dirname "$0")/.."
build=.build-fuzz
if [ -n "${PLAIN-}" ]; then
  scratch=.build-fuzz-plain
  instrumentation=(-Xswiftc -sanitize=fuzzer -Xswiftc -sanitize-coverage=edge,inline-8bit-counters,pc-table)
else
  scratch=$build
  instrumentation=(-Xswiftc -sanitize=fuzzer,address)
fi
binary=$scratch/release/fuzz

build() {
  # Every module is instrumented, optimised as a release is; overflow checks stay on. (SwiftPM's own --sanitize takes
  # one sanitizer that instruments; the second one comes by hand.)
  swift build --configuration release --package-path Fuzz/LibFuzzer --scratch-path $scratch \
    --sanitize fuzzer "${instrumentation[@]}" 2>&1 | grep -v 'gold: warning: Cannot export'
  [ "${PIPESTATUS[0]}" = 0 ]
}

# The longest input of a target, as its source says.
longest() { grep -rhoE "FuzzTarget\(\"$1\", maximumBytes: [0-9]+" Tests/FuzzTargets | grep -oE '[0-9]+$'; }

dictionary() {
  case $1 in
  request) cat Fuzz/Dictionaries/*.dict ;;
  request-head | chunked-body | message-stream | content-coding | media-type | query | peers) cat Fuzz/Dictionaries/http.dict ;;
  *) cat Fuzz/Dictionaries/json.dict ;;
  esac
}

seeds() {
  rm -rf $build/seeds
  python3 tools/fuzz-seeds.py $build/seeds
}

# TARGET: its corpus as files, for libFuzzer.
unpack() {
  local folder=$build/corpus/$1
  rm -rf "$folder"
  mkdir -p "$folder"
  [ ! -f Fuzz/Corpus/"$1".tar ] || tar -xf Fuzz/Corpus/"$1".tar -C "$folder"
}

# FOLDER TARGET: files as the target's corpus; the same files make the same archive.
pack() {
  tar -C "$1" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 \
    --transform 's,^\./,,' -cf Fuzz/Corpus/"$2".tar --no-recursion $(cd "$1" && ls -A)
}

# TARGET FLAG...: libFuzzer's main with what every run needs.
fuzzer() {
  local target=$1
  shift
  mkdir -p $build/finds/"$target" $build/findings
  dictionary "$target" >$build/"$target".dict
  # Inputs of whole operations have tens of thousands of features each: libFuzzer's schedule by rare ones takes more time
  # than the target, and how often an edge is taken says little of choices.
  case $target in operation) set -- -entropic=0 -use_counters=0 "$@" ;; esac
  # Swift's own report of a trap would take half a second per crash and hide libFuzzer's. Where memory was allocated is
  # recorded by `repeat` alone. The timeout is long because a process may stand still for seconds on a busy machine.
  FUZZ_TARGET=$target SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0:handle_abort=1${ASAN_MORE-} $binary \
    -max_len="$(longest "$target")" -timeout=60 -rss_limit_mb=4096 -artifact_prefix=$build/findings/"$target"- "$@"
}

run() {
  local target status=0 limit
  if [ -n "${RUNS-}" ]; then limit=-runs=$RUNS; else limit=-max_total_time=${SECONDS_EACH:-60}; fi
  for target in "$@"; do
    echo "== $target"
    unpack "$target"
    if fuzzer "$target" "$limit" -dict=$build/"$target".dict -print_final_stats=1 \
      $build/finds/"$target" $build/corpus/"$target" $build/seeds/"$target" >$build/"$target".log 2>&1; then
      grep -E '^#[0-9]+.DONE|number_of_executed_units|average_exec' $build/"$target".log
    else
      status=1
      grep -vE '^#' $build/"$target".log | tail -40
    fi
  done
  return $status
}

minimise() {
  local target merged
  for target in "$@"; do
    merged=$build/merged
    rm -rf $merged
    mkdir -p $merged
    unpack "$target"
    fuzzer "$target" -set_cover_merge=1 -use_counters=0 $merged $build/corpus/"$target" $build/seeds/"$target" $build/finds/"$target" \
      >$build/"$target".merge.log 2>&1 || { tail -5 $build/"$target".merge.log; return 1; }
    pack $merged "$target"
    echo "$target: $(ls $merged | wc -l) inputs, $(stat -c %s Fuzz/Corpus/"$target".tar) bytes"
  done
}

command=${1-}
shift || true
case $command in
run | minimise)
  ASAN_MORE=:malloc_context_size=0
  build || exit 1
  seeds
  # The order of the list in the source.
  if [ $# = 0 ]; then set -- $(grep -rhoE 'FuzzTarget\("[a-z0-9-]+"' Tests/FuzzTargets | cut -d'"' -f2 | sort); fi
  $command "$@"
  ;;
pack) pack "$1" "$2" ;;
repeat)
  build || exit 1
  fuzzer "$1" "$2" 2>&1 | grep -vE '^(INFO|Running)'
  ;;
*) sed -n '2,/^set/p' "$0" | grep '^#' && exit 2 ;;
esac
