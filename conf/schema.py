"""Every key of the configuration, its type, and what it may be.

Hydra refuses unknown keys and wrong types while it composes; `OmegaConf.to_object` then runs `Config.__post_init__`,
which checks the ranges written beside the fields. After that nobody checks again.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

# What may be given anew when a sweep is resumed: none of it decides what a trial comes to.
RESUMABLE = ("trials", "minutes", "target", "engine", "tracking")
OBJECTIVES = {"val/accuracy": "max", "val/loss": "min"}
TUNER_OPTIONS = {
    "random": [],
    "grid": [],
    "bayesian": ["initial_points", "alpha", "beta"],
    "hyperband": ["factor"],
}
STOPPING_OPTIONS = {"patience": [], "median": ["grace", "min_trials"], "none": []}


class ConfigError(ValueError):
    """A user's mistake, told in one line: dotted key, value, what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known word is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _number(default: Any, *, low: float, high: float | None = None, open_low: bool = False) -> Any:
    """A field between `low` and `high`; with `open_low`, above `low`."""
    return field(default=default, metadata={"low": low, "high": high, "open_low": open_low})


def _one_of(default: Any, *allowed: str) -> Any:
    return field(default=default, metadata={"allowed": allowed})


@dataclass
class Text:
    """What a model needs to take raw text and to answer by name."""

    words: str | None = None  # a word index: a JSON file that maps each word to its rank
    url: str | None = None
    sha256: str | None = None
    labels: list[str] = field(default_factory=list)  # a name for each class; none: the classes' numbers


@dataclass
class Data:
    """A labelled text corpus: where it comes from and how it is encoded. `load` takes all but `load` and `text`."""

    load: str = "pipelines.data.load"
    source: str = _one_of("auto", "auto", "archive", "standin")
    archive: str | None = None
    url: str | None = None
    sha256: str | None = None
    num_words: int = _number(MISSING, low=4, high=10**9)
    maxlen: int = _number(MISSING, low=1, high=10**6)
    num_classes: int = _number(MISSING, low=2)
    validation: Any = 0.2
    split_seed: int = _number(113, low=0, high=2**32 - 1)
    text: Text = field(default_factory=Text)

    def arguments(self, name: str) -> dict[str, Any]:
        """What `load` takes, for the dataset of that name."""
        return {key: value for key, value in asdict(self).items() if key not in ("load", "text")} | {"name": name}


@dataclass
class Buildable:
    """A builder (dotted name of a function of plain numbers) and the space of its keywords."""

    name: str = MISSING
    build: str = MISSING
    space: dict[str, Any] = field(default_factory=dict)


@dataclass
class Tuner:
    name: str = _one_of(MISSING, *TUNER_OPTIONS)
    initial_points: int | None = _number(None, low=1)
    alpha: float | None = _number(None, low=0, open_low=True)
    beta: float | None = _number(None, low=0)
    factor: int | None = _number(None, low=2)


@dataclass
class Stopping:
    name: str = _one_of(MISSING, *STOPPING_OPTIONS)
    grace: int | None = _number(None, low=1)
    min_trials: int | None = _number(None, low=1)


@dataclass
class Engine:
    name: str = _one_of(MISSING, "local", "cluster")
    workers: int | None = _number(None, low=1)
    threads: int = _number(1, low=1)
    memory: str | None = None
    scheduler: str | None = None
    workers_per_gpu: int = _number(4, low=1)


@dataclass
class Tracking:
    uri: str | None = None
    experiment: str | None = None


@dataclass
class Config:
    """One job: a sweep of one model on each of `datasets`."""

    datasets: dict[str, Data] = field(default_factory=dict)
    model: Buildable = field(default_factory=Buildable)
    optimizer: Buildable = field(default_factory=Buildable)
    tuner: Tuner = field(default_factory=Tuner)
    stopping: Stopping = field(default_factory=Stopping)
    engine: Engine = field(default_factory=Engine)
    tracking: Tracking = field(default_factory=Tracking)
    trials: int = _number(12, low=1)
    epochs: int = _number(10, low=1)
    batch_size: int = _number(100, low=1, high=10**9)
    patience: int = _number(2, low=1)
    minutes: float | None = _number(None, low=0, open_low=True)
    target: float | None = None
    retries: int = _number(1, low=0)
    max_failures: int = _number(5, low=1)
    trial_minutes: float | None = _number(None, low=0, open_low=True)
    # Keras Tuner reads 0 as "no seed" and would draw one.
    seed: int = _number(1, low=1, high=2**31 - 1)
    objective: str = _one_of("val/accuracy", *OBJECTIVES)
    dry_run: bool = False
    resume: str | None = None
    reproduce: str | None = None

    def __post_init__(self) -> None:
        if self.objective.startswith("test/"):
            raise ConfigError(
                f"objective={self.objective}: the test set must never choose a model; allowed: {', '.join(OBJECTIVES)}"
            )
        _check_fields(self)
        if not self.datasets:
            raise ConfigError("data: at least one dataset is needed, e.g. data=imdb")
        for name, data in self.datasets.items():
            _check_validation(f"datasets.{name}.validation", data.validation)
            _check_labels(f"datasets.{name}", data)
        if self.reproduce is not None and not re.fullmatch("[0-9a-f]{32}", self.reproduce):
            raise ConfigError(f"reproduce={self.reproduce}: must be a run's id, 32 digits of 0-9 and a-f")
        _check_target(self.target, self.objective)
        _check_options("tuner", self.tuner, TUNER_OPTIONS)
        _check_options("stopping", self.stopping, STOPPING_OPTIONS)
        _check_tuner(self.tuner, self.trials)
        if self.stopping.name == "median" and self.tuner.name == "hyperband":
            raise ConfigError("stopping=median: tuner=hyperband ends the worse trials itself; allowed: patience, none")
        _check_engine(self.engine)


