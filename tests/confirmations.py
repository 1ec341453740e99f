"""Confirmations that never ran: the events of their journals, and the predictions beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.journal import EpochEnded, Event, SweepEnded, SweepRecord, TrialEnded, TrialStarted
from sweeps.metrics import METRICS, Answers
from sweeps.trials import predictions
from sweeps.trials.spec import Predictions
from tests import records

EXAMPLES = 2000
FINALISTS = {"3": 0.76, "5": 0.75, "0": 0.70}  # trial -> val/accuracy in the search
SWEEP = "lstm-20260101-000000-abcd/imdb"


def answered(accuracy: float) -> Predictions:
    """The answers of a model to texts of two classes, whose mistakes are all made in the second."""
    labels = (np.arange(EXAMPLES) >= EXAMPLES // 2).astype(np.uint8)
    return Predictions(np.where(np.arange(EXAMPLES) >= accuracy * EXAMPLES, 0, labels).astype(np.uint8), labels)


def scores(answers: Predictions) -> dict[str, float]:
    predicted, labels = answers
    cells = Answers(labels, predicted, np.ones(len(labels), np.int64))
    computed = {f"test/{metric.name}": metric.compute for metric in METRICS}
    return {name: computed[name](cells) for name in ("test/accuracy", "test/macro_f1")}


def record(directory: Path, gains: Mapping[int, float], **options: Any) -> SweepRecord:
    """A confirmation of these events."""
    return SweepRecord.of(directory, events(directory, gains, **options))


def events(
    directory: Path,
    gains: Mapping[int, float],
    *,
    seeds: int = 5,
    noise: float = 0.002,
    finalists: Mapping[str, float] = FINALISTS,
    failed: tuple[int, ...] = (),
    shuffled: float | None = None,
    order_of_each: bool = False,
    compared_by: str = "test/accuracy",
) -> list[Event]:
    """The events of a confirmation whose test accuracies are 0.8, plus a configuration's gain, plus its seed's noise.

    Half of the texts are of each class, and all mistakes are made in the second.

    The trials in `failed` have failed. `shuffled` is what the first finalist, or each, adds on shuffled words.
    """
    each = [(origin, False) for origin in sorted(map(int, finalists))]
    mixed_too = [int(name) for name in finalists][: len(finalists) if order_of_each else 1]
    each += [(origin, True) for origin in mixed_too] if shuffled is not None else []
    numbered = [(seed, *one) for seed in range(100, 100 + seeds) for one in each]
    found: list[Event] = [
        records.started(sweep="again/imdb", trials=len(numbered), confirms=SWEEP, finalists=dict(finalists),
                        objective="train/accuracy", compared_by=compared_by)
    ]  # fmt: skip
    for trial, (seed, origin, mixed) in enumerate(numbered):
        values = {"lstm_units": 20 * (origin + 1)}
        found.append(TrialStarted(trial, 1, values, seed, 0, 1, origin=origin, shuffled=mixed))
        if trial in failed:
            found.append(TrialEnded(trial, 1, "failed", "diverged"))
            continue
        found.append(EpochEnded(trial, 1, 1, {"train/loss": 0.5, "train/accuracy": 0.9}))
        gain = shuffled if mixed and shuffled is not None else gains.get(origin, 0.0)
        accuracy = 0.8 + gain + np.random.default_rng(seed * 100 + origin + 50 * mixed).normal(0, noise)
        answers = answered(accuracy)
        digest = predictions.save(directory, trial, answers)
        test = {"test/loss": 1.0, **scores(answers)}
        cost = {"seconds": 1.0, "epochs": 1, "parameters": 10}
        found.append(TrialEnded(trial, 1, "completed", "finished", 0.9, 1, test, cost, predictions=digest))
    return [*found, SweepEnded("completed", None)]
