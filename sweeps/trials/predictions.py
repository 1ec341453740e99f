"""The test-set predictions of a confirmation's trials, stored beside its journal: a few kilobytes a trial."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from sweeps import files
from sweeps.trials.spec import Predictions

FOLDER = "predictions"


def save(directory: Path, trial: int, predictions: Predictions | None) -> str:
    """Write a trial's predictions and return their digest; an empty digest where there are none."""
    if predictions is None:
        return ""
    path = _path(directory, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, lambda file: np.savez_compressed(file, **predictions._asdict()))
    return files.digest_of_arrays(predictions)


def load(directory: Path, trial: int, digest: str) -> Predictions | None:
    """Return a trial's predictions; None if they cannot be read or their digest is not the journal's."""
    try:
        with _path(directory, trial).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            predictions = Predictions(stored["predicted"], stored["labels"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return predictions if files.digest_of_arrays(predictions) == digest else None


def _path(directory: Path, trial: int) -> Path:
    return directory / FOLDER / f"{trial}.npz"