def _check_fields(node: Any, prefix: str = "") -> None:
    """Hold every number and name of the tree against the bounds written beside its field."""
    for spec in fields(node):
        value, key = getattr(node, spec.name), prefix + spec.name
        if is_dataclass(value):
            _check_fields(value, f"{key}.")
        elif isinstance(value, dict):
            for name, child in value.items():
                if is_dataclass(child):
                    _check_fields(child, f"{key}.{name}.")
        elif value is not None:
            _check_value(key, value, spec.metadata)


def _check_value(key: str, value: Any, bounds: Any) -> None:
    if "allowed" in bounds and value not in bounds["allowed"]:
        raise ConfigError(f"{key}={value}: allowed: {', '.join(bounds['allowed'])}")
    if "low" not in bounds:
        return
    low, high, above = bounds["low"], bounds["high"], bounds["open_low"]
    if not (value > low if above else value >= low) or (high is not None and value > high):
        lower = f"greater than {low}" if above else f"at least {low}"
        raise ConfigError(f"{key}={value}: must be {lower}" + (f" and at most {high}" if high is not None else ""))


def _check_validation(key: str, value: Any) -> None:
    if value == "test":
        return
    if not isinstance(value, float) or not 0 < value < 1:
        raise ConfigError(f"{key}={value}: must be a fraction of train between 0 and 1 (both excluded), or 'test'")


def _check_labels(key: str, data: Data) -> None:
    labels = data.text.labels
    if labels and not len(set(labels)) == len(labels) == data.num_classes:
        raise ConfigError(
            f"{key}.text.labels={','.join(labels)}: {len(set(labels))} different names for "
            f"{key}.num_classes={data.num_classes}; must be one for each class, or []"
        )


def _check_target(target: float | None, objective: str) -> None:
    if target is None:
        return
    allowed, ok = ("at most 1", 0 < target <= 1) if objective == "val/accuracy" else ("finite", 0 < target < math.inf)
    if not ok:
        raise ConfigError(f"target={target}: must be greater than 0 and {allowed} for objective={objective}")


def _check_options(group: str, node: Tuner | Stopping, options: dict[str, list[str]]) -> None:
    for option in (spec.name for spec in fields(node) if spec.name != "name"):
        value = getattr(node, option)
        if value is not None and option not in options[node.name]:
            takes = ", ".join(options[node.name]) or "no options"
            raise ConfigError(f"{group}.{option}={value}: {group}={node.name} takes {takes}")
        if value is None and option in options[node.name] and option != "initial_points":
            raise ConfigError(f"{group}.{option}=null: {group}={node.name} needs a number")


def _check_tuner(tuner: Tuner, trials: int) -> None:
    if tuner.name == "bayesian":
        if trials < 2:
            raise ConfigError(f"trials={trials}: tuner=bayesian needs at least 2, one of them an initial point")
        if tuner.initial_points is not None and tuner.initial_points >= trials:
            raise ConfigError(
                f"tuner.initial_points={tuner.initial_points}: must be less than trials={trials}, "
                "or nothing is left for the Bayesian search"
            )


def _check_engine(engine: Engine) -> None:
    if engine.name == "cluster" and engine.scheduler is None:
        raise ConfigError("engine.scheduler=null: engine=cluster needs the scheduler's address, tcp://host:port")
    if engine.memory is not None and not re.fullmatch(r"(?=.*[1-9])\d+(\.\d+)? ?[kKMGT]i?B", engine.memory):
        raise ConfigError(f"engine.memory={engine.memory}: must be a size, e.g. 4GiB or 500MB")
    others = ["scheduler"] if engine.name == "local" else ["workers", "threads", "memory", "workers_per_gpu"]
    for key in others:
        if getattr(engine, key) != getattr(Engine(engine.name), key):
            raise ConfigError(f"engine.{key}={getattr(engine, key)}: engine={engine.name} does not take it")


ConfigStore.instance().store(name="schema", node=Config)
