# Watchbill's commands for people. `make up` and `make test` are the two to know.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
export PYTHONUTF8 = 1

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/uv: requirements/tools.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Watchbill needs Python 3.11 or newer; say which with: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	@touch $@

$(VENV)/base: $(VENV)/uv requirements/base.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/base.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/base requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

venv: $(VENV)/base ## build the environment alone, in .venv

up: $(VENV)/base ## start everything; prints the console's address (DATA=folder, default ./data)
	@$(BIN)/watchbill up --data $(DATA)

demo: $(VENV)/base ## a month in the life of a fictional company, in ./data-demo
	@$(BIN)/watchbill demo --data data-demo

test: $(VENV)/dev ## the whole test suite, with whatever it needs
	@BIN=$(BIN) bash tests/run.sh

torture: $(VENV)/dev ## the fault battery at length: a thousand kills, a hundred thousand crash states; prints figures
	$(BIN)/python tests/faults/torture.py

agreement: $(VENV)/dev ## hold detection against the naive oracle on all third-party records; prints what differs
	$(BIN)/python tests/engine/detect/agreement.py ../shared/data

lint: $(VENV)/dev ## ruff, formatting, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/dev ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/dev ## figures: the whole event path and each stage
	$(BIN)/python -m benchmarks

verifier: $(VENV)/base ## write the auditor's verifier as one file, dist/watchbill-verify.py
	@mkdir -p dist
	@$(BIN)/python -m watchbill.ledger.standalone dist/watchbill-verify.py

bench-ledger: $(VENV)/dev ## figures of the ledger alone
	$(BIN)/python -m benchmarks.ledger

bench-detect: $(VENV)/dev ## figures: detection beside orjson parsing and a naive matcher; correlations; memory
	$(BIN)/python -m benchmarks detect correlate memory

docs: $(VENV)/dev ## write the reference pages from the code
	$(BIN)/python docs/reference.py

lock: $(VENV)/uv ## pin the dependencies anew
	UV=$(BIN)/uv sh requirements/compile.sh

.PHONY: help venv up demo test torture agreement lint types bench bench-detect bench-ledger docs lock verifier
