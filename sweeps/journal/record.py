"""The state of a sweep, added up from the events of its journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from conf.schema import Value
from sweeps.files import DIGEST_LENGTH
from sweeps.journal.events import (
    EpochEnded,
    Event,
    ReferenceEnded,
    SweepEnded,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialStarted,
    to_entry,
)
from sweeps.metrics import is_better

HOST = "host "  # the beginning of the reason of an attempt that was lost to its host
INTERRUPTED = "interrupted"  # the reason of an attempt, or of a sweep, whose driver died


class RunLinks(NamedTuple):
    """The pages of the trials' runs in MLflow, and the command that serves them; empty where a server does."""

    addresses: Mapping[int, str] = MappingProxyType({})
    command: str = ""


@dataclass
class TrialRecord:
    """The state of one trial; of several attempts, or of Hyperband's several rounds, the latest."""

    trial: int
    values: Mapping[str, Value]
    seed: int
    attempt: int
    epochs: int  # the epoch until which it may run
    started: float
    initial_epoch: int = 0
    started_last: float = 0.0  # the start of its latest attempt or round
    session: int = 0  # the number of the process, from 0, that started its latest attempt or round
    bar: Sequence[float | None] = ()
    lost: int = 0  # attempts of this round whose worker died on a host that was well
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
    shuffled: bool = False
    digest: str = ""  # of the data as its values encode them; empty: the sweep's, as in older journals
    predictions: str = ""
    confusion: Sequence[Sequence[int]] = ()  # of the test set: (label, answer, count); empty in older journals
    ended: float | None = None

    @property
    def epochs_run(self) -> int:
        return len(self.epoch_times)

    @property
    def baseline(self) -> bool:
        """Whether the trial has the space's defaults, or in a confirmation repeats the trial that had them."""
        return (self.trial if self.origin is None else self.origin) == 0

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def last_event(self) -> float:
        """The time of the latest event of this trial."""
        return self.ended or (self.epoch_times[-1] if self.epoch_times else self.started)

    def at_best(self, metric: str) -> float | None:
        """The metric's value after the chosen epoch; None where no epoch was chosen or the metric has no curve."""
        curve = self.curves.get(metric, [])
        return curve[self.best_epoch - 1] if self.best_epoch is not None and self.best_epoch <= len(curve) else None

    def scores(self) -> dict[str, float]:
        """The metrics of the chosen epoch on validation data, and those of the test."""
        validation = {name: self.at_best(name) for name in self.curves if name.startswith("val/")}
        return {**{name: value for name, value in validation.items() if value is not None}, **self.test}


