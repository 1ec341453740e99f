"""What a confirmation's trials predict on the test set, kept beside its journal: a few kilobytes a trial."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from sweeps.trials.spec import Predictions

FOLDER = "predictions"


def save(directory: Path, trial: int, predictions: Predictions | None) -> str:
    """Write a trial's, whole or not at all; returns their digest, empty where there are none."""
    if predictions is None:
        return ""
    path = _path(directory, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, predicted=predictions.predicted, labels=predictions.labels)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return _digest(predictions)


def load(directory: Path, trial: int, digest: str) -> Predictions | None:
    """Those with the digest that the journal has; None where they are not to be had."""
    try:
        with _path(directory, trial).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = Predictions(stored["predicted"], stored["labels"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return found if _digest(found) == digest else None


def _path(directory: Path, trial: int) -> Path:
    return directory / FOLDER / f"{trial}.npz"


def _digest(predictions: Predictions) -> str:
    digest = hashlib.sha256()
    for array in predictions:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
