"""A dataset so small that a network learns it in a second. Imports no TensorFlow."""

import numpy as np

from sweeps.trials.spec import Dataset, Split

MAXLEN, WORDS, CLASSES = 12, 20, 3
TRAIN, VALIDATION, TEST = 60, 30, 40  # documents


def load() -> Dataset:
    """Return documents of random words whose first word determines the class."""
    generator = np.random.default_rng(0)

    def split(n: int) -> Split:
        x = generator.integers(1, WORDS, (n, MAXLEN), dtype=np.int32)
        return Split(x, (x[:, 0] % CLASSES).astype(np.int64))

    return Dataset(split(TRAIN), split(VALIDATION), split(TEST), WORDS, MAXLEN, CLASSES, "tiny", "archive")
