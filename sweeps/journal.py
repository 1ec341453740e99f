"""The append-only record of a sweep: one JSON object a line, and what it says so far.

The journal is the sweep; MLflow, the terminal and reports are views of it. Started and ended events are on disk before
anyone acts on them, so a process may die at any instant: at worst the last line is half-written, and is ignored.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from conf.schema import OBJECTIVES
from sweeps.spec import Value

FILE = "journal.jsonl"


class JournalError(Exception):
    """The journal cannot be written or read; the message names file and line."""


@dataclass(frozen=True)
class SweepStarted:
    event: ClassVar[str] = "sweep_started"
    sweep: str
    config: str  # YAML
    fingerprint: str  # of everything that decides which trials run and how they end
    dataset: str
    model: str
    tuner: str
    objective: str
    seed: int
    trials: int
    source: str  # archive | standin
    digest: str  # of the data
    held_out: str  # what the val/ metrics are measured on: validation | test
    versions: Mapping[str, str]
    git_commit: str | None
    git_dirty: bool | None
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class TrialStarted:
    event: ClassVar[str] = "trial_started"
    trial: int
    attempt: int
    values: Mapping[str, Value]
    seed: int
    initial_epoch: int
    epochs: int
    after: str = ""  # why the attempt before this one was lost
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class EpochEnded:
    event: ClassVar[str] = "epoch_ended"
    trial: int
    attempt: int
    epoch: int  # 1, 2, …
    metrics: Mapping[str, float]
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class TrialEnded:
    event: ClassVar[str] = "trial_ended"
    trial: int
    attempt: int
    status: str  # completed | failed
    reason: str
    objective: float | None = None
    best_epoch: int | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    traceback: str | None = None
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class SweepEnded:
    event: ClassVar[str] = "sweep_ended"
    status: str  # completed | failed
    best_trial: int | None
    time: float = field(default_factory=time.time)


Event = SweepStarted | TrialStarted | EpochEnded | TrialEnded | SweepEnded
_TYPES = {kind.event: kind for kind in (SweepStarted, TrialStarted, EpochEnded, TrialEnded, SweepEnded)}


class Journal:
    """Appends events to a new file in a sweep's directory."""

    def __init__(self, directory: Path) -> None:
        """Raises `FileExistsError` where another sweep keeps its journal."""
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / FILE).open("x", encoding="utf-8")
        _sync_directory(directory)  # or a power cut could lose the file itself

    def append(self, event: Event) -> None:
        """Write one line; all but epochs are flushed to the disk before this returns."""
        self._file.write(json.dumps({"event": event.event, **asdict(event)}, allow_nan=False) + "\n")
        self._file.flush()
        if not isinstance(event, EpochEnded):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(directory: Path) -> list[Event]:
    """Every event of a journal. A half-written last line is ignored; `JournalError` names a damaged earlier one."""
    path = directory / FILE
    *lines, rest = path.read_bytes().split(b"\n")
    del rest  # what follows the last newline was never finished
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            events.append(_TYPES[entry.pop("event")](**entry))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(f"{path}, line {number} is damaged: {error!r}") from error
    return events


@dataclass
class TrialRecord:
    """What the journal says of one trial."""

    trial: int
    values: Mapping[str, Value]
    seed: int
    attempt: int
    epochs: int  # it may run until
    started: float
    status: str = "running"
    reason: str = ""
    curves: dict[str, list[float]] = field(default_factory=dict)
    epoch_times: list[float] = field(default_factory=list)
    objective: float | None = None
    best_epoch: int | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    traceback: str | None = None
    ended: float | None = None

    @property
    def epochs_run(self) -> int:
        return len(self.epoch_times)

    @property
    def baseline(self) -> bool:
        return self.trial == 0


class SweepRecord:
    """What the journal says so far."""

    def __init__(self, directory: Path, events: Iterable[Event] = ()) -> None:
        self.directory = directory
        self.started: SweepStarted | None = None
        self.ended: SweepEnded | None = None
        self.trials: dict[int, TrialRecord] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        match event:
            case SweepStarted():
                self.started = event
            case TrialStarted():
                self._start(event)
            case EpochEnded():
                trial = self.trials[event.trial]
                trial.epoch_times.append(event.time)
                for name, value in event.metrics.items():
                    trial.curves.setdefault(name, []).append(value)
            case TrialEnded():
                trial = self.trials[event.trial]
                trial.status, trial.reason, trial.ended = event.status, event.reason, event.time
                trial.objective, trial.best_epoch = event.objective, event.best_epoch
                trial.test, trial.traceback = event.test, event.traceback
                trial.cost = _added(trial.cost, event.cost)
            case SweepEnded():
                self.ended = event

    def _start(self, event: TrialStarted) -> None:
        """A new trial; or another attempt, or a promotion: then what came after `initial_epoch` is void."""
        known = self.trials.get(event.trial)
        record = TrialRecord(event.trial, event.values, event.seed, event.attempt, event.epochs, event.time)
        if known is not None:
            record.started = known.started
            record.epoch_times = known.epoch_times[: event.initial_epoch]
            record.curves = {name: curve[: event.initial_epoch] for name, curve in known.curves.items()}
            record.cost = known.cost
        self.trials[event.trial] = record

    def ranking(self) -> list[TrialRecord]:
        """Completed trials, best objective first; of equals the earlier."""
        assert self.started is not None
        sign = -1 if OBJECTIVES[self.started.objective] == "max" else 1
        completed = [t for t in self.trials.values() if t.status == "completed" and t.objective is not None]
        return sorted(completed, key=lambda t: (sign * (t.objective or 0.0), t.trial))

    @property
    def best(self) -> TrialRecord | None:
        return next(iter(self.ranking()), None)


def _added(so_far: Mapping[str, float], now: Mapping[str, float]) -> dict[str, Any]:
    """The cost of all of a trial's rounds: times and epochs add up, sizes do not."""
    return {
        name: so_far.get(name, 0) + value if name in ("seconds", "epochs") else value for name, value in now.items()
    }
