"""Checkpoints of trials on disk: the best one, and those that Hyperband may continue."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from sweeps.trials.spec import Checkpoint

GROUPS = ("variables", "optimizer", "best_weights")


class Checkpoints:
    """A `.npz` in `directory` for a trial that has run until an epoch; each is whole or not there.

    A trial that Hyperband promoted leaves its earlier checkpoint until the journal says that it has ended again: an
    attempt that was interrupted starts from it once more.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, trial: int, epochs: int, checkpoint: Checkpoint) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        arrays = {f"{group}/{i}": a for group in GROUPS for i, a in enumerate(getattr(checkpoint, group))}
        path = self._path(trial, epochs)
        unfinished = path.with_suffix(".part")
        try:
            with unfinished.open("wb") as file:
                np.savez(file, curves=np.array(json.dumps(checkpoint.curves)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)  # a disk that is full must not be kept full

    def load(self, trial: int, epochs: int) -> Checkpoint | None:
        """None where there is no readable one: the trial can be run again from its beginning."""
        try:
            with self._path(trial, epochs).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                groups = {name: [] for name in GROUPS}  # type: dict[str, list[object]]
                for name in stored.files:  # in the order they were saved
                    group, _, index = name.partition("/")
                    if index:
                        groups[group].append(stored[name])
                return Checkpoint(**groups, curves=json.loads(str(stored["curves"])))
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def keep_only(self, needed: Collection[tuple[int, int]]) -> None:
        """Delete all but those of these (trial, epochs)."""
        kept = {self._path(trial, epochs) for trial, epochs in needed}
        for path in self._directory.glob("*"):
            if path not in kept:
                path.unlink()

    def _path(self, trial: int, epochs: int) -> Path:
        return self._directory / f"{trial}-{epochs}.npz"
