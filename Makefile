# All targets run from the root of the repository; 'make help' lists them.
# Results of tools and downloads lie outside the tree, see compose/setup.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

WAGGLE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/waggle
export WAGGLE_CACHE
# Found first, so that every target uses the pinned tools.
export PATH := $(WAGGLE_CACHE)/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

# The names of the images to build, all if empty.
ONLY ?=
# Where third-party images come from, see compose/images/images.sh. What is built for
# tests and for the demo may stand on stand-ins.
WAGGLE_BASES ?=
export WAGGLE_BASES
# Further flags for the tests that need no swarm, such as -count=1 or -run X.
UNIT_FLAGS ?=
# Further flags for the tests on a real swarm.
SWARM_FLAGS ?=
# The file of cases instead of the project's own, and further flags such as -run ID,ID or -v.
CASES ?=
ACCEPTANCE_FLAGS ?=
# How many rounds scalers are ended in.
ROUNDS ?= 1000
# Flags of the measurement, such as -runs 1 -only latency.
MEASURE_FLAGS ?=
# Flags of the measurement of the proxy, such as -only throughput,cold.
MEASURE_PROXY_FLAGS ?=
# Flags of the measurement of the monitor, such as -only glutton.
MEASURE_MONITOR_FLAGS ?=
# Flags of chaos, such as -only listeners,pause or -tag before.
CHAOS_FLAGS ?=
# Flags of counts, such as -only keep,rollback.
COUNTS_FLAGS ?=
# Flags of scenarios, such as -only T-05,T-11.
SCENARIOS_FLAGS ?=
# Flags of certificates, such as -only kill-order,store.
CERTIFICATES_FLAGS ?=
# Flags of trials, such as -only one,three, and the commit or tag from which is upgraded.
TRIALS_FLAGS ?=
WAGGLE_BEFORE ?= $(shell git describe --tags --abbrev=0 HEAD~1 2>/dev/null || echo 4d7d5e7)
# Flags of attack, such as -only owners,paths or -logs FOLDER.
ATTACK_FLAGS ?=
# Flags of the measurement of the scaler, such as -only quiet -samples 20.
MEASURE_SCALER_FLAGS ?=
# Flags of a release, such as -push registry.example.com/waggle.
RELEASE_FLAGS ?=
FUZZTIME ?= 20s
BENCHTIME ?= 1s

timed := compose/check/timed.sh
modules = $(shell go list -m -f '{{.Dir}}')
# What needs a real swarm, or namespaces, stands in packages of its own, so that the
# level of a test is seen from its place, and no test is left out by a forgotten tag.
level4 := /compose/e2e/(lab|swarm|chaos|acceptance)(/|$$)

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## Install and prepare what building and testing need; it may be run again and again.
	@$(timed) setup compose/setup/setup.sh

.PHONY: images
images: ## Build all images, or those named: make images ONLY="proxy demo"; on official ones unless WAGGLE_BASES says otherwise.
	@$(timed) images compose/images/images.sh $(ONLY)

.PHONY: release
release: ## Make a release of this commit in dist/release: binaries, images, SBOMs, checksums; RELEASE_FLAGS, see compose/images/release.sh.
	@$(timed) release compose/images/release.sh $(RELEASE_FLAGS)

.PHONY: pin
pin: ## Look up the digests of the images below ours, as far as they can be had.
	@go run ./compose/tools/cmd/release -pin

.PHONY: build
build: ## Compile every package of the workspace.
	@go build work

.PHONY: check
check: setup ## Run all checks that need no test to run (3 minutes at most).
	@$(timed) check $(MAKE) -k fmt vet deps modules check-sleep check-shell check-docs prose lint

.PHONY: fmt
fmt: ## Fail if a file is not formatted by gofmt.
	@$(timed) fmt bash -c 'files=$$(gofmt -l .); [ -z "$$files" ] || { echo "gofmt: run gofmt -w on:" $$files >&2; exit 1; }'

.PHONY: vet
vet: ## Run go vet over the workspace.
	@$(timed) vet go vet work

.PHONY: lint
lint: ## Run golangci-lint over every module with the rules of .golangci.yml.
	@$(timed) lint golangci-lint run --allow-parallel-runners $(addsuffix /...,$(modules))

.PHONY: deps
deps: ## Fail if a package imports, or a file of proxy/internal/haproxy refers to, what the directions of the house do not allow.
	@$(timed) deps bash -eo pipefail -c 'go list -json=ImportPath,Imports,TestImports,XTestImports work | go run ./compose/tools/cmd/deps; \
	go list -export -deps -json=ImportPath,Dir,GoFiles,Export ./proxy/internal/haproxy/... | go run ./compose/tools/cmd/deps -files'

.PHONY: draw
draw: ## Draw which rooms of the proxy import which.
	@go list -json=ImportPath,Imports ./proxy/... | go run ./compose/tools/cmd/deps -draw proxy

