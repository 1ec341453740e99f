"""Differences of a test metric in pairs: seed by seed, and test example by test example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sweeps.analysis import resampling, statistics
from sweeps.analysis.statistics import LEVEL, Interval
from sweeps.journal import ReferenceEnded, SweepRecord, TrialRecord
from sweeps.trials import predictions
from sweeps.trials.spec import Predictions

Answers = Sequence[tuple[Predictions | None, Predictions | None]]  # of both to the same texts; None: not recorded


class Difference(NamedTuple):
    """The mean difference of two configurations' metric; every half width is half of a 95 % interval."""

    pairs: int  # seeds that both completed
    mean: float  # nan where there is no pair
    half_width: float  # over seeds (Student's t, paired)
    over_examples: Interval | None  # over test examples (bootstrap, paired); None where they are not known

    @property
    def is_shown(self) -> bool:
        """Whether seeds and, as far as they are known, test examples do not explain it."""
        examples = self.over_examples
        return abs(self.mean) > self.half_width and (examples is None or examples.excludes_zero)


ACCURACY = "test/accuracy"  # compares references, whose hyperparameter is chosen by it
NO_DIFFERENCE = Difference(0, math.nan, math.inf, None)  # there is nothing to compare


def completed(record: SweepRecord, origin: int, *, shuffled: bool = False) -> dict[int, TrialRecord]:
    """Map each seed to the completed trial that repeats trial `origin` with it."""
    trials = (trial for trial in record.completed if trial.origin == origin and trial.shuffled == shuffled)
    return {trial.seed: trial for trial in trials}


def scores(record: SweepRecord, trials: Mapping[int, TrialRecord]) -> tuple[float, ...]:
    """Return what the trials have of the metric by which the record's confirmation compares."""
    return tuple(trial.test[record.started.compared_by] for trial in trials.values())


def difference(
    record: SweepRecord, ours: Mapping[int, TrialRecord], theirs: Mapping[int, TrialRecord], level: float = LEVEL
) -> Difference:
    """Compare two configurations with each seed that both completed."""
    seeds = sorted(ours.keys() & theirs.keys())
    metric = record.started.compared_by
    gains = [ours[seed].test[metric] - theirs[seed].test[metric] for seed in seeds]
    answers = [(_of_trial(record, ours[seed]), _of_trial(record, theirs[seed])) for seed in seeds]
    return _difference(metric, gains, answers, level)


def from_reference(
    record: SweepRecord, ours: Mapping[int, TrialRecord], reference: ReferenceEnded, level: float = LEVEL
) -> Difference:
    """Compare a configuration with a reference, which has no seed, as it was trained on the most documents."""
    metric = record.started.compared_by
    theirs_alone = reference.fullest[metric]
    gains = [trial.test[metric] - theirs_alone for trial in ours.values()]
    if reference.final:
        theirs = predictions.load(record.directory, f"{reference.name}_final", reference.final_predictions)
    else:
        theirs = predictions.load(record.directory, reference.name, reference.predictions)
    answers = [(_of_trial(record, trial), theirs) for trial in ours.values()]
    return _difference(metric, gains, answers, level)


def half_width(record: SweepRecord, one: ReferenceEnded, other: ReferenceEnded) -> float | None:
    """Return half of the 95 % interval of the difference of two references' test accuracies, text by text.

    None where their answers are not beside the journal, or do not differ.
    """
    answers = [predictions.load(record.directory, each.name, each.predictions) for each in (one, other)]
    interval = _over_examples(ACCURACY, [(answers[0], answers[1])], LEVEL)
    return (interval.high - interval.low) / 2 or None if interval else None


def _difference(metric: str, gains: Sequence[float], answers: Answers, level: float) -> Difference:
    mean = float(np.mean(gains)) if gains else math.nan
    return Difference(len(gains), mean, statistics.half_width(gains, level), _over_examples(metric, answers, level))


def _over_examples(metric: str, answers: Answers, level: float) -> Interval | None:
    """The interval of the mean difference; None where the answers to the same texts are not known."""
    pairs = [(ours, theirs) for ours, theirs in answers if ours and theirs and ours.labels.shape == theirs.labels.shape]
    if not pairs or len(pairs) < len(answers):
        return None
    return (resampling.of_accuracy if metric == ACCURACY else resampling.of_macro_f1)(pairs, level)


def _of_trial(record: SweepRecord, trial: TrialRecord) -> Predictions | None:
    return predictions.load(record.directory, trial.trial, trial.predictions)