class SweepRecord:
    """The state of one sweep."""

    def __init__(self, directory: Path, started: SweepStarted) -> None:
        self.directory = directory
        self.started = started
        self.ended: SweepEnded | None = None
        self.trials: dict[int, TrialRecord] = {}
        self.references: dict[str, ReferenceEnded] = {}  # by their names; of several tries at one, the latest
        self.budget = started.trials  # as last configured
        self.sessions: list[tuple[float, float]] = [(started.time, started.time)]  # each process's first and last event
        self.session_starts: list[SweepStarted | SweepResumed] = [started]
        # No property, as every trial's end asks for it. A confirmation chooses nothing and has none.
        self.best: TrialRecord | None = None
        self.links = RunLinks()  # known where a store was asked
        self.fingerprint = _fingerprint("", started)  # of the events that it was added up from

    @classmethod
    def of(cls, directory: Path, events: Sequence[Event]) -> SweepRecord:
        """Make the record of a whole journal; raises `ValueError` unless it begins with `SweepStarted`."""
        if not events or not isinstance(events[0], SweepStarted):
            raise ValueError(f"{directory}: a journal begins with {SweepStarted.event}")
        record = cls(directory, events[0])
        for event in events[1:]:
            record.add(event)
        return record

    def add(self, event: Event) -> None:
        """Take in the next event; raises `ValueError` for a second `SweepStarted`."""
        self.fingerprint = _fingerprint(self.fingerprint, event)
        match event:
            case SweepStarted():
                raise ValueError("a journal has one sweep_started")
            case SweepResumed():
                self.sessions.append((event.time, event.time))
                self.session_starts.append(event)
                self.budget, self.ended = event.trials, None
            case TrialStarted():
                self._start(event)
            case EpochEnded():
                trial = self.trials[event.trial]
                trial.epoch_times.append(event.time)
                for name, value in event.metrics.items():
                    trial.curves.setdefault(name, []).append(value)
            case TrialEnded():
                self._end(event)
            case ReferenceEnded():
                self.references[event.name] = event
            case SweepEnded():
                self.ended = event
        self.sessions[-1] = (self.sessions[-1][0], event.time)

    @property
    def config(self) -> str:
        """The configuration (YAML) of the latest session."""
        return self.session_starts[-1].config

    @property
    def completed(self) -> list[TrialRecord]:
        return [trial for trial in self.trials.values() if trial.completed]

    @property
    def failed(self) -> list[TrialRecord]:
        return [trial for trial in self.trials.values() if trial.failed]

    @property
    def finished(self) -> int:
        """How many trials have ended, completed or failed."""
        return sum(not trial.running for trial in self.trials.values())

    @property
    def baseline(self) -> TrialRecord | None:
        """The completed trial that has the space's defaults; None in a confirmation, which repeats it."""
        trial = self.trials.get(0)
        return trial if trial is not None and trial.completed and not self.started.confirms else None

    def ranking(self) -> list[TrialRecord]:
        """Completed trials, best objective first and of equals the earlier; empty in a confirmation."""
        return [] if self.started.confirms else sorted(self.completed, key=self._rank)

    def _start(self, event: TrialStarted) -> None:
        """Begin a trial, an attempt or a promotion; the last two void the trial's epochs after `initial_epoch`."""
        previous = self.trials.get(event.trial)
        trial = TrialRecord(
            event.trial, event.values, event.seed, event.attempt, event.epochs, event.time, event.initial_epoch
        )
        trial.origin, trial.started_last, trial.bar = event.origin, event.time, event.bar
        trial.shuffled = event.shuffled
        trial.digest, trial.session = event.digest, len(self.sessions) - 1
        if previous is not None:
            innocent = event.after == INTERRUPTED or event.after.startswith(HOST)
            trial.lost = previous.lost + (not innocent) if event.attempt > 1 else 0
            trial.started = previous.started
            trial.epoch_times = previous.epoch_times[: event.initial_epoch]
            trial.curves = {name: curve[: event.initial_epoch] for name, curve in previous.curves.items()}
            trial.cost = previous.cost
        self.trials[event.trial] = trial
        if previous is not None and previous is self.best:  # promoted: it is not completed any more
            self.best = min(self.completed, key=self._rank, default=None)

    def _end(self, event: TrialEnded) -> None:
        trial = self.trials[event.trial]
        trial.status, trial.reason, trial.ended = event.status, event.reason, event.time
        trial.objective, trial.best_epoch = event.objective, event.best_epoch
        trial.test, trial.traceback, trial.predictions = event.test, event.traceback, event.predictions
        trial.confusion = event.confusion
        trial.cost = _total_cost(trial.cost, event.cost)
        if trial.completed and not self.started.confirms:
            self.best = trial if self.best is None else min(self.best, trial, key=self._rank)

    def _rank(self, trial: TrialRecord) -> tuple[float, int]:
        if trial.objective is None:
            raise ValueError(f"trial {trial.trial} is completed and has no objective")
        return (-trial.objective if is_better(self.started.objective, 1, 0) else trial.objective), trial.trial


def _fingerprint(before: str, event: Event) -> str:
    return hashlib.sha256((before + json.dumps(to_entry(event))).encode()).hexdigest()[:DIGEST_LENGTH]


def _total_cost(so_far: Mapping[str, float], now: Mapping[str, float]) -> dict[str, Any]:
    """Return the cost of all rounds of a trial: seconds and epochs add up, sizes do not."""
    return {
        name: so_far.get(name, 0) + value if name in ("seconds", "epochs") else value for name, value in now.items()
    }
