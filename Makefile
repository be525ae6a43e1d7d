# Every target sets up what it needs: a machine with Python 3.11 and make is enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGE := crmsync celeryconfig.py
CODE := $(PACKAGE) conftest.py tests $(wildcard benchmarks)

# Words passed on to the command: make test ARGS="-k ledger", make demo ARGS=--once
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lint types layers docs specs bench mutants lock sbom audit clean

# Tools that read the lock files; each command brings them into a virtual environment of their own.
TOOLS := build/tools
LOCKER := uv==0.13.9
AUDITORS := cyclonedx-bom==7.5.0 pip-audit==2.10.1

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## make the virtual environment

$(STAMP): setup.cfg pyproject.toml requirements-test.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "crmsync needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing crmsync into $(VENV) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements-test.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
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

specs: $(STAMP)  ## fetch the vendors' specifications, against which the tests compare what is sent and answered
	@$(BIN)/python -m tests.specs

bench: $(STAMP)  ## measure speed and memory (benchmarks/)
	@$(BIN)/python -m benchmarks $(ARGS)

mutants: $(STAMP)  ## break the code on purpose, in copies: a test must notice (ARGS="-k settle")
	@$(BIN)/python -m tests.mutants $(ARGS)

lock:  ## write both lock files anew: every version with the hashes of all of its files (ARGS=--upgrade)
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install -qq --disable-pip-version-check $(LOCKER)
	@for extra in "" test; do \
		$(TOOLS)/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
			$${extra:+--extra $$extra} setup.cfg build.in -o requirements$${extra:+-$$extra}.lock $(ARGS); \
	done
	@rm -rf crmsync.egg-info  # which reading setup.cfg leaves, and which would hide the entry points of what is installed

sbom:  ## write what the image is made of to build/sbom.json (CycloneDX)
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install -qq --disable-pip-version-check $(AUDITORS)
	@$(TOOLS)/bin/cyclonedx-py requirements requirements.lock --output-format JSON --output-reproducible -o build/sbom.json
	@echo "wrote build/sbom.json"

audit: sbom  ## look for known weaknesses of what is locked; says so where their list can't be reached
	@$(TOOLS)/bin/python .ci/audit.py $(TOOLS)/bin/pip-audit requirements.lock

clean:  ## remove the virtual environment and everything generated
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
