"""The append-only record of a sweep: one JSON object a line, and what it says so far.

The journal is the sweep; MLflow, the terminal and reports are views of it. Started and ended events are on disk before
anyone acts on them, so a process may die at any instant: at worst the last line is half-written, and is ignored.
A sweep that is resumed reads it, and goes on writing where it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from conf.schema import OBJECTIVES
from sweeps.spec import SweepError, Value

FILE = "journal.jsonl"
INTERRUPTED = "interrupted"  # why an attempt was lost that its driver did not outlive


class JournalError(SweepError):
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
    store: str = ""  # where its runs are
    # What follows is empty in journals older than it.
    sizes: Mapping[str, int] = field(default_factory=dict)  # examples of train, validation and test
    git_diff: str = ""  # what was not committed
    machine: Mapping[str, str] = field(default_factory=dict)
    confirms: str = ""  # a confirmation: the sweep whose finalists it trains again
    finalists: Mapping[str, float] = field(
        default_factory=dict
    )  # their trial -> val/accuracy in the search, best first
    time: float = field(default_factory=time.time)

    @property
    def kind(self) -> str:
        return "confirm" if self.confirms else "sweep"


@dataclass(frozen=True)
class SweepResumed:
    """Another process goes on, with a configuration that may differ in what `conf.schema.RESUMABLE` names."""

    event: ClassVar[str] = "sweep_resumed"
    config: str  # YAML
    trials: int
    versions: Mapping[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None
    git_diff: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
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
    bar: list[float | None] = field(default_factory=list)  # of `stopping=median`, epoch by epoch
    origin: int | None = None  # of a confirmation: the sweep's trial whose configuration this is
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
    predictions: str = ""  # of a confirmation: the digest of what it predicts on the test set
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class SweepEnded:
    event: ClassVar[str] = "sweep_ended"
    status: str  # completed | failed
    best_trial: int | None
    reason: str = "trials"  # all of them; or minutes | target | max_failures
    time: float = field(default_factory=time.time)


Event = SweepStarted | SweepResumed | TrialStarted | EpochEnded | TrialEnded | SweepEnded
_TYPES = {kind.event: kind for kind in (SweepStarted, SweepResumed, TrialStarted, EpochEnded, TrialEnded, SweepEnded)}


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory of sweeps for this process; raises `JournalError` where another one does."""
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise JournalError(f"{directory} is in use by {owner}") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def write_whole(path: Path, text: str) -> None:
    """Have a file on the disk with this text, or as it was."""
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_directory(path.parent)


