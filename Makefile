# `make` lists the targets. Everything made lies in .build*/ and is ignored by git.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .build-venv/bin/python
CROP := .build/release/crop
# Flags for `crop serve`: make run ARGS='--http-port 9000'
ARGS ?=
# What to fuzz; empty means all of it.
TARGETS ?=
SECONDS_EACH ?= 60
RUNS ?=
# 1: fuzz without the address sanitizer.
PLAIN ?=
# Random requests a method for verify-numbers.
CASES ?= 5000
export SECONDS_EACH RUNS PLAIN
IMAGE ?= crop:latest

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: run
run: setup ## Build, show one answer, serve on 127.0.0.1:8080 until Ctrl-C (ARGS='--http-port 9000')
	@swift build -c release --product crop
	@tools/run.sh $(CROP) $(ARGS)

.PHONY: test
test: ## Install what the tests need and run all of them; ends with `N passed, N failed`
	@tools/setup.sh test
	@tools/test.sh

.PHONY: build
build: setup ## Debug build
	@swift build --explicit-target-dependency-import-check error

.PHONY: release
release: setup ## Release build: .build/release/crop
	@swift build -c release --product crop

.PHONY: format
format: ## Format the Swift files in place
	@swift format --in-place --parallel --recursive Sources Tests Fuzz Benchmarks Package.swift

.PHONY: lint
lint: ## Say what `make format` would change, and what breaks a rule
	@swift format lint --strict --parallel --recursive Sources Tests Fuzz Benchmarks Package.swift

.PHONY: boundaries
boundaries: ## Check who imports whom (and that the check finds violations)
	@tools/check-boundaries.sh
	@tools/check-boundaries.sh --self-test

.PHONY: blackbox
blackbox: release venv ## Black-box tests alone, on the release build (ARGS='-k drain')
	@CROP_BINARY=$(CURDIR)/$(CROP) timeout 1200 $(PYTHON) -m pytest Tests/BlackBox $(ARGS)

.PHONY: verify-numbers
verify-numbers: release venv ## Every method against the float64 reference, 5,000 random requests each (CASES=200)
	@CROP_BINARY=$(CURDIR)/$(CROP) CROP_NUMBERS=$(CASES) timeout 7200 $(PYTHON) -m pytest Tests/BlackBox -k test_numbers $(ARGS)

.PHONY: test-integrations
test-integrations: release ## The Python client with transformers' models, tiny and random (ARGS='-k qwen3_vl')
	@tools/integrations.sh $(ARGS)

.PHONY: test-clients
test-clients: release ## Clients of the Open Inference Protocol, kserve among them, whose packages take 500 MB (ARGS='-k kserve')
	@tools/setup.sh clients
	@CROP_BINARY=$(CURDIR)/$(CROP) timeout 900 .build-clients-venv/bin/python -m pytest Tests/BlackBox/test_*_client*.py $(ARGS)

.PHONY: test-deploy
test-deploy: release ## Files of deploy/ with real HAProxy, nginx, Envoy, systemd tools, promtool; the image (ARGS='-k "not built"': without)
	@tools/setup.sh deploy
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r Tests/Deploy/requirements.txt
	@CROP_BINARY=$(CURDIR)/$(CROP) timeout 5400 $(PYTHON) -m pytest Tests/Deploy -s $(ARGS)

.PHONY: test-browser
test-browser: release ## The pages in a headless Chromium, with screenshots compared (ARGS='-k slider')
	@tools/setup.sh browser
	@CROP_BINARY=$(CURDIR)/$(CROP) timeout 600 $(PYTHON) -m pytest Tests/Browser $(ARGS)

.PHONY: test-contract
test-contract: release ## All of openapi.yaml: linter, examples, a generated client, 80,000 requests of schemathesis (ARGS='-k lint')
	@tools/setup.sh contract
	@CROP_BINARY=$(CURDIR)/$(CROP) CROP_CONTRACT=whole timeout 3600 .build-contract-venv/bin/python -m pytest Tests/Contract -s $(ARGS)

.PHONY: soak
soak: release venv ## A minute of load, 100,000 damaged requests, and a stop amidst it (ARGS='--seconds 600')
	@timeout 3600 $(PYTHON) tools/soak.py --crop $(CROP) $(ARGS)
	@CROP_BINARY=$(CURDIR)/$(CROP) CROP_MUTATIONS=100000 timeout 3600 $(PYTHON) -m pytest Tests/BlackBox -k mutated

.PHONY: memory
memory: release venv ## Look for requests that take more memory than is counted for them (ARGS='--runs 5000')
	@$(PYTHON) tools/memory.py --crop $(CROP) $(ARGS)
	@$(PYTHON) tools/memory.py --crop $(CROP) --hold 512MiB --megabytes 4

.PHONY: conformance
conformance: release venv ## Conformance cases against ours, nginx (where installed) and Python servers; writes RESULTS.md
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r Tests/Conformance/peers/requirements.txt
	@$(PYTHON) tools/conformance.py --crop $(CROP) --peer all --markdown Tests/Conformance/RESULTS.md $(ARGS)