.PHONY: modules
modules: ## Fail if a module does not stand on its own, is untidy or out of step with the workspace.
	@$(timed) modules compose/check/modules.sh

.PHONY: check-sleep
check-sleep: ## Fail if a test sleeps for real.
	@$(timed) check-sleep compose/check/sleep.sh

.PHONY: check-shell
check-shell: ## Run shellcheck over all scripts.
	@$(timed) check-shell bash -c 'git ls-files --cached --others --exclude-standard -z | xargs -0r grep -lIE "^#!/usr/bin/env bash|^# shellcheck shell=" | xargs -r shellcheck -x'

.PHONY: check-docs
check-docs: ## Fail if a generated page is out of date, or a page names what is not there.
	@$(timed) check-docs compose/check/docs.sh

.PHONY: prose
prose: ## Fail if a link on a page leads nowhere, or its words are those that nobody searches for.
	@$(timed) prose go run ./compose/tools/cmd/prose

.PHONY: test
test: setup ## Run all tests: set-up, images, unit tests with the race detector, real swarm.
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(MAKE) test-unit
	@$(MAKE) test-swarm

.PHONY: test-unit
test-unit: ## Run the tests that need no swarm, with the race detector (needs setup).
	@# Half of them wait for the programs that they run: three packages at once keep two cores busy.
	@packages=$$(go list work | grep -vE '$(level4)'); \
	$(timed) test-unit gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg \
		--rerun-fails=1 --rerun-fails-max-failures=3 --packages "$$packages" -- -race -p 3 -timeout 20m $(UNIT_FLAGS)

.PHONY: test-swarm
test-swarm: ## Run the tests on a real swarm of their own and the cases of the components, as root (needs setup and images).
	@packages=$$(go list work | grep -E '$(level4)'); \
	$(timed) test-swarm gotestsum --format standard-verbose -- -count=1 -p 1 -timeout 20m $(SWARM_FLAGS) $$packages

# Where set-up for 'make versions' puts further versions.
others := $(WAGGLE_CACHE)/versions

.PHONY: versions
versions: setup ## Repeat tests with HAProxy 3.0, the newest Prometheus, and engines 28 and 29 (40 minutes, without what is built once).
	@$(timed) versions-setup compose/setup/versions.sh "$$WAGGLE_CACHE"
	@PATH=$(others)/prometheus:$$PATH $(timed) versions-prometheus gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -count=1 -timeout 12m ./monitor/...
	@PATH=$(others)/haproxy:$$PATH $(timed) versions-haproxy gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -count=1 -timeout 12m ./proxy/...
	@$(timed) versions-acceptance go run ./compose/e2e/cmd/acceptance -haproxy $(others)/haproxy/haproxy $(ACCEPTANCE_FLAGS) "$(CASES)"
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(MAKE) versions-engine

# What of the stories on a real swarm the engine has a part in.
engine_stories := ^TestSwarm$$/^(no_container|labels_make|scaling|updates|a_scaling|a_deployment|an_uninstall)

.PHONY: versions-engine
versions-engine: ## Repeat stories on a real swarm with the engines that 'make versions' has brought, as root (needs images; 5 minutes each).
	@for engine in engine28 engine29; do \
		PATH=$(others)/$$engine:$$PATH $(timed) versions-$$engine gotestsum --format standard-verbose -- \
			-count=1 -timeout 20m -run '$(engine_stories)' $(SWARM_FLAGS) ./compose/e2e/swarm; \
	done

.PHONY: acceptance
acceptance: setup ## Run black-box cases of a component, as root: make acceptance CASES=file.
	@$(timed) acceptance go run ./compose/e2e/cmd/acceptance $(ACCEPTANCE_FLAGS) "$(or $(CASES),compose/e2e/acceptance/testdata/cases.json)"

.PHONY: acceptance-monitor
acceptance-monitor: setup ## Run black-box cases of the monitor and of the listener's metrics, as root: make acceptance-monitor CASES=file.
	@$(timed) acceptance-monitor go run ./compose/e2e/cmd/acceptance $(ACCEPTANCE_FLAGS) "$(or $(CASES),compose/e2e/acceptance/testdata/monitor.json)"

.PHONY: acceptance-scaler
acceptance-scaler: setup ## Run black-box cases of the scaler, as root: make acceptance-scaler CASES=file.
	@$(timed) acceptance-scaler go run ./compose/e2e/cmd/acceptance $(ACCEPTANCE_FLAGS) "$(or $(CASES),compose/e2e/acceptance/testdata/scaler.json)"

.PHONY: rounds-scaler
rounds-scaler: setup ## End scalers as by kill -9 at each call of a step, ROUNDS times (1000), as root (2 minutes).
	@$(timed) rounds-scaler go run ./compose/e2e/cmd/acceptance rounds $(ROUNDS) $(ACCEPTANCE_FLAGS)
	@$(timed) writers-scaler go test -count=1 -run TestTwoWriters -v ./scaler -write-for 1m

