#!/usr/bin/env bash
# Runs every test and ends with one line: `N passed, N failed`. Exit status 1 when anything failed.
#
# Stages go on after a failure, so that one run tells everything; each has a time limit.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.build-venv/bin/python
reports=.build-reports
rm -rf $reports
mkdir -p $reports
start=$SECONDS

# NAME SECONDS COMMAND...: runs a stage, notes `ok` or `failed` and how long it took for tools/sum-reports.py.
stage() {
  local name=$1 limit=$2 status began=$SECONDS
  shift 2
  echo "== $name"
  timeout --kill-after=10 "$limit" "$@" </dev/null
  status=$?
  [ $status = 124 ] && echo "$name: no end after $limit s"
  if [ $status = 0 ]; then echo ok; else echo "failed ($status)"; fi >"$reports/$name.stage"
  echo $((SECONDS - began)) >"$reports/$name.seconds"
  return $status
}

# Vectors made with the authors' code may not be published: who has a folder of them puts it beside the
# repository, or names it.
vectors=${CROP_VECTORS:-../shared/golden}

# What needs nothing built, beside the first build, which seldom keeps all processors busy.
checks() {
  stage contract-packages 1500 tools/setup.sh contract
  stage inference-packages 1500 tools/setup.sh clients
  stage boundaries 60 tools/check-boundaries.sh
  stage boundaries-self-test 300 tools/check-boundaries.sh --self-test
  stage format 300 swift format lint --strict --parallel --recursive Sources Tests Fuzz Benchmarks Package.swift
  stage golden-reference 300 $python tools/golden/reference.py --check
  stage golden-self-test 60 $python tools/golden/reference.py --self-test
  stage models-reference 120 $python tools/models/reference.py --check
  # Without torch: the scenes and questions of the study.
  stage evaluation-scenes 120 $python -m pytest evaluation/tests --junitxml $reports/evaluation.xml
  stage python-client-types 120 env -C clients/python ../../$python -m mypy
  if [ -d "$vectors" ]; then
    stage golden-export 300 $python tools/golden/export.py --vectors "$vectors" --out .build-golden
  fi
}
checks >$reports/checks.log 2>&1 &
checks=$!

# No target imports what Package.swift does not let it.
stage build-tests 1800 swift build --build-tests --explicit-target-dependency-import-check error
built=$?
wait $checks
cat $reports/checks.log
if [ "$(cat $reports/golden-export.stage 2>/dev/null)" = ok ]; then export CROP_GOLDEN_DIR=$PWD/.build-golden; fi
if [ $built = 0 ]; then
  # Apart, because the golden cases keep every core busy for longer than the socket tests' timeouts last.
  stage swift-testing 1500 swift test --skip-build --parallel --skip TransportTests --xunit-output $reports/swift.xml
  stage swift-sockets 600 swift test --skip-build --parallel --filter TransportTests --xunit-output $reports/sockets.xml
fi
if stage build-release 1800 swift build -c release --product crop; then
  stage levels 60 tools/check-levels.sh
  CROP_BINARY=$PWD/$(swift build -c release --show-bin-path | sed "s|^$PWD/||")/crop \
    stage black-box 1500 $python -m pytest Tests/BlackBox --ignore-glob '*_client*.py' --numprocesses 2 --dist worksteal \
    --junitxml $reports/pytest.xml
  CROP_BINARY=$PWD/$(swift build -c release --show-bin-path | sed "s|^$PWD/||")/crop \
    stage contract 600 .build-contract-venv/bin/python -m pytest Tests/Contract --junitxml $reports/contract.xml
  CROP_BINARY=$PWD/$(swift build -c release --show-bin-path | sed "s|^$PWD/||")/crop \
    stage inference-clients 600 .build-clients-venv/bin/python -m pytest Tests/BlackBox/test_*_client*.py --junitxml $reports/inference-clients.xml
  CROP_BINARY=$PWD/$(swift build -c release --show-bin-path | sed "s|^$PWD/||")/crop \
    stage python-client 600 env -C clients/python ../../$python -m pytest --junitxml ../../$reports/client.xml
  # Where torch and the study's material are there already; nothing is installed for it.
  if evaluation/run.sh --check; then stage evaluation-smoke 600 evaluation/run.sh smoke; fi
  # The same for models of transformers.
  if tools/integrations.sh --check; then
    stage integrations 900 tools/integrations.sh -q --junitxml $reports/integrations.xml
  fi
  # Where there is a Chromium; `make test-browser` and .ci/run install one.
  if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then
    CROP_BINARY=$PWD/$(swift build -c release --show-bin-path | sed "s|^$PWD/||")/crop \
      stage browser 600 $python -m pytest Tests/Browser --junitxml $reports/browser.xml
  else
    echo "== browser: left out, there is no Chromium"
  fi
  # Instructions and allocations of the hot paths, counted: the same on a busy machine.
  if stage build-hot-paths 900 swift build -c release --product hot-paths; then
    stage guards 300 $python tools/guards.py
    stage guards-self-test 120 $python tools/guards.py --self-test
  fi
fi

echo "== $((SECONDS - start)) s"
exec $python tools/sum-reports.py $reports
