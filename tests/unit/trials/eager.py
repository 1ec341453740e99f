"""Networks that TensorFlow runs without a graph."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def untraced() -> Iterator[None]:
    """Run networks operation by operation: to trace one takes a second of processor."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