.PHONY: acceptance-listener
acceptance-listener: setup ## Run black-box cases of what the listener tells Docker Flow's receivers, as root: make acceptance-listener CASES=file.
	@$(timed) acceptance-listener go run ./compose/e2e/cmd/acceptance $(ACCEPTANCE_FLAGS) "$(or $(CASES),compose/e2e/acceptance/testdata/listener.json)"

.PHONY: acceptance-why
acceptance-why: setup ## Run black-box cases of the command waggle, as root: make acceptance-why CASES=file.
	@$(timed) acceptance-why go run ./compose/e2e/cmd/acceptance $(ACCEPTANCE_FLAGS) "$(or $(CASES),compose/e2e/acceptance/testdata/why.json)"

.PHONY: lint-agrees
lint-agrees: setup ## Compare waggle lint with the running proxy, as root, by cases of the proxy: make lint-agrees CASES=file.
	@$(timed) lint-agrees go run ./compose/e2e/cmd/acceptance agrees $(ACCEPTANCE_FLAGS) "$(or $(CASES),compose/e2e/acceptance/testdata/cases.json)"

.PHONY: measure
measure: setup ## Measure latencies and lost requests on a swarm of its own (20 minutes; MEASURE_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) measure go run ./compose/e2e/cmd/measure swarm $(MEASURE_FLAGS)

.PHONY: measure-proxy
measure-proxy: setup ## Measure the proxy beside bare HAProxy, with many services and connections (20 minutes; MEASURE_PROXY_FLAGS, see -h).
	@compose/setup/load.sh
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) measure-proxy go run ./compose/e2e/cmd/measure proxy $(MEASURE_PROXY_FLAGS)

.PHONY: measure-scaler
measure-scaler: setup ## Measure how soon an alert has become a change of a service, and what standing alerts cost (5 minutes; MEASURE_SCALER_FLAGS, see -h).
	@$(timed) measure-scaler go run ./compose/e2e/cmd/measure scaler $(MEASURE_SCALER_FLAGS)

.PHONY: measure-monitor
measure-monitor: setup ## Measure how soon the monitor follows, with few and 1,000 services, and what one that asks for too much costs (10 minutes; MEASURE_MONITOR_FLAGS, see -h).
	@$(timed) measure-monitor go run ./compose/e2e/cmd/measure monitor $(MEASURE_MONITOR_FLAGS)

.PHONY: chaos
chaos: setup ## Break Waggle on swarms of its own in every way it is meant to live through, as root (55 minutes; CHAOS_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) chaos go run ./compose/e2e/cmd/chaos $(CHAOS_FLAGS)

.PHONY: attack
attack: setup ## Attack Waggle on a swarm of its own in every way it is meant to withstand, as root (15 minutes; ATTACK_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) attack go run ./compose/e2e/cmd/attack $(ATTACK_FLAGS)

.PHONY: certificates
certificates: setup ## Obtain certificates from a real authority on swarms of their own, also while whoever orders is killed, as root (30 minutes; CERTIFICATES_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) certificates go run ./compose/e2e/cmd/certificates $(CERTIFICATES_FLAGS)

.PHONY: scenarios
scenarios: setup ## Play what Docker Flow's tutorials teach on a swarm of its own, as root (20 minutes; SCENARIOS_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) scenarios go run ./compose/e2e/cmd/scenarios $(SCENARIOS_FLAGS)

.PHONY: trials
trials: setup ## Do on swarms of its own what README and docs tell a newcomer, upgrade from WAGGLE_BEFORE and go back, and move stacks of Docker Flow's, as root (20 minutes; TRIALS_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@WAGGLE_BEFORE=$(WAGGLE_BEFORE) $(timed) trials go run ./compose/e2e/cmd/trials $(TRIALS_FLAGS)

.PHONY: counts
counts: setup ## Play what becomes of numbers of replicas on a swarm of its own, as root (10 minutes; COUNTS_FLAGS, see -h).
	@$(MAKE) images WAGGLE_BASES=$(or $(WAGGLE_BASES),any)
	@$(timed) counts go run ./compose/e2e/cmd/counts $(COUNTS_FLAGS)

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (20s).
	@$(timed) fuzz compose/check/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run the benchmarks, each for BENCHTIME (1s).
	@$(timed) bench go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $$(go list work | grep -vE '$(level4)')

.PHONY: demo
demo: ## Install what it needs, and bring the demo up on this machine's engine.
	@$(timed) setup compose/setup/setup.sh demo
	@WAGGLE_BASES=$(or $(WAGGLE_BASES),any) $(timed) images compose/images/images.sh --compiled
	@compose/demo/demo.sh up

.PHONY: down
down: ## Take the demo down, and nothing that it has not made.
	@compose/demo/demo.sh down

.PHONY: docs
docs: ## Generate the pages of labels, metrics and settings, the schemas, and the listener's list of labels.
	@go run ./compose/tools/cmd/gendocs

.PHONY: clean
clean: ## Remove what was built inside the tree; the cache of setup stays.
	@rm -rf dist coverage
