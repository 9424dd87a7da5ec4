# Medley's everyday commands; `make` alone lists them. PYTHON=… chooses the interpreter, VENV=… the environment.

VENV ?= .venv
# The first Python on the path that is new enough and can make environments (Debian keeps that part in python3-venv).
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.medley-installed
SOURCES := pipeline tasks cluster tests benchmarks examples docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint check bench chaos lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make the environment and install the pinned set into it (6.5 GB, a few minutes the first time)

$(STAMP): requirements.lock pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || test -n "$(PYTHON)" || { \
		echo "make: no Python 3.11 or newer with venv is on the path; install one (Debian: apt-get install python3-venv), or name it: make setup PYTHON=/path/to/python3" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## from raw files to a promoted model and its page, on real digits (some minutes)
	$(BIN)/medley demo

test: setup ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: setup ## ruff, mypy and the import contracts
	$(BIN)/python -m ruff check $(SOURCES)
	$(BIN)/python -m ruff format --check $(SOURCES)
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo

check: lint test ## all that must pass before a change goes in

bench: setup ## measure every claim; the last line is one JSON document
	$(BIN)/python -m benchmarks all

chaos: setup ## the long tests: kills, restarts, races
	$(BIN)/python -m pytest -m slow

lock: ## rewrite requirements.lock from what is installed (upgrade first: pip install --upgrade --editable '.[dev]')
	@$(BIN)/python -m pip freeze --all --exclude pip --exclude medley-pipeline >$(VENV)/frozen.txt
	@{ sed -n '/^#/p' requirements.lock; \
		sed -E 's/^((nvidia|cuda)-.*|triton==.*)$$/\1 ; sys_platform == "linux"/' $(VENV)/frozen.txt | LC_ALL=C sort -f; } >$(VENV)/requirements.lock
	@mv $(VENV)/requirements.lock requirements.lock
