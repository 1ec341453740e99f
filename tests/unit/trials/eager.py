"""Networks that TensorFlow runs without a graph, and trials whose weights stay what they are."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from sweeps.trials.spec import EpochReport

STILL = "tests.unit.trials.eager.still"


@contextmanager
def untraced() -> Iterator[None]:
    """Run networks operation by operation: to trace one takes a second of processor."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def still() -> keras.optimizers.Optimizer:
    """An optimizer that changes nothing, and takes none of the spec's values."""
    return keras.optimizers.SGD(0.0)


def quiet(report: EpochReport) -> str | None:
    return None
