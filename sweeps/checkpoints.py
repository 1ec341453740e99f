"""Checkpoints of trials on disk: the best one, and those that Hyperband may continue."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from sweeps.spec import Checkpoint

GROUPS = ("variables", "optimizer", "best_weights")


class Checkpoints:
    """One `.npz` per trial in `directory`, each whole or not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, trial: int, checkpoint: Checkpoint) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        arrays = {f"{group}/{i}": a for group in GROUPS for i, a in enumerate(getattr(checkpoint, group))}
        unfinished = self._directory / f"{trial}.part"
        with unfinished.open("wb") as file:
            np.savez(file, curves=np.array(json.dumps(checkpoint.curves)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._path(trial))

    def load(self, trial: int) -> Checkpoint:
        with np.load(self._path(trial), allow_pickle=False) as stored:
            groups = {name: [] for name in GROUPS}  # type: dict[str, list[object]]
            for name in stored.files:  # in the order they were saved
                group, _, index = name.partition("/")
                if index:
                    groups[group].append(stored[name])
            return Checkpoint(**groups, curves=json.loads(str(stored["curves"])))

    def keep_only(self, trials: Collection[int]) -> None:
        """Delete the others."""
        for path in self._directory.glob("*.npz"):
            if int(path.stem) not in trials:
                path.unlink()

    def _path(self, trial: int) -> Path:
        return self._directory / f"{trial}.npz"
