# One command per wish. PYTHON may name any Python from 3.11 to 3.13; ARGS are the sweep's own.
PYTHON ?= python3
VENV := .venv
ARGS ?= model=conv_lstm
BENCH ?= model=conv_lstm data=imdb trials=8 epochs=6

.PHONY: install sweep ui test test-unit test-commands test-system test-long chaos bench lint lock clean

sweep: install
	$(VENV)/bin/python -m pipelines.sweep $(ARGS)

# MLflow's pages at the comparison of the newest sweep's trials.
ui: install
	$(VENV)/bin/python -m pipelines.ui

# The unit tests and those that start processes, two at a time.
test: install
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-system test-unit test-commands

test-unit: install
	$(VENV)/bin/python -m pytest tests/unit tests/test_architecture.py

# Commands in processes of their own.
test-commands: install
	$(VENV)/bin/python -m pytest tests/system/commands

# Sweeps on workers and in stores that these tests share.
test-system: install
	$(VENV)/bin/python -m pytest tests/system --ignore tests/system/commands

# Fuzzing and repetition, which `make test` does with a few examples only.
test-long: install
	$(VENV)/bin/python -m pytest -m long

# 200 sweeps, and 8 with training, that are killed, interrupted, renamed or robbed of their reader, store, server or clock
# at random instants, and resumed; prints what was lost or not so. It takes an hour; python -m tests.chaos 16 1, some 6 minutes.
chaos: install
	$(VENV)/bin/python -m tests.chaos

# This project's sweep against Keras Tuner's and Optuna's, in turn: bench.json, bench.png. Nothing else should run meanwhile.
bench: install
	$(VENV)/bin/python -m pip install --quiet -r tests/benchmarks/requirements.txt
	$(VENV)/bin/python -m tests.benchmarks $(BENCH)
	$(VENV)/bin/python -m tests.benchmarks.scale

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(not ok and f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Needs uv. The file names no package index.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
