"""The test-set predictions of a confirmation's trials and of references, beside the journal: a few kilobytes each."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeps import files
from sweeps.trials.spec import Predictions

FOLDER = "predictions"


def compact(predicted: NDArray[np.int64], labels: NDArray[np.int64], num_classes: int) -> Predictions:
    """Return predicted and true labels, both (n,), in the smallest unsigned integers that hold every label."""
    smallest = np.min_scalar_type(num_classes - 1)
    return Predictions(predicted.astype(smallest), labels.astype(smallest))


def save(directory: Path, name: int | str, predictions: Predictions | None) -> str:
    """Write the predictions of a trial or a reference and return their digest; an empty one where there are none."""
    if predictions is None:
        return ""
    path = _path(directory, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, lambda file: np.savez_compressed(file, **predictions._asdict()))
    return files.digest_of_arrays(predictions)


def load(directory: Path, name: int | str, digest: str) -> Predictions | None:
    """Return the predictions of a trial or a reference; None if they cannot be read or have another digest."""
    try:
        with _path(directory, name).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            predictions = Predictions(stored["predicted"], stored["labels"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return predictions if files.digest_of_arrays(predictions) == digest else None


def _path(directory: Path, name: int | str) -> Path:
    return directory / FOLDER / f"{name}.npz"
