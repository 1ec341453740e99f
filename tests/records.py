"""Sweeps that never ran: the events that their journals would hold."""

import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from conf.schema import Value
from sweeps.journal import (
    EpochEnded,
    Event,
    ReferenceEnded,
    SweepEnded,
    SweepRecord,
    SweepStarted,
    TrialEnded,
    TrialStarted,
)
from sweeps.journal.events import Environment

# A sweep on stand-in data that was interrupted before journals had a format: config.yaml and imdb/journal.jsonl.
BEFORE_FORMATS = Path(__file__).parent / "data" / "before_formats"
ENVIRONMENT = Environment(versions={"keras": "3"}, git_commit="c0ffee", git_dirty=False)
BEGAN = 1_790_000_000.0
SIZES = {"train": 20_000, "validation": 5_000, "test": 25_000}
LSTM_SPACE: dict[str, Any] = {
    "embedding_dim": {"kind": "Choice", "values": [50, 100, 150, 200], "default": 100},
    "lstm_units": {"kind": "Int", "min_value": 20, "max_value": 200, "step": 20, "default": 100},
    "dropout": {"kind": "Float", "min_value": 0.0, "max_value": 0.7, "step": 0.1, "default": 0.0},
}
RATE = {"kind": "Float", "min_value": 0.0003, "max_value": 0.01, "sampling": "log", "default": 0.001}


def configuration(space: dict[str, Any] | None = None, name: str = "lstm") -> str:
    model = {"name": name, "build": "models.lstm.build", "space": LSTM_SPACE if space is None else space}
    optimizer = {"name": "adam", "build": "models.optimizers.adam", "space": {"learning_rate": RATE}}
    return OmegaConf.to_yaml(OmegaConf.create({"model": model, "optimizer": optimizer}))


def started(**changes: Any) -> SweepStarted:
    given: dict[str, Any] = {
        "sweep": "lstm-20260101-000000-abcd/imdb", "config": configuration(), "fingerprint": "f", "dataset": "imdb",
        "model": "lstm", "tuner": "random", "objective": "val/accuracy", "seed": 1, "trials": 12, "source": "archive",
        "digest": "0123456789abcdef", "held_out": "validation", "environment": ENVIRONMENT, "sizes": SIZES,
        "time": BEGAN, **changes,
    }  # fmt: skip
    return SweepStarted(**given)


def drawn(rng: random.Random, space: dict[str, Any], trial: int) -> dict[str, Value]:
    """Values of a trial, the baseline's of the first."""
    values: dict[str, Value] = {}
    for name, entry in {**space, "learning_rate": RATE}.items():
        if trial == 0:
            values[name] = entry["default"]
        elif entry["kind"] == "Choice":
            values[name] = rng.choice(entry["values"])
        elif entry["kind"] == "Boolean":
            values[name] = rng.random() < 0.5
        elif entry["kind"] == "Int":
            values[name] = rng.randrange(entry["min_value"], entry["max_value"] + 1, entry.get("step", 1))
        elif entry.get("sampling") == "log":
            low, high = math.log(entry["min_value"]), math.log(entry["max_value"])
            values[name] = float(f"{math.exp(rng.uniform(low, high)):.6g}")
        else:
            values[name] = round(rng.uniform(entry["min_value"], entry["max_value"]), 2)
    return values


