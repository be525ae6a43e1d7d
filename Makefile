# Every target sets up what it needs: a machine with Python 3.11 and make is enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGE := crmsync celeryconfig.py
CODE := $(PACKAGE) tests $(wildcard benchmarks)

# Words passed on to the command: make test ARGS="-k ledger", make demo ARGS=--once
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lint types layers docs bench lock clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## make the virtual environment

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "crmsync needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing crmsync into $(VENV) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: $(STAMP)  ## watch a deal become an order and an invoice and be paid, fail, and be replayed (ARGS=--once)
	@$(BIN)/crmsync demo $(ARGS)

test: $(STAMP)  ## run the tests (ARGS="-k ledger")
	@$(BIN)/python -m pytest $(ARGS)

check: format lint types layers docs  ## format, lint, types, layers, docs

format: $(STAMP)
	@$(BIN)/ruff format --check $(CODE)

lint: $(STAMP)
	@$(BIN)/ruff check $(CODE)

types: $(STAMP)
	@$(BIN)/mypy

layers: $(STAMP)
	@$(BIN)/lint-imports --no-cache --no-logo

docs: $(STAMP)
	@$(BIN)/python -m pytest --quiet -p no:randomly $(wildcard tests/test_docs.py) tests/test_packaging.py

bench: $(STAMP)  ## measure speed and memory (benchmarks/)
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(STAMP)  ## write the installed versions to constraints.txt
	@$(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check > constraints.txt

clean:  ## remove the virtual environment and everything generated
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
