"""The events of a sweep: each is one line of its journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from conf.schema import Value
from sweeps import metrics
from sweeps.audit import Audit
from sweeps.journal import checking
from sweeps.journal.clock import CLOCK

FORMAT = 1  # of the lines; written into a journal's first event
LAST = 253_402_300_800  # seconds from 1970 to the end of the year 9999, the last that others can write down


@dataclass(frozen=True)
class Environment:
    """Everything besides its configuration that a result depends on. Older journals lack some of the fields."""

    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    git_commit: str | None = None
    git_dirty: bool | None = None
    git_diff: str = ""  # the uncommitted changes
    machine: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)  # file -> the first digits of its SHA-256

    @property
    def code_digest(self) -> str:
        """Identify all files of the code together; empty in older journals."""
        return hashlib.sha256(json.dumps(sorted(self.code.items())).encode()).hexdigest()[:12] if self.code else ""


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
    held_out: str  # the part of the data that the val/ metrics are measured on: validation | test
    environment: Environment = field(default_factory=Environment)
    store: str = ""  # the address of the MLflow store that has the runs
    sizes: Mapping[str, int] = field(default_factory=dict)  # examples of train, validation and test
    audit: Mapping[str, Any] = field(default_factory=dict)  # of the data, see `sweeps.audit.of`
    confirms: str = ""  # of a confirmation: the sweep whose finalists it trains again
    finalists: Mapping[str, float] = field(default_factory=dict)  # trial -> its validation in the search, best first
    compared_by: str = "test/accuracy"  # what judges a choice on the test; `finalists` have the same of validation
    format: int = FORMAT
    time: float = field(default_factory=CLOCK.now)

    @property
    def kind(self) -> str:
        """The `kind` of the sweep's run in MLflow: sweep | confirm."""
        return "confirm" if self.confirms else "sweep"

    @property
    def names(self) -> tuple[str, str]:
        """The sweep's own name, `<directory>/<dataset>`, and the directory's as it was at the beginning."""
        return self.sweep, self.sweep.partition("/")[0]


@dataclass(frozen=True)
class SweepResumed:
    """Another process goes on; its configuration may differ in the keys of `conf.schema.RESUMABLE`."""

    event: ClassVar[str] = "sweep_resumed"
    config: str  # YAML
    trials: int
    environment: Environment = field(default_factory=Environment)
    time: float = field(default_factory=CLOCK.now)


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
    shuffled: bool = False  # of a confirmation: whether the words of each document are in a random order
    digest: str = ""  # of the data as this trial's values encode them; empty: the sweep's
    time: float = field(default_factory=CLOCK.now)


@dataclass(frozen=True)
class EpochEnded:
    event: ClassVar[str] = "epoch_ended"
    trial: int
    attempt: int
    epoch: int  # 1, 2, …
    metrics: Mapping[str, float]
    time: float = field(default_factory=CLOCK.now)


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
    predictions: str = ""  # of a confirmation: the digest of the trial's predictions on the test set
    confusion: list[list[int]] = field(default_factory=list)  # of the test set: (label, answer, count)
    time: float = field(default_factory=CLOCK.now)


@dataclass(frozen=True)
class ReferenceEnded:
    """A linear model on counts of words was trained and tested on the data of the sweep, or could not be."""

    event: ClassVar[str] = "reference_ended"
    name: str  # one of `sweeps.trials.references.NAMES`, or `WHOLE` there
    status: str  # completed | failed
    reason: str = ""
    settings: Mapping[str, Value] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)  # of the test, and of validation if it chose
    final: Mapping[str, float] = field(default_factory=dict)  # test scores when trained on train and validation
    cost: Mapping[str, float] = field(default_factory=dict)  # seconds, and the documents that it learned from
    predictions: str = ""  # the digest of its predictions on the test set
    final_predictions: str = ""  # and of those when trained on train and validation
    cached: bool = False  # whether it was trained for an earlier sweep on the same data
    whole: bool = False  # whether it learned from the whole texts, so that no trial compares with it
    time: float = field(default_factory=CLOCK.now)

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def fullest(self) -> Mapping[str, float]:
        """The scores as it was trained on the most documents."""
        return self.final or self.scores


@dataclass(frozen=True)
class SweepEnded:
    event: ClassVar[str] = "sweep_ended"
    status: str  # completed | failed
    best_trial: int | None
    reason: str = "trials"  # trials (all of them have ended), or one of `endings`
    time: float = field(default_factory=CLOCK.now)


Event = SweepStarted | SweepResumed | TrialStarted | EpochEnded | TrialEnded | ReferenceEnded | SweepEnded
TYPES: Mapping[str, type[Event]] = {
    kind.event: kind
    for kind in (SweepStarted, SweepResumed, TrialStarted, EpochEnded, TrialEnded, ReferenceEnded, SweepEnded)
}
ENVIRONMENT_FIELDS = tuple(part.name for part in fields(Environment))


class LaterFormatError(ValueError):
    """The line was written by a later version of this project."""


def to_entry(event: Event) -> dict[str, Any]:
    """Turn an event into its JSON object, in which the environment's fields stand beside the event's own."""
    entry = {"event": event.event, **asdict(event)}
    environment = entry.pop("environment", {})
    return {**entry, **environment}


def from_entry(entry: object) -> Event:
    """Read an event back from its JSON object.

    Raises `LaterFormatError` for an event or a field that only a later format can have, and `ValueError` for anything
    else that is no event.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        raise ValueError("not an event")
    if isinstance(entry.get("format"), int) and entry["format"] > FORMAT:
        raise LaterFormatError(f"its format is {entry['format']}, this version reads up to {FORMAT}")
    name, values = entry["event"], {field: value for field, value in entry.items() if field != "event"}
    kind = TYPES.get(name)
    if kind is None:
        raise LaterFormatError(f"this version knows no event {name!r}")
    known = {part.name for part in fields(kind)}
    if "environment" in known:
        surroundings = {field: values.pop(field) for field in ENVIRONMENT_FIELDS if field in values}
        checking.check(Environment, surroundings)
        values["environment"] = Environment(**surroundings)
    if unknown := sorted(values.keys() - known):
        raise LaterFormatError(f"this version knows no field {unknown[0]!r} of {name}")
    checking.check(kind, values)
    event = kind(**values)
    if not 0 <= event.time < LAST:
        raise ValueError(f"time is {event.time}")
    if isinstance(event, SweepStarted):
        _check_started(event)
    return event


def _check_started(event: SweepStarted) -> None:
    """Raise `ValueError` for an audit that is none, finalists without a baseline, or an unknown metric."""
    if event.audit:
        checking.check(Audit, event.audit)
    numbers = event.finalists
    if numbers and not ("0" in numbers and all(name.isascii() and name.isdecimal() for name in numbers)):
        raise ValueError(f"finalists is {repr(dict(numbers))[: checking.SHOWN]}")
    if event.compared_by not in metrics.shown_in("terminal"):
        raise ValueError(f"compared_by is {event.compared_by[: checking.SHOWN]!r}")
