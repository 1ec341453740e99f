"""The importance of each hyperparameter: permutation importance of a random forest, with bootstrap intervals.

A forest learns the objective from the hyperparameters of a resample of the trials. Then one hyperparameter at a time is
shuffled among the trials that the forest did not see. Its importance is the growth of the forest's squared error, as a
share of the objective's variance; the spread over resamples is the uncertainty.

A hyperparameter of one of several networks is shuffled among the trials of that network. The others have values drawn
from those of its own: a gap would tell the forest the network, whose own importance would then seem small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.schema import Value
from sweeps.analysis.statistics import LEVEL, SEED
from sweeps.journal import TrialRecord
from sweeps.search.space import Hyperparameter

FEWEST, FEWEST_PER_HYPERPARAMETER = 10, 3  # completed trials
RESAMPLES, TREES, SHUFFLES = 30, 20, 3
EPOCHS = "(epochs it might run)"  # Hyperband gives some trials more epochs than others


class Importance(NamedTuple):
    """Shares of the objective's variance: the mean over resamples and its 95 % interval."""

    name: str
    mean: float
    low: float
    high: float


class Importances(NamedTuple):
    """The importance of each hyperparameter, most important first.

    If nothing can be said about it, `unknown` says why and `ranked` is empty.
    """

    trials: int
    skill: float  # the share of the objective's variance in unseen trials that the forest explains
    ranked: tuple[Importance, ...]
    unknown: str = ""


def enough(searched: int) -> int:
    """Return the number of trials from which something can be said about so many hyperparameters."""
    return max(FEWEST, FEWEST_PER_HYPERPARAMETER * searched)


def importances(trials: Sequence[TrialRecord], searched: Sequence[Hyperparameter]) -> Importances:
    """Estimate the importance of the searched hyperparameters from completed trials."""
    needed = enough(len(searched))
    if not searched:
        return Importances(len(trials), 0.0, (), "nothing was searched")
    if len(trials) < needed:
        unknown = f"too few trials to say: {len(trials)} completed, {len(searched)} hyperparameters need {needed}"
        return Importances(len(trials), 0.0, (), unknown)
    y = np.array([trial.objective for trial in trials], dtype=np.float64)
    if not y.std():
        return Importances(len(trials), 0.0, (), "every trial reached the same objective")
    columns = {hp.label: _numbers([hp.value(trial.values) for trial in trials]) for hp in searched}
    columns = {label: column for label, column in columns.items() if not np.isnan(column).all()}
    if len({trial.epochs for trial in trials}) > 1:
        columns[EPOCHS] = np.array([float(trial.epochs) for trial in trials])
    skills, growths = _resampled(np.column_stack(list(columns.values())), y)
    skill = float(np.mean(skills))
    if skill <= 0:
        # Either the objective is noise or the trials are too few: this number cannot distinguish the two.
        unknown = (
            f"from {len(trials)} trials a random forest cannot predict the objective of others; "
            "more trials may show what matters"
        )
        return Importances(len(trials), skill, (), unknown)
    ranked = [_interval(name, growths[:, j]) for j, name in enumerate(columns)]
    return Importances(len(trials), skill, tuple(sorted(ranked, key=lambda i: -i.mean)))


def _interval(name: str, growth: NDArray[np.float64]) -> Importance:
    low, high = np.quantile(growth, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Importance(name, float(growth.mean()), float(low), float(high))


def _numbers(values: Sequence[Value | None]) -> NDArray[np.float64]:
    """A column for a tree, to which only the order counts: numbers as they are, names in alphabetical order.

    It is not a number where there is no value.
    """
    if all(isinstance(value, int | float | None) for value in values):
        return np.array(values, dtype=np.float64)
    order = sorted({str(value) for value in values if value is not None})
    return np.array([np.nan if value is None else order.index(str(value)) for value in values], dtype=np.float64)


def _resampled(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the forest's skill, (RESAMPLES,), and the growth of its error, (RESAMPLES, hyperparameters)."""
    from sklearn.ensemble import RandomForestRegressor

    rng, n, there = np.random.default_rng(SEED), len(y), ~np.isnan(x)
    x = _filled(x, there)
    skills: list[float] = []
    growths: list[NDArray[np.float64]] = []
    while len(skills) < RESAMPLES:
        drawn = rng.integers(n, size=n)
        unseen = np.setdiff1d(np.arange(n), drawn)
        if len(unseen) < 2:
            continue
        forest = RandomForestRegressor(TREES, random_state=len(skills), n_jobs=1).fit(x[drawn], y[drawn])
        variants = _shuffled(x[unseen], there[unseen], rng)  # (1 + hyperparameters * SHUFFLES, unseen, hyperparameters)
        predicted = forest.predict(variants.reshape(-1, x.shape[1])).reshape(variants.shape[:2])
        errors = ((predicted - y[unseen]) ** 2).mean(axis=1) / y.var()
        skills.append(1 - errors[0])
        growths.append(errors[1:].reshape(x.shape[1], SHUFFLES).mean(axis=1) - errors[0])
    return np.array(skills), np.array(growths)


def _filled(x: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the columns with a random one of their own values in the place of each that is missing."""
    rng, x = np.random.default_rng(SEED), x.copy()
    for column in np.flatnonzero(~there.all(axis=0)):
        values, gaps = x[there[:, column], column], ~there[:, column]
        x[gaps, column] = rng.choice(values, size=gaps.sum())
    return x


def _shuffled(x: NDArray[np.float64], there: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the rows as they are, then with each column shuffled among those that have it, SHUFFLES times each."""
    variants = np.repeat(x[None], 1 + x.shape[1] * SHUFFLES, axis=0)
    for index in range(1, len(variants)):
        column = (index - 1) // SHUFFLES
        rows = there[:, column]
        variants[index, rows, column] = rng.permutation(x[rows, column])
    return variants
