"""Checkpoints of trials on disk: the best trial's, and those from which Hyperband may continue."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

from sweeps import files
from sweeps.trials.spec import Checkpoint

OWN = re.compile(r"\d+-\d+\.npz(\.[0-9a-f]+\.part)?")  # a checkpoint, and what a killed save leaves
GROUPS = ("variables", "optimizer", "best_weights")


class Checkpoints:
    """One `.npz` in `directory` for each trial and each epoch until which it ran; a file is whole or absent.

    A promoted trial keeps its earlier checkpoint until the journal says that its next round has ended: an attempt that
    is interrupted starts from the earlier one again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, trial: int, epochs: int, checkpoint: Checkpoint) -> None:
        def fill(file: IO[bytes]) -> None:
            arrays = {f"{group}/{i}": a for group in GROUPS for i, a in enumerate(getattr(checkpoint, group))}
            np.savez(file, curves=np.array(json.dumps(checkpoint.curves)), **arrays)

        self._directory.mkdir(parents=True, exist_ok=True)
        files.write(self._path(trial, epochs), fill)

    def load(self, trial: int, epochs: int) -> Checkpoint | None:
        """Return a checkpoint, or None if it cannot be read: the trial can be run again from its beginning."""
        try:
            with self._path(trial, epochs).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                groups = {name: [] for name in GROUPS}  # type: dict[str, list[object]]
                for name in stored.files:  # in the order in which they were saved
                    group, _, index = name.partition("/")
                    if index:
                        groups[group].append(stored[name])
                return Checkpoint(**groups, curves=json.loads(str(stored["curves"])))
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def keep_only(self, needed: Collection[tuple[int, int]]) -> None:
        """Delete every checkpoint but those of these pairs of trial and epochs; any other file is somebody's own."""
        names = {_name(trial, epochs) for trial, epochs in needed}  # hundreds, after each trial of as many workers
        for path in self._directory.glob("*"):
            if path.name not in names and OWN.fullmatch(path.name) and path.is_file():
                path.unlink()

    def _path(self, trial: int, epochs: int) -> Path:
        return self._directory / _name(trial, epochs)


def _name(trial: int, epochs: int) -> str:
    return f"{trial}-{epochs}.npz"