class Journal:
    """Appends events to the file in a sweep's directory, from its last whole line on."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what could not be written must not follow later, behind a half-written line.
        self._file = (directory / FILE).open("a+b", buffering=0)
        self._file.seek(0)
        self._file.truncate(self._file.read().rfind(b"\n") + 1)
        sync_directory(directory)  # or a power cut could lose the file itself

    def append(self, event: Event) -> None:
        """Write one line; all but epochs are flushed to the disk before this returns."""
        line = json.dumps({"event": event.event, **asdict(event)}, allow_nan=False).encode() + b"\n"
        while line:
            line = line[self._file.write(line) :]
        if not isinstance(event, EpochEnded):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk, not only what the files hold."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(directory: Path) -> list[Event]:
    """Every event of a journal, none where there is no journal yet.

    A half-written last line is ignored; `JournalError` names a damaged earlier one.
    """
    path = directory / FILE
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    del rest  # what follows the last newline was never finished
    events, record = [], SweepRecord(directory)
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            events.append(_TYPES[entry.pop("event")](**entry))
            record.add(events[-1])  # fails where an event does not follow from those before
        except (ValueError, LookupError, TypeError, AttributeError) as error:
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
    initial_epoch: int = 0
    started_last: float = 0.0  # its latest attempt or round
    bar: Sequence[float | None] = ()
    lost: int = 0  # attempts of this round whose worker died
    status: str = "running"
    reason: str = ""
    curves: dict[str, list[float]] = field(default_factory=dict)
    epoch_times: list[float] = field(default_factory=list)
    objective: float | None = None
    best_epoch: int | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    traceback: str | None = None
    origin: int | None = None
    predictions: str = ""
    ended: float | None = None

    @property
    def epochs_run(self) -> int:
        return len(self.epoch_times)

    @property
    def baseline(self) -> bool:
        return (self.trial if self.origin is None else self.origin) == 0

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def last(self) -> float:
        """When it was last heard of."""
        return self.ended or (self.epoch_times[-1] if self.epoch_times else self.started)


class SweepRecord:
    """What the journal says so far."""

    def __init__(self, directory: Path, events: Iterable[Event] = ()) -> None:
        self.directory = directory
        self.started: SweepStarted | None = None
        self.ended: SweepEnded | None = None
        self.trials: dict[int, TrialRecord] = {}
        self.budget = 0  # trials, as last configured
        self.sessions: list[tuple[float, float]] = []  # from when until when each of its processes ran it
        self.origins: list[SweepStarted | SweepResumed] = []  # how each of them began
        # Kept rather than looked for, as it is asked for at every trial's end; None in a confirmation.
        self.best: TrialRecord | None = None
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        if isinstance(event, SweepStarted | SweepResumed):
            self.sessions.append((event.time, event.time))
            self.origins.append(event)
            self.budget, self.ended = event.trials, None
        self.sessions[-1] = (self.sessions[-1][0], event.time)
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
                trial.test, trial.traceback, trial.predictions = event.test, event.traceback, event.predictions
                trial.cost = _added(trial.cost, event.cost)
                self._choose(trial)
            case SweepEnded():
                self.ended = event

    @property
    def config(self) -> str:
        """As last configured (YAML)."""
        return self.origins[-1].config

    def _start(self, event: TrialStarted) -> None:
        """A new trial; or another attempt, or a promotion: then what came after `initial_epoch` is void."""
        known = self.trials.get(event.trial)
        record = TrialRecord(
            event.trial, event.values, event.seed, event.attempt, event.epochs, event.time, event.initial_epoch
        )
        record.origin, record.started_last, record.bar = event.origin, event.time, event.bar
        if known is not None:
            record.lost = known.lost + (event.after != INTERRUPTED) if event.attempt > 1 else 0
            record.started = known.started
            record.epoch_times = known.epoch_times[: event.initial_epoch]
            record.curves = {name: curve[: event.initial_epoch] for name, curve in known.curves.items()}
            record.cost = known.cost
        self.trials[event.trial] = record
        if known is not None and known is self.best:  # promoted: it is not completed any more
            self.best = min(self._candidates(), key=self._place, default=None)

    def _choose(self, ended: TrialRecord) -> None:
        assert self.started is not None
        if ended.status == "completed" and not self.started.confirms:
            self.best = ended if self.best is None else min(self.best, ended, key=self._place)

    def ranking(self) -> list[TrialRecord]:
        """Completed trials, best objective first; of equals the earlier. None of a confirmation: it chooses nothing."""
        return sorted(self._candidates(), key=self._place)

    @property
    def completed(self) -> list[TrialRecord]:
        return [trial for trial in self.trials.values() if trial.status == "completed"]

    def _candidates(self) -> list[TrialRecord]:
        assert self.started is not None
        return [] if self.started.confirms else self.completed

    def _place(self, trial: TrialRecord) -> tuple[float, int]:
        assert self.started is not None
        assert trial.objective is not None
        return (-trial.objective if OBJECTIVES[self.started.objective] == "max" else trial.objective), trial.trial


def _added(so_far: Mapping[str, float], now: Mapping[str, float]) -> dict[str, Any]:
    """The cost of all of a trial's rounds: times and epochs add up, sizes do not."""
    return {
        name: so_far.get(name, 0) + value if name in ("seconds", "epochs") else value for name, value in now.items()
    }
