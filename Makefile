# `make` alone prints this help. Every target that needs .venv makes it first; ARGS are passed on:
# make demo ARGS="--for 60 --json", make test ARGS="-k replay".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo faults chaos run test unit soak check style bench docs lock hooks clean

help:  ## Print this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## Make .venv from requirements.lock; Python 3.11 to 3.13 is all it needs

demo: $(INSTALLED)  ## Run everything on simulated exchanges, open the page, judge every candle
	@$(BIN)/fibstream demo $(ARGS)

faults: $(INSTALLED)  ## Inflict every fault on every simulated exchange, show what was seen of each
	@$(BIN)/fibstream faults $(ARGS)

chaos: $(INSTALLED)  ## Kill, freeze and cut off workers and their broker, judge every candle
	@$(BIN)/fibstream chaos $(ARGS)

run: $(INSTALLED)  ## Run everything on this machine, from the exchange in the settings
	@$(BIN)/fibstream up $(ARGS)

test: $(INSTALLED)  ## Run every test: unit, real servers, browser, kills; four at a time
	$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

unit: $(INSTALLED)  ## Run the unit tests only: no network, seconds
	$(BIN)/pytest tests/unit $(ARGS)

soak: $(INSTALLED)  ## Kill, freeze and cut off one worker for some minutes
	$(BIN)/pytest -m soak $(ARGS)

check: $(INSTALLED)  ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

style: $(INSTALLED)  ## Format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)  ## Measure the processor; WHAT=peers, latency, close, intervals, day, ingest, ...
	@$(BIN)/fibstream bench $(or $(WHAT),processor) $(ARGS)

docs: $(INSTALLED)  ## Write the generated pages of docs/ and .env.example anew
	$(BIN)/python -m fibstream.docs

lock: $(INSTALLED)  ## Resolve requirements.lock anew (UPGRADE=--upgrade takes newer versions)
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet $(UPGRADE) -o requirements.lock

hooks: $(INSTALLED)  ## Let git run the checks before each commit
	$(BIN)/pre-commit install

clean:  ## Remove .venv, caches and the demo's data; data of `make run` stays
	rm -rf $(VENV) data/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than the lock file or pyproject.toml after a change: installed again then.
# uv takes seconds where pip takes a minute; where it cannot (an index that only pip knows), pip can.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
	    echo "fibstream needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is: $$($(PYTHON) -V 2>&1)." \
	         "Name another: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)" >&2; exit 2; }
	@echo "Installing what requirements.lock names into $(VENV), once ..." >&2
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	@$(PIP) -r $(VENV)/uv.txt && $(BIN)/uv pip install --python $(BIN)/python --quiet \
	    --compile-bytecode --require-hashes -r requirements.lock || { \
	    echo "uv could not: pip does it, in a minute or two ..." >&2; \
	    $(PIP) -r requirements.lock >&2; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
	@touch $@
