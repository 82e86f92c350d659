PYTHON ?= python3
VENV ?= .venv
ARGS ?=
LOCK_ARGS ?=

BIN := $(VENV)/bin
LOCK := requirements/dev.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
UV := uv==0.13.9

.PHONY: demo test answers million bench edits threads cluster mutants lint lint-format lint-rules lint-types lint-layers venv lock clean

demo: venv  ## run the demonstration
	@$(BIN)/windtunnel demo

test: venv  ## run the tests in two processes; ARGS="-k name" goes on to pytest, ARGS="-n 0" is one process
	@$(BIN)/python -m pytest -n 2 $(ARGS)

answers: venv  ## every answer of the reference under 200 schedules, a quarter of an hour; ARGS="--schedules 20" for less
	@$(BIN)/python -m scenarios.answers $(ARGS)

million: venv  ## every LogQL plan over a million rows on the real runners, a quarter of an hour; ARGS="--rows 2000" for less
	@$(BIN)/python -m scenarios.real_answers $(ARGS)

bench: venv  ## run the benchmarks, five minutes; ARGS="--quick" or ARGS="partition" for less
	@$(BIN)/python -m benchmarks $(ARGS)

edits: venv  ## replay failures under edits of the code, two minutes; ARGS="log-line" for some
	@$(BIN)/python -m benchmarks.edits $(ARGS)

threads: venv  ## on real threads, where chance decides: the contract 50 times, 200 recorded runs; four minutes
	@for run in $$(seq 50); do \
		$(BIN)/python -m pytest -q -n 0 -p no:cacheprovider tests/test_runner_contract.py -k OnThreads $(ARGS) \
			|| exit 1; \
	done
	@WINDTUNNEL_THREAD_RUNS=200 $(BIN)/python -m pytest -q -n 0 tests/test_local_runner.py -k whatever $(ARGS)

cluster: venv  ## on worker processes: the contract 50 times on one cluster kept up, 200 recorded runs; a quarter of an hour
	@WINDTUNNEL_CLUSTER_RUNS=50 $(BIN)/python -m pytest -q -n 0 tests/test_dask_runner.py -k "OnACluster or whatever" $(ARGS)

mutants: venv  ## hunt every mutant, and look for false alarms; ARGS="NAME" for some, "--write" for the page, "--keep" for the kept failures
	@$(BIN)/python -m scenarios.mutation $(ARGS)

lint: lint-format lint-rules lint-types lint-layers

lint-format: venv
	@$(BIN)/ruff format --check .

lint-rules: venv
	@$(BIN)/ruff check .

lint-types: venv
	@$(BIN)/mypy

lint-layers: venv
	@$(BIN)/lint-imports --no-logo

venv: $(VENV)/.installed
	@:

# Two stamps, so that an edit of pyproject.toml does not fetch everything again.
$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# --clear, so that a package that left the lock file leaves the environment too.
$(VENV)/.locked: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV), which takes a minute the first time"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r $(LOCK)
	@touch $@

# Keeps the pins that still fit; LOCK_ARGS=--upgrade moves them all.
lock:
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --disable-pip-version-check -qq install $(UV)
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --group dev \
		--generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" $(LOCK_ARGS) \
		--output-file $(LOCK) pyproject.toml

clean:
	@rm -rf .venv .venv-* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
		.windtunnel build dist *.egg-info
	@find workflow sim properties scenarios tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
