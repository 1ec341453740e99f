# One command per wish. PYTHON may name any Python from 3.11 to 3.13; ARGS are the sweep's own.
PYTHON ?= python3
VENV := .venv
# TensorFlow for NVIDIA's GPUs, or the smaller one for processors.
TENSORFLOW ?= $(if $(or $(wildcard /proc/driver/nvidia/gpus/*),$(shell nvidia-smi -L 2>/dev/null)),cuda,cpu)
ARGS ?= model=conv_lstm
BENCH ?= model=conv_lstm data=imdb trials=8 epochs=6

.PHONY: install install-dev sweep ui test test-unit test-commands test-system test-long chaos bench lint lock clean

sweep: install
	$(VENV)/bin/python -m pipelines.sweep $(ARGS)

# MLflow's pages at the comparison of the newest sweep's trials.
ui: install
	$(VENV)/bin/python -m pipelines.ui

# The unit tests and those that start processes, two at a time.
test: install-dev
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-system test-unit test-commands

test-unit: install-dev
	$(VENV)/bin/python -m pytest tests/unit tests/test_architecture.py

# Commands in processes of their own.
test-commands: install-dev
	$(VENV)/bin/python -m pytest tests/system/commands

# Sweeps on workers and in stores that these tests share.
test-system: install-dev
	$(VENV)/bin/python -m pytest tests/system --ignore tests/system/commands

# Fuzzing and repetition, which `make test` does with a few examples only.
test-long: install-dev
	$(VENV)/bin/python -m pytest -m long

# 200 sweeps, and 8 with training, that are killed, interrupted, renamed or robbed of their reader, store, server or clock
# at random instants, and resumed; prints what was lost or not so. It takes an hour; python -m tests.chaos 16 1, some 6 minutes.
chaos: install-dev
	$(VENV)/bin/python -m tests.chaos

# This project's sweep against those of Keras Tuner, Optuna and Ray Tune, in turn: bench.json, bench.png. Run nothing else.
bench: install-dev
	$(VENV)/bin/python -m pip install --quiet -r tests/benchmarks/requirements.txt
	$(VENV)/bin/python -m tests.benchmarks $(BENCH)
	$(VENV)/bin/python -m tests.benchmarks.scale

lint: install-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# What running needs; and with the tools of the tests.
install: $(VENV)/running-$(TENSORFLOW) $(EXTRAS:%=$(VENV)/extra-%)
install-dev: $(VENV)/testing-$(TENSORFLOW)

# Says first what it brings. An environment has one TensorFlow, whatever was installed in it before.
INSTALL = rm -f $(VENV)/running-* $(VENV)/testing-* && $(PYTHON) requirements $(VENV) $(TENSORFLOW)

$(VENV)/running-$(TENSORFLOW): $(wildcard requirements/*.lock) pyproject.toml
	@$(INSTALL)
	@touch $@

$(VENV)/testing-$(TENSORFLOW): $(wildcard requirements/*.lock) pyproject.toml
	@$(INSTALL) dev
	@touch $(VENV)/running-$(TENSORFLOW) $@

# EXTRAS=slurm or EXTRAS=kubernetes, for the engine of that name.
$(VENV)/extra-%: requirements/%.lock $(VENV)/running-$(TENSORFLOW)
	$(VENV)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

# Needs uv. The files name no package index. All packages are chosen together, then each file gets what the others lack.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet
ALL := build/all.lock
without = $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' $(1))

lock:
	mkdir -p build
	$(COMPILE) --all-extras --upgrade --output-file $(ALL)
	cd requirements && rm -f *.lock
	$(COMPILE) --constraint $(ALL) --extra server --output-file requirements/run.lock
	$(COMPILE) --constraint $(ALL) --extra cpu --output-file requirements/cpu.lock $(call without,requirements/run.lock)
	$(COMPILE) --constraint $(ALL) --extra cuda --output-file requirements/cuda.lock $(call without,requirements/run.lock)
	$(COMPILE) --constraint $(ALL) --extra slurm --output-file requirements/slurm.lock $(call without,requirements/run.lock)
	$(COMPILE) --constraint $(ALL) --extra kubernetes --output-file requirements/kubernetes.lock \
		$(call without,requirements/run.lock)
	$(COMPILE) --constraint $(ALL) --extra dev --extra cpu --output-file requirements/dev.lock \
		$(call without,requirements/run.lock requirements/cpu.lock)

clean:
	rm -rf $(VENV) build *.egg-info
