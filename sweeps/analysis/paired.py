"""Differences of test accuracies in pairs: seed by seed, and test example by test example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis import statistics
from sweeps.analysis.statistics import LEVEL, Interval
from sweeps.journal import ReferenceEnded, SweepRecord, TrialRecord
from sweeps.trials import predictions

Correct = NDArray[np.float64]  # (examples,): 1 where the answer is right, otherwise 0


class Difference(NamedTuple):
    """The mean difference of two accuracies; every half width is half of a 95 % interval."""

    pairs: int  # seeds that both completed
    mean: float  # nan where there is no pair
    half_width: float  # over seeds (Student's t, paired)
    over_examples: Interval | None  # over test examples (bootstrap, paired); None where they are not known

    @property
    def is_shown(self) -> bool:
        """Whether seeds and, as far as they are known, test examples do not explain it."""
        examples = self.over_examples
        return abs(self.mean) > self.half_width and (examples is None or examples.excludes_zero)


NO_DIFFERENCE = Difference(0, math.nan, math.inf, None)  # there is nothing to compare


def completed(record: SweepRecord, origin: int, *, shuffled: bool = False) -> dict[int, TrialRecord]:
    """Map each seed to the completed trial that repeats trial `origin` with it."""
    trials = (trial for trial in record.completed if trial.origin == origin and trial.shuffled == shuffled)
    return {trial.seed: trial for trial in trials}


def accuracies(trials: Mapping[int, TrialRecord]) -> tuple[float, ...]:
    return tuple(trial.test["test/accuracy"] for trial in trials.values())


def difference(
    record: SweepRecord, ours: Mapping[int, TrialRecord], theirs: Mapping[int, TrialRecord], level: float = LEVEL
) -> Difference:
    """Compare two configurations with each seed that both completed."""
    seeds = sorted(ours.keys() & theirs.keys())
    gains = [ours[seed].test["test/accuracy"] - theirs[seed].test["test/accuracy"] for seed in seeds]
    answers = [(_of_trial(record, ours[seed]), _of_trial(record, theirs[seed])) for seed in seeds]
    return _difference(gains, answers, level)


def from_reference(
    record: SweepRecord, ours: Mapping[int, TrialRecord], reference: ReferenceEnded, level: float = LEVEL
) -> Difference:
    """Compare a configuration with a reference, which has no seed, as it was trained on the most documents."""
    accuracy = (reference.final or reference.scores)["test/accuracy"]
    gains = [trial.test["test/accuracy"] - accuracy for trial in ours.values()]
    if reference.final:
        theirs = _correct(record, f"{reference.name}_final", reference.final_predictions)
    else:
        theirs = _correct(record, reference.name, reference.predictions)
    answers = [(_of_trial(record, trial), theirs) for trial in ours.values()]
    return _difference(gains, answers, level)


def half_width(record: SweepRecord, one: ReferenceEnded, other: ReferenceEnded) -> float | None:
    """Return half of the 95 % interval of the difference of two references' test accuracies, text by text.

    None where their answers are not beside the journal, or do not differ.
    """
    answers = [_correct(record, each.name, each.predictions) for each in (one, other)]
    interval = _over_examples([(answers[0], answers[1])], LEVEL)
    return (interval.high - interval.low) / 2 or None if interval else None


def _difference(
    gains: Sequence[float], answers: Sequence[tuple[Correct | None, Correct | None]], level: float
) -> Difference:
    mean = float(np.mean(gains)) if gains else math.nan
    return Difference(len(gains), mean, statistics.half_width(gains, level), _over_examples(answers, level))


def _over_examples(answers: Sequence[tuple[Correct | None, Correct | None]], level: float) -> Interval | None:
    """The interval of the mean difference in correctness, which is averaged over the seeds for each example."""
    differences = []
    for ours, theirs in answers:
        if ours is None or theirs is None or ours.shape != theirs.shape:
            return None
        differences.append(ours - theirs)
    return statistics.bootstrap_mean(np.mean(differences, axis=0), level) if differences else None


def _of_trial(record: SweepRecord, trial: TrialRecord) -> Correct | None:
    return _correct(record, trial.trial, trial.predictions)


def _correct(record: SweepRecord, name: int | str, digest: str) -> Correct | None:
    """Mark the test examples that a trial or a reference answered correctly; None without its predictions."""
    stored = predictions.load(record.directory, name, digest)
    return None if stored is None else (stored.predicted == stored.labels).astype(np.float64)