.PHONY: chaos
chaos: release venv ## Well-behaved clients amidst attackers for ten minutes (ARGS='--minutes 2')
	@timeout 7200 $(PYTHON) tools/chaos.py --crop $(CROP) $(ARGS)

.PHONY: slow
slow: release venv ## slowhttptest and wrk, with a client that watches (needs both programs)
	@timeout 3600 $(PYTHON) tools/slow.py --crop $(CROP) $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz every parser, SECONDS_EACH=60 each or RUNS=10000000 (TARGETS='json npy'); see FUZZING.md
	@nice -n 10 tools/fuzz.sh run $(TARGETS)

.PHONY: minimise
minimise: ## Merge what fuzzing found into Fuzz/Corpus, as few inputs as cover the same
	@tools/fuzz.sh minimise $(TARGETS)

.PHONY: sanitize
sanitize: setup venv ## Tests and server under the thread and the address sanitizer
	@tools/sanitize.sh

.PHONY: bench
bench: setup venv ## Time kernels, methods, formats and the HTTP parser by themselves (ARGS='--only methods --filter divprune.*')
	@$(PYTHON) Benchmarks/bench_micro.py $(ARGS)

.PHONY: bench-peers
bench-peers: setup venv ## Compare with other servers and libraries, write BENCHMARKS.md; half an hour (ARGS=--quick: 3 minutes)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r Benchmarks/peers/requirements.txt
	@# As the Dockerfile ships it: without the libraries of the toolchain.
	@swift build -c release --product crop --static-swift-stdlib --scratch-path .build-static
	@timeout --kill-after=30 7200 $(PYTHON) Benchmarks/bench_peers.py --crop .build-static/release/crop $(ARGS)

.PHONY: bench-mix
bench-mix: setup venv ## The requests of docs/experiments/request-mix.md from ours and a C echo; two minutes
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check numpy safetensors
	@swift build -c release --product crop --static-swift-stdlib --scratch-path .build-static
	@timeout --kill-after=30 1800 $(PYTHON) Benchmarks/bench_peers.py --crop .build-static/release/crop --only mix $(ARGS)

.PHONY: bench-networks
bench-networks: setup venv ## Time learned networks beside PyTorch on one thread, write Benchmarks/results/networks.md
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check numpy safetensors
	@$(PYTHON) Benchmarks/bench_networks.py --write $(ARGS)

.PHONY: bench-client
bench-client: release venv ## Time calls of the Python client beside a bare socket and other HTTP clients
	@$(PYTHON) clients/python/benchmarks/overhead.py --crop $(CROP) --write $(ARGS)

.PHONY: profile
profile: setup ## Count where the instructions of the hot paths go: Benchmarks/results/profile.md (needs valgrind)
	@mkdir -p Benchmarks/results && Benchmarks/profile.sh | tee Benchmarks/results/profile.md

.PHONY: guards
guards: ## Count instructions and allocations of the hot paths against their limits (ARGS=--update sets new ones)
	@tools/setup.sh test
	@swift build -c release --product crop
	@$(PYTHON) tools/guards.py $(ARGS)

.PHONY: capacity
capacity: release venv ## Measure what requests cost on this idle machine, write docs/capacity.md; a minute or two
	@$(PYTHON) tools/capacity.py --crop $(CROP) --write $(ARGS)

.PHONY: docs
docs: setup ## Build the documentation of all library targets with DocC; warnings are errors
	@tools/docs.sh

.PHONY: golden
golden: venv ## Make the golden cases in Tests/Golden again
	@$(PYTHON) tools/golden/reference.py
	@$(PYTHON) tools/models/reference.py

.PHONY: train
train: ## Generate the study's scenes and train its model and localizer; hours, goes on where it stopped
	@evaluation/run.sh train $(ARGS)
	@evaluation/run.sh export

.PHONY: evaluate
evaluate: release ## Answer the study's questions with the tokens of every method; fails where a figure leaves its interval
	@evaluation/run.sh table --check $(ARGS)
	@evaluation/run.sh compression --check

.PHONY: evaluate-smoke
evaluate-smoke: release ## The same for a few scenes at one budget; make test runs it where torch is there already
	@evaluation/run.sh smoke $(ARGS)

.PHONY: examples
examples: venv ## Make the files in Examples again
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check scikit-image pillow
	@$(PYTHON) Examples/make_features.py

.PHONY: image
image: ## Build the container image with docker, podman or buildah (IMAGE=crop:latest ENGINE=podman ARGS='--build-arg ...')
	@tools/image.sh $(IMAGE) $(ARGS)

PREFIX ?= /usr/local
# A program that is built already, to be installed instead of a new build.
INSTALL_FROM ?=

.PHONY: install
install: ## Install the program and completions for bash, zsh and fish (PREFIX=$$HOME/.local, DESTDIR=)
	@tools/install.sh "$(DESTDIR)$(PREFIX)" $(INSTALL_FROM)

.PHONY: clean
clean: ## Remove everything that was made
	@rm -rf .build .build-*

.PHONY: setup venv
setup:
	@tools/setup.sh build
venv:
	@tools/setup.sh venv
