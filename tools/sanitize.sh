#!/usr/bin/env bash
# Runs the tests, and the black-box tests against the server, under the thread and the address sanitizer.
#
#   tools/sanitize.sh                 both, on both: tens of minutes
#   tools/sanitize.sh thread tests    one of thread, address; one of tests, server
#
# Each sanitizer has its own build folder. A report ends the process with status 66, and its text is kept in
# .build-tsan/reports or .build-asan/reports, where any file means failure: a server whose test was over already
# could otherwise fail unseen. Leaks are looked for when a server ends in order.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
failed=0

check() {  # NAME STATUS FOLDER
  local reports
  reports=$(find "$3" -type f | wc -l)
  if [ "$2" = 0 ] && [ "$reports" = 0 ]; then
    echo "$1: ok"
  else
    echo "$1: status $2, $reports reports"
    find "$3" -type f | sort | head -3 | xargs -r head -60
    failed=1
  fi
}

options() {  # SANITIZER FOLDER LEAKS
  case $1 in
  thread)
    export TSAN_OPTIONS="halt_on_error=1:exitcode=66:second_deadlock_stack=1:log_path=$2/report:print_suppressions=0:suppressions=$root/tools/sanitizers/thread.supp"
    ;;
  address)
    export ASAN_OPTIONS="halt_on_error=1:exitcode=66:detect_leaks=$3:log_path=$2/report"
    export LSAN_OPTIONS="exitcode=66:print_suppressions=0:suppressions=$root/tools/sanitizers/leak.supp"
    ;;
  esac
}

run() {  # SANITIZER tests|server
  local build reports flags=(--sanitize "$1")
  # Locks tell the thread sanitizer what it cannot see: Sources/Locking.
  [ "$1" = thread ] && build=.build-tsan && flags+=(-Xswiftc -DTHREAD_SANITIZER)
  [ "$1" = address ] && build=.build-asan
  reports=$root/$build/reports-$2
  rm -rf "$reports"
  mkdir -p "$reports"
  echo "== $1 sanitizer, $2"
  case $2 in
  tests)
    swift build --build-tests "${flags[@]}" --scratch-path $build || { failed=1; return; }
    # GuardTests ends processes by intent, which would be reported. Where there is one thread, nothing can race, and
    # the golden cases would take an hour. The test runner keeps what it allocated until it ends, so only the server
    # is asked for leaks.
    local skipped="TransportTests|GuardTests"
    [ "$1" = thread ] &&
      skipped+="|^(JSON|Tensors|TensorFormats|HTTP1|Kernels|TokenPruning|ContentCodings|Fuzz|GuardPage)Tests"
    (
      options "$1" "$reports" 0
      timeout --kill-after=10 2400 swift test --skip-build "${flags[@]}" --scratch-path $build --parallel \
        --skip "$skipped"
      first=$?
      # Apart, as in tools/test.sh: sockets have timeouts.
      timeout --kill-after=10 900 swift test --skip-build "${flags[@]}" --scratch-path $build \
        --filter TransportTests && exit $first
    ) >"$reports".log 2>&1
    ;;
  server)
    # Optimised, as it is served: races are more likely to show, and the tests' timeouts hold.
    swift build -c release --product crop "${flags[@]}" --scratch-path $build || { failed=1; return; }
    (
      options "$1" "$reports" 1
      # Two tests measure the server's memory, which here is mostly the sanitizer's.
      CROP_BINARY=$root/$build/release/crop timeout --kill-after=10 2400 .build-venv/bin/python -m pytest \
        Tests/BlackBox -k "not 10000_idle and not idle_connections_are_small"
    ) >"$reports".log 2>&1
    ;;
  esac
  local status=$?
  [ $status = 0 ] || grep -aE '^(✘|FAILED|ERROR|E  )|error:|Test run with|passed|failed' "$reports".log | tail -40
  check "$1 sanitizer, $2" $status "$reports"
}

case $# in
0)
  run thread tests
  run thread server
  run address tests
  run address server
  ;;
2) run "$1" "$2" ;;
*) sed -n '2,/^set/p' "$0" | grep '^#'; exit 2 ;;
esac
exit $failed
