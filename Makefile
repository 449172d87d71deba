# Each target sets up .venv if necessary, then runs one command.

PYTHON ?= python3
BIN := .venv/bin

# Hundreds of tests start a Python of their own, which then compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help check test test-slow lint bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s  %s\n", $$1, $$2 }' Makefile

check: .venv/.installed ## the main job: model and real SDK, verdict table
	$(BIN)/sessionproof check

test: .venv/.installed ## the tests of the harness itself, without the slow ones
	$(BIN)/python -m pytest tests -n auto -m "not slow"

test-slow: .venv/.installed ## the slow ones
	$(BIN)/python -m pytest tests -n auto -m slow

lint: .venv/.installed .venv/.installed-lint ## ruff, mypy, the workflows, the distributions, shellcheck
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline .github/workflows
	rm -rf dist
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/twine check --strict dist/*
	$(BIN)/shellcheck .ci/run

bench: .venv/.installed ## how well and how fast the engines search
	$(BIN)/python -m properties.cli.bench

clean: ## remove the environment, caches and builds; findings in .sessionproof stay
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --clear: start over if another Python, or an interrupted installation, left an environment behind.
.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: '$(PYTHON)' is missing or older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || \
	  { echo "error: '$(PYTHON) -m venv .venv' does not work here; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "Installing sessionproof and its tools into .venv: once, about a minute ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]' || \
	  { echo "error: installing into .venv failed, for the reason above" >&2; exit 2; }
	@touch $@

# Only lint needs these binaries, so only lint fails where they cannot be installed.
.venv/.installed-lint: .venv/.installed
	@echo "Installing the tools of lint into .venv: once ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lint]' || \
	  { echo "error: lint needs shellcheck and zizmor, and their installation failed, for the reason above" >&2; exit 2; }
	@touch $@
