"""One sweep of many, where it is, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sweeps import journal

TUNERS = ("random", "grid", "bayesian", "hyperband", "mobster")


@dataclass(frozen=True)
class Case:
    """A sweep; `mishap` befalls it first, others may follow."""

    number: int
    tuner: str
    workers: int
    folder: Path
    store: str
    mishap: str
    is_quick: bool

    @property
    def arguments(self) -> list[str]:
        """The quick sweep's command line, without the store."""
        trials = 5 if self.tuner == "bayesian" else 8
        initial = ["tuner.initial_points=3"] if self.tuner == "bayesian" else []
        epochs = 9 if self.tuner in ("hyperband", "mobster") else 3
        data = ["data=imdb", "datasets.imdb.read=tests.chaos.sweeping.read"]
        amount = [f"trials={trials}", f"epochs={epochs}", f"seed={self.number + 1}"]
        several = ["model=[lstm,bag]"] if self.number % 3 == 2 else []
        return [*data, f"tuner={self.tuner}", *amount, *initial, *several]

    @property
    def directories(self) -> list[Path]:
        """`outputs/<sweep>` of every sweep that has begun in the folder."""
        return sorted(path.parent.parent for path in self.folder.glob(f"outputs/*/*/{journal.FILE}"))


@dataclass
class Outcome:
    """The mishaps of a sweep, and the faults that were seen meanwhile."""

    case: Case
    mishaps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)  # what a person needs to find the cause of a fault

    def add(self, fault: str, note: str) -> None:
        self.faults[fault] += 1
        self.notes.append(f"run {self.case.number} ({self.case.tuner}, {self.case.mishap}): {fault}: {note}")
