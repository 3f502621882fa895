# Every target does all its own set-up: a virtual environment with locked, hashed dependencies, npm (from PyPI where no
# Node is found), and the exact versions of anvil, forge, cast and solc. Nothing outside this folder is changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.toolchain/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest
PURE   := $(addprefix tests/,challenge lifecycle closure/test_proof.py closure/test_verdict.py closure/test_witness.py \
          test_models.py test_report.py test_runbook.py)

.DEFAULT_GOAL := help
.PHONY: help demo quick test test-all check format lock setup artifacts halmos benchmark clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.ready .toolchain/.ready ## the whole lifecycle of an account, on a real local chain
	@$(BIN)/orchestrator demo

quick: setup ## the pure tests: no chain, no server, no database
	$(PYTEST) -q -n 2 $(PURE)

test: setup ## the suite, with a fixed slice of every random test
	$(PYTEST) -q -n 3 --dist worksteal

test-all: setup .halmos/.ready tests/closure/cases/node_modules/.ready ## the suite at full counts, with the documentation's commands
	ORCHESTRATOR_TEST_PROFILE=full $(PYTEST) -q -n 3 --dist worksteal

check: setup ## lint, format, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.ready .toolchain/.ready contracts/node_modules/.ready

artifacts: setup ## compile the contracts and rewrite the artifacts that the package ships
	$(BIN)/python scripts/development/build_artifacts.py

halmos: setup .halmos/.ready ## check formally that the closed wallet can do nothing
	$(BIN)/python -m tests.contracts.halmos

benchmark: setup ## measure the closure proof, signing with each back end, waiting accounts, and the start of commands
	$(BIN)/python scripts/development/benchmark_closure.py
	$(BIN)/python scripts/development/benchmark_signing.py
	$(BIN)/python scripts/development/benchmark_index.py
	$(BIN)/python scripts/development/benchmark_start.py

lock: $(VENV)/.ready ## resolve the dependencies again
	scripts/development/lock.sh

clean:
	rm -rf $(VENV) .halmos .vyper .toolchain contracts/node_modules contracts/out contracts/cache build dist

$(VENV)/.ready: requirements/dev.txt requirements/node.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/node.txt
	touch $@

.toolchain/.ready: $(VENV)/.ready orchestrator/devnet/toolchain.py
	$(BIN)/python -m orchestrator.devnet.toolchain --into .toolchain anvil forge cast
	touch $@

contracts/node_modules/.ready: contracts/package.json contracts/package-lock.json $(VENV)/.ready
	cd contracts && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

tests/closure/cases/node_modules/.ready: tests/closure/cases/package.json tests/closure/cases/package-lock.json $(VENV)/.ready
	cd tests/closure/cases && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# halmos pins its own dependencies, so it has an environment of its own.
.halmos/.ready: requirements/halmos.txt $(VENV)/.ready
	$(PYTHON) -m venv .halmos
	.halmos/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/halmos.txt
	touch $@
