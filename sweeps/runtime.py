"""Settings of the Python process that have to come before TensorFlow and MLflow are imported."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# MLflow reads these when it is imported. Without them it reports its use to its makers, writes what a server says to
# the terminal as it is (`pipelines.command` escapes the messages of loggers), prints the address of every run that ends
# and, where tqdm is installed, a bar for the files it copies; and a server that is away would hold each call for four
# minutes.
MLFLOW_SETTINGS = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a pickle can run anything; no model of this project has one
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "PGCONNECT_TIMEOUT": "10",  # seconds; without it PostgreSQL's library waits for minutes
}
# TensorFlow would take a GPU's whole memory with the first text that a network answers (142 of 143 GB of an H200).
GPU_SETTINGS = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
# Keras and TensorFlow read these when they are imported, and then train another network, on other numbers or less long.
# The second is a setting of the user's own file, too, and needs a package that TensorFlow has no use for.
KERAS_SETTINGS = {"KERAS_BACKEND": "tensorflow", "KERAS_NNX_ENABLED": "false"}
NOT_FOR_US = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "TF_USE_LEGACY_KERAS")
# Keras takes these if they are there, for what this project has no use for. Together they take a third of the processor
# time of its import (2026-11-30).
UNUSED_BY_KERAS = ("IPython", "matplotlib", "pandas", "sklearn")
# New objects between two collections; Python's own default is 700.
COLLECT_AFTER = 10_000


@cache
def prepare() -> None:
    """Configure this process, once; a variable of MLflow's or for GPUs that is set already keeps its value.

    TensorFlow, Keras and MLflow are 400,000 objects that live as long as the process. Python's garbage collector would
    go through them again and again while they are imported, and once more at exit: a third of a short command
    (`pipelines.predict` of one text took 5.2 instead of 7.4 s).
    """
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)
    for name, value in (MLFLOW_SETTINGS | GPU_SETTINGS).items():
        os.environ.setdefault(name, value)
    os.environ.update(KERAS_SETTINGS)
    for name in NOT_FOR_US:
        os.environ.pop(name, None)


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let the imports in this block find none of these packages, which they only take if they are there."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # Python's own way to say that one is missing
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
