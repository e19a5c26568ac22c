# Everything sets itself up: `make demo` and `make test` are all that a fresh machine needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests at once; they wait for clusters and for AWS more than they compute. WORKERS=0: one by one.
WORKERS ?= 2

.PHONY: help setup cluster demo test test-crash test-gitops lint checkov bench docs generate release-manifests image sbom kind clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(STAMP) ## The Python environment, from the lock file

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up Python packages in $(VENV) (a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leeward needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

cluster: $(STAMP) ## The sandbox cluster's programs (minutes the first time, then cached)
	@$(BIN)/leeward-sandbox binaries

demo: cluster ## One failover of 44 servers in 4 accounts, live
	@$(BIN)/leeward-sandbox demo

test: cluster ## The whole suite
	@$(BIN)/leeward-sandbox binaries --with kubeconform --with kstatus --with prometheus --with promtool > /dev/null
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-crash: cluster ## A run for every moment at which the operator can die (a quarter of an hour or more)
	@LEEWARD_TEST_BOUNDARIES=all $(BIN)/python -m pytest tests/crash -n $(WORKERS) --dist worksteal -v

test-gitops: cluster ## A real Argo CD installs and syncs (minutes; needs redis-server from Debian)
	@LEEWARD_TEST_GITOPS=1 $(BIN)/python -m pytest tests/gitops -v

lint: $(STAMP) ## Style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# checkov pins some ninety packages, several of them against the lock: it gets a place of its own.
CHECKOV_VERSION := 3.3.30
CHECKOV := $(or $(LEEWARD_CACHE),$(HOME)/.cache/leeward)/checkov-$(CHECKOV_VERSION)

checkov: $(CHECKOV)/bin/checkov ## Security rules over CloudFormation, image and workflows
	@$< --directory . --framework cloudformation dockerfile github_actions \
	    --skip-path .venv --skip-path dist --skip-download --compact --quiet

$(CHECKOV)/bin/checkov:
	@echo "installing checkov $(CHECKOV_VERSION) in $(CHECKOV) (a minute, once)"
	@$(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check checkov==$(CHECKOV_VERSION)

bench: cluster ## What whole runs cost, as ratios (BENCH=reference,approval,large,idle or all)
	@$(BIN)/python tests/bench/run.py

generate: $(STAMP) ## Generated files: CRDs, policies, dashboards, CloudFormation of roles and more
	@$(BIN)/leeward crds --write crds
	@$(BIN)/leeward crds --write charts/leeward/definitions
	@$(BIN)/leeward policies --write charts/leeward/policies
	@$(BIN)/leeward argocd --write argocd
	@$(BIN)/python charts/generate.py
	@$(BIN)/python charts/dashboards.py
	@$(BIN)/leeward iam templates --write deploy/aws/iam
	@$(BIN)/python deploy/image/lock.py

release-manifests: $(STAMP) ## dist/: CRDs and installation as single files, the packaged chart
	@$(BIN)/python charts/generate.py --release dist

# The builder's own command line; podman and nerdctl take the same options.
BUILDER ?= docker build
IMAGE ?= leeward
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

image: ## The operator's image, where there is a builder (IMAGE=…, BUILDER="podman build")
	@command -v $(firstword $(BUILDER)) >/dev/null || { \
	    echo 'make image needs a builder: there is no $(firstword $(BUILDER)) on the PATH. BUILDER="podman build" takes another' >&2; exit 1; }
	@$(BUILDER) --target operator --tag $(IMAGE):$(VERSION) --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git show -s --format=%cI HEAD) \
	    --build-arg SOURCE_DATE_EPOCH=$$(git show -s --format=%ct HEAD) .

sbom: ## The image's bill of materials (CycloneDX), from its lock file: dist/leeward.cdx.json
	@mkdir -p dist
	@$(PYTHON) deploy/image/sbom.py > dist/leeward.cdx.json
	@echo "dist/leeward.cdx.json"

kind: $(STAMP) ## A cluster of kind with image and chart, and a failover in it (needs Docker and kind)
	@deploy/kind/run.sh

docs: generate ## Documentation that is generated

clean: ## Remove what was made here (not the cache of the cluster's programs)
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
