# `make` lists what there is. Everything heavy that is built goes to $(CACHE), keyed by version.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(RUNYARD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/runyard)
UV_VERSION := 0.13.8
UV := $(CACHE)/bin/uv-$(UV_VERSION)/bin/uv
PYTHON ?= python3
TESTBED := $(PYTHON) tests/testbed/testbed.py
RUN := $(UV) run --frozen --no-sync
RUN_PYTORCH := UV_PROJECT_ENVIRONMENT=.venv-torch $(RUN)
export UV_NO_PROGRESS ?= 1
# Where no bytecode may be kept, each process compiles MLflow and all it imports anew, which takes longer than the rest of it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo cluster test check test-heavy tools generate format down clean bench fuzz model matrix chaos charts operator docs images examples

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(UV) ## Train the wine example on this machine, tracked: no cluster, no root.
	$(UV) sync --quiet --frozen --no-editable --no-dev --extra local --inexact
	$(UV) run --frozen --no-sync runyard run examples/wine/trainingrun.yaml

cluster: ## Bring up a kind cluster with Runyard in it, and train the wine example there.
	$(TESTBED) up
	$(TESTBED) images
	eval "$$($(TESTBED) env)" && tests/testbed/install

test: .venv/ready .venv-torch/ready tools cluster ## All but outages (see matrix): static checks, unit, chart, API server, cluster, browser.
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target static by-itself
	$(MAKE) --no-print-directory --jobs=3 with-faults on-the-cluster beside-it the-dashboard

# How often the operator writes hangs on what comes late: that is counted while nothing else is going on.
.PHONY: by-itself
by-itself: .venv/ready
	$(TESTBED) tools kube-apiserver etcd kubectl >/dev/null
	$(RUN) pytest tests/bench -q

# Side by side: the two on the cluster mostly wait, and the third is work for both processors. Whatever takes the operator
# away, or counts the node's room, is in the first. The dashboard's tests, which share what they look at, begin where one
# of these has ended.
.PHONY: with-faults on-the-cluster beside-it the-dashboard
CLUSTER := -m "(cluster or browser) and not (outage or heavy)"
with-faults: .venv/ready
	eval "$$($(TESTBED) env)" && $(RUN) pytest tests/cluster tests/chart/test_install.py --ignore=tests/cluster/commands $(CLUSTER) | sed --unbuffered "s/^/faults  | /"

on-the-cluster: .venv/ready
	eval "$$($(TESTBED) env)" && $(RUN) pytest tests/browser tests/chart tests/cluster/commands tests/testbed --ignore=tests/chart/test_install.py $(CLUSTER) | sed --unbuffered "s/^/cluster | /"

beside-it: .venv/ready .venv-torch/ready
	$(RUN_PYTORCH) pytest tests/pytorch -q | sed --unbuffered "s/^/pytorch | /"
	eval "$$($(TESTBED) env)" && $(RUN) pytest tests --ignore=tests/bench --ignore=tests/dashboard -m "not (cluster or browser or pytorch)" -q --numprocesses=3 --dist=loadfile --no-loadscope-reorder | sed --unbuffered "s/^/beside  | /"

the-dashboard: .venv/ready
	$(TESTBED) tools kube-apiserver etcd kubectl >/dev/null
	$(RUN) pytest tests/dashboard -q | sed --unbuffered "s/^/pages   | /"

test-heavy: .venv/ready cluster ## What needs PyTorch on the cluster, from an image of 7 GB that is built and loaded once.
	$(TESTBED) images pytorch
	eval "$$($(TESTBED) env)" && $(RUN) pytest tests/cluster/commands -m heavy

check: .venv/ready ## The fast part: static checks and the tests of the pure parts.
	$(MAKE) --no-print-directory static
	$(RUN) pytest tests/unit

.PHONY: static
static: .venv/ready
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports --no-cache

bench: .venv/ready ## Measure the operator's speed and size against a real API server (docs/performance.md): ten minutes.
	$(TESTBED) tools kube-apiserver etcd kubectl >/dev/null
	$(RUN) python -m tests.bench $(BENCH)

fuzz: .venv/ready ## Give the operator 2,000 TrainingRuns that nobody would write, at a real API server: twenty minutes.
	$(TESTBED) tools kube-apiserver etcd kubectl >/dev/null
	RUNYARD_FUZZ_CASES=2000 $(RUN) pytest -s tests/unit/test_fuzz.py tests/operator/operations/test_fuzz.py

model: .venv/ready ## Lead the operator through 2,000 lives in the model, by chance; RUNYARD_MODEL_EXAMPLES=100 for fewer: some minutes.
	RUNYARD_MODEL_EXAMPLES=$(or $(RUNYARD_MODEL_EXAMPLES),2000) $(RUN) pytest -s --timeout=0 tests/unit/model/test_machine.py $(MODEL)

matrix: .venv/ready ## Show the faults on the cluster that is there, three times in a row; write the times into docs/fault-matrix.md.
	eval "$$($(TESTBED) env)" && $(RUN) python -m tests.cluster.matrix $(MATRIX)

chaos: .venv/ready ## Six minutes of random faults on the cluster that is there, four of rest, then the verdict. CHAOS="--seed 7" repeats one.
	eval "$$($(TESTBED) env)" && $(RUN) python -m tests.chaos $(CHAOS)

tools: ## Make the programs that tests need besides the cluster's: API server, etcd, kubectl, helm, Chromium.
	$(TESTBED) browser
	$(TESTBED) tools kube-apiserver etcd kubectl helm >/dev/null

generate: .venv/ready ## Write what is derived from the resource's types: the CRD, the schema.
	$(TESTBED) tools kube-apiserver etcd >/dev/null
	$(RUN) python -m tests.support.generate

format: .venv/ready ## Format the code, and mend what the linter can.
	$(RUN) ruff check --fix
	$(RUN) ruff format

down: ## Remove the cluster; what was built is kept.
	$(TESTBED) down

clean: ## Remove what was made in this folder.
	rm -rf .venv .venv-torch build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .runyard mlruns

# pip needs no environment, and no right to the system's packages, to put one program into a folder.
$(UV):
	$(PYTHON) -m pip install --quiet --no-cache-dir --root-user-action ignore --target "$(dir $(@D))" uv==$(UV_VERSION)

# Tests run against what a user installs: wheels, not the source tree.
INSTALLED := $(UV) uv.lock pyproject.toml operator/pyproject.toml $(shell find src operator/src -type f -not -name '*.pyc')
SYNC := $(UV) sync --quiet --frozen --no-editable --all-packages

.venv/ready: $(INSTALLED)
	$(SYNC)
	touch $@

# All of that, and PyTorch, whose build for CUDA is 3 GB to fetch and 6.5 on the disk: uv's cache has it once for all clones.
.venv-torch/ready: $(INSTALLED)
	UV_PROJECT_ENVIRONMENT=.venv-torch $(SYNC) --group pytorch
	touch $@