def events(
    trials: int = 12,
    *,
    space: dict[str, Any] | None = None,
    failing: Callable[[int], bool] = lambda trial: False,
    accuracy: Callable[[dict[str, Value], random.Random], float] = lambda values, rng: 0.7 + rng.gauss(0, 0.01),
    epochs: int = 4,
    end: bool = True,
    **changes: Any,
) -> list[Event]:
    """A sweep of so many trials, whose validation accuracy is a function of their values."""
    rng, used = random.Random(0), LSTM_SPACE if space is None else space
    found: list[Event] = [started(**{"trials": trials, "config": configuration(used), **changes})]
    now, best = BEGAN + 1, None
    for trial in range(trials):
        values = drawn(rng, used, trial)
        found.append(TrialStarted(trial, 1, values, 1000 + trial, 0, epochs, time=now))
        if failing(trial):
            found.append(TrialEnded(trial, 1, "failed", "diverged: train/loss is nan in epoch 1", time=now + 5))
            now += 5
            continue
        top = accuracy(values, rng)
        for epoch in range(1, epochs + 1):
            now += 10
            score = top - 0.1 / epoch**2 * (epoch < epochs)
            train = {"train/loss": 1 - score, "train/accuracy": score + 0.02, "train/macro_f1": score - 0.03}
            metrics = {**train, "val/loss": 1.1 - score, "val/accuracy": score, "val/macro_f1": score - 0.04}
            found.append(EpochEnded(trial, 1, epoch, metrics, time=now))
        test = {"test/loss": 1.0, "test/accuracy": top - 0.01 + rng.gauss(0, 0.003), "test/macro_f1": top - 0.05}
        test["test/balanced_accuracy"] = top - 0.06
        cost = {"seconds": rng.uniform(20, 90), "epochs": epochs, "parameters": rng.randrange(10**5, 10**6)}
        found.append(TrialEnded(trial, 1, "completed", "finished", top, epochs, test, cost, time=now))
        best = trial if best is None else best
    if end:
        found.append(SweepEnded("completed" if best is not None else "failed", best, time=now + 1))
    return found


def reference(name: str = "svm", accuracy: float = 0.776, **changes: Any) -> ReferenceEnded:
    """A linear reference that was trained; its validation accuracy is its test accuracy and a point."""
    given: dict[str, Any] = {
        "settings": {"C": 0.3}, "cost": {"seconds": 6.0, "documents": SIZES["train"]}, "time": BEGAN + 1,
        "scores": {"val/accuracy": accuracy + 0.01, "val/macro_f1": 0.5, "test/accuracy": accuracy,
                   "test/macro_f1": 0.5, "test/balanced_accuracy": 0.4}, **changes,
    }  # fmt: skip
    return ReferenceEnded(name, "completed", **given)


def record(directory: Path = Path("outputs/lstm/imdb"), **options: Any) -> SweepRecord:
    return SweepRecord.of(directory, events(**options))


BAG_SPACE = {name: LSTM_SPACE[name] for name in ("embedding_dim", "dropout")}


def several(trials: int, **options: Any) -> SweepRecord:
    """A sweep of two networks, `bag` and `lstm`, whose trials take turns; each has its own hyperparameters."""
    fixed = {"pairs": 0, "word_dropout": 0.1}
    networks = {
        "bag": {"name": "bag", "build": "models.bag.build", "space": {**BAG_SPACE, **fixed}},
        "lstm": {"name": "lstm", "build": "models.lstm.build", "space": {**LSTM_SPACE, "padding": "read"}},
    }
    optimizer = {"name": "adam", "build": "models.optimizers.adam", "space": {"learning_rate": RATE}}
    config = {"model": {"name": "bag-lstm"}, "networks": networks, "optimizer": optimizer}
    accuracy = options.pop("accuracy")
    numbers = itertools.count()
    own = {"bag": {*BAG_SPACE, "learning_rate"}, "lstm": {*LSTM_SPACE, "learning_rate"}}

    def of_network(values: dict[str, Value], rng: random.Random) -> float:
        name = ("bag", "lstm")[next(numbers) % 2]
        kept = {each: value for each, value in values.items() if each in own[name]}
        values.clear()  # the event has the same ones
        values.update({"model": name, **kept, **(fixed if name == "bag" else {"padding": "read"})})
        return float(accuracy(values, rng))

    yaml = OmegaConf.to_yaml(OmegaConf.create(config))
    return record(trials=trials, accuracy=of_network, config=yaml, model="bag-lstm", **options)


def many_hyperparameters(n: int) -> dict[str, Any]:
    """A space of `n` beside the learning rate, of all kinds."""
    kinds: list[dict[str, Any]] = [
        {"kind": "Float", "min_value": 0.0, "max_value": 0.7, "default": 0.5},
        {"kind": "Int", "min_value": 1, "max_value": 64, "sampling": "log", "default": 8},
        {"kind": "Choice", "values": ["relu", "하이퍼볼릭", "$x_1$"], "default": "relu"},
        {"kind": "Boolean", "default": False},
    ]
    return {f"hyperparameter_{number}": kinds[number % len(kinds)] for number in range(n)}
