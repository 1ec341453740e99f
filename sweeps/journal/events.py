"""The events of a sweep: each is one line of its journal."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from conf.schema import Value

FORMAT = 1  # of the lines; written into a journal's first event


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
    confirms: str = ""  # of a confirmation: the sweep whose finalists it trains again
    finalists: Mapping[str, float] = field(default_factory=dict)  # trial -> val/accuracy in the search, best first
    format: int = FORMAT
    time: float = field(default_factory=time.time)

    @property
    def kind(self) -> str:
        """The `kind` of the sweep's run in MLflow: sweep | confirm."""
        return "confirm" if self.confirms else "sweep"


@dataclass(frozen=True)
class SweepResumed:
    """Another process goes on; its configuration may differ in the keys of `conf.schema.RESUMABLE`."""

    event: ClassVar[str] = "sweep_resumed"
    config: str  # YAML
    trials: int
    environment: Environment = field(default_factory=Environment)
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
    predictions: str = ""  # of a confirmation: the digest of the trial's predictions on the test set
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class SweepEnded:
    event: ClassVar[str] = "sweep_ended"
    status: str  # completed | failed
    best_trial: int | None
    reason: str = "trials"  # trials (all of them have ended) | minutes | target | max_failures
    time: float = field(default_factory=time.time)


Event = SweepStarted | SweepResumed | TrialStarted | EpochEnded | TrialEnded | SweepEnded
TYPES: Mapping[str, type[Event]] = {
    kind.event: kind for kind in (SweepStarted, SweepResumed, TrialStarted, EpochEnded, TrialEnded, SweepEnded)
}
ENVIRONMENT_FIELDS = tuple(part.name for part in fields(Environment))


class LaterFormatError(ValueError):
    """The line was written by a later version of this project."""


def to_entry(event: Event) -> dict[str, Any]:
    """Turn an event into its JSON object, in which the environment's fields stand beside the event's own."""
    entry = {"event": event.event, **asdict(event)}
    environment = entry.pop("environment", {})
    return {**entry, **environment}


def from_entry(entry: dict[str, Any]) -> Event:
    """Read an event back from its JSON object.

    Raises `LaterFormatError` for an event or a field that only a later format can have, and `LookupError`, `TypeError`
    or `ValueError` for anything else that is no event.
    """
    if entry.get("format", FORMAT) > FORMAT:
        raise LaterFormatError(f"its format is {entry['format']}, this version reads up to {FORMAT}")
    kind = TYPES.get(str(entry["event"]))
    if kind is None:
        raise LaterFormatError(f"this version knows no event '{entry['event']}'")
    known = {part.name for part in fields(kind)}
    values = {name: value for name, value in entry.items() if name != "event"}
    if "environment" in known:
        values["environment"] = Environment(**{name: values.pop(name) for name in ENVIRONMENT_FIELDS if name in values})
    if unknown := sorted(values.keys() - known):
        raise LaterFormatError(f"this version knows no field '{unknown[0]}' of {entry['event']}")
    return kind(**values)
