"""Bayesian optimization: a Gaussian process of the objective, and the point with its lowest confidence bound."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Choice, Float, Int
from keras_tuner.oracles import BayesianOptimizationOracle
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from threadpoolctl import ThreadpoolController

from conf.schema import Value
from models.hyperparameters import NotNegative, Positive, Size
from sweeps.search.keras_tuner_base import BaseOracle, Settings
from sweeps.search.space import rounded

CANDIDATES = 1000  # random points at which the confidence bound is evaluated
MOST_UNTRIED = 64  # configurations that the best of all points stand for, of which one is chosen
STARTS = 10  # the lowest of them, from each of which a descent begins
STEP = 1e-6  # of the finite differences that give the descent its direction
LENGTH_SCALES = 24  # the grid on which the process's length scale is fitted


class BayesianOracle(BaseOracle, BayesianOptimizationOracle):
    """Keras Tuner's search, made for a worker that waits while its next trial is proposed.

    A proposal depends on the seed and on the outcomes of the trials, and on nothing that earlier proposals left behind,
    so a resumed search need not make them again. (Keras Tuner predicts the trials that are out with the process which
    the last proposal left.)

    Keras Tuner fits the process from 21 random starts and descends its bound from 50. Here both begin at the best of
    many points: a proposal takes 0.05 s after 125 trials and 0.1 s after 300, where Keras Tuner's takes seconds; in
    twelve searches of a function of five hyperparameters, 30 trials each, the best that either found was as good.

    Of several networks a trial has the hyperparameters of one. Those of the others count as their defaults, in the
    trials and also where the bound is evaluated: elsewhere the process would be uncertain about what changes nothing.
    """

    def __init__(self, settings: Settings, *, initial_points: int, alpha: float, beta: float) -> None:
        super().__init__(
            settings, max_trials=settings.trials, num_initial_points=initial_points, alpha=alpha, beta=beta
        )  # fmt: skip
        self._expected_values: Mapping[str, Value] | None = None
        self._blas = ThreadpoolController()  # once: it looks through all libraries of the process, for 6 ms

    @property
    def description(self) -> str:
        return f"{self.num_initial_points} of {self.max_trials} trials are initial points, then a Gaussian process"

    def expect(self, values: Mapping[str, Value]) -> None:
        self._expected_values = values

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        values = self.next_values()
        return {"status": "RUNNING" if values is not None else "STOPPED", "values": values}

    def next_values(self) -> dict[str, Value] | None:
        """Return the most promising values that no trial had, or random ones; None where the space is exhausted."""
        values_of_journal, self._expected_values = self._expected_values, None
        if values_of_journal is not None:
            return dict(values_of_journal)
        if self.next_first_values() is None and self._has_something_to_model():
            values = self.most_promising()
            if values is not None:
                return values
        # A resumed search drew nothing, so the draw does not go on where the last one ended: it begins where it would
        # if all trials before had been drawn at random with this seed.
        self._seed_state = self.seed + (len(self.trials) - 1) * len(self.hyperparameters.space)
        return self._random_values()

    def most_promising(self) -> dict[str, Value] | None:
        """Return the values with the lowest confidence bound that no trial had; None where none were met.

        In a coarse space many points stand for the same values, which lie elsewhere: so the bound decides once more,
        where the values lie.
        """
        # One BLAS thread: the process is small, and then its proposals do not depend on the machine. A length scale
        # that meets its bound only says that a hyperparameter seems not to matter yet, which is no reason to warn.
        with self._blas.limit(limits=1), warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
            process = self._process()
            size = CANDIDATES, len(self.hyperparameters.space)
            points = np.random.default_rng([self.seed, len(self.trials)]).uniform(size=size)
            untried = list(islice(self._untried(self._lowest_first(process, points)), MOST_UNTRIED))
            if not untried:
                return None
            bounds = self._bound(process, self._places(untried))
            return untried[int(np.argmin(bounds))]

    def _untried(self, points: NDArray[np.float64]) -> Iterator[dict[str, Value]]:
        """Yield the values that points of the unit cube stand for, each once and none that a trial had."""
        met = set()
        for point in points:
            values = self._in_space(self._vector_to_values(point))
            digest = self._compute_values_hash(values)
            if digest not in met and not self._duplicate(values):
                met.add(digest)
                yield values

    def _in_space(self, values: dict[str, Value]) -> dict[str, Value]:
        """Clip the values of ranges: at the end of the unit cube Keras Tuner's whole numbers are one too large."""
        ranges = [hp for hp in self.hyperparameters.space if isinstance(hp, Int | Float) and hp.name in values]
        return values | {hp.name: min(max(values[hp.name], hp.min_value), hp.max_value) for hp in ranges}

    def points(self, trials: list[keras_tuner.engine.trial.Trial]) -> NDArray[np.float64]:
        """Return the trials' places in the unit cube: (trials, hyperparameters).

        The values are those that the journal records, so that the places are the same after a resume.
        """
        return self._places([trial.hyperparameters.values for trial in trials])

    def _places(self, configurations: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        space = self.hyperparameters.space
        return np.array(
            [[_place(hp, values.get(hp.name, hp.default)) for hp in space] for values in map(rounded, configurations)]
        )

    def _as_of_trials(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points, (n, hyperparameters), as if they were trials': each of a network, and the others' neutral.

        The network is the first hyperparameter.
        """
        n = len(self.networks)
        if not n:
            return points
        chosen = np.minimum((points[:, 0] * n).astype(np.intp), n - 1)
        space = self.hyperparameters.space
        neutral = np.array([_place(hp, hp.default) for hp in space])
        active = np.array(
            [[all(name in each.values for each in hp.conditions) for hp in space] for name in self.networks]
        )
        points = np.where(active[chosen], points, neutral)
        points[:, 0] = (chosen + 0.5) / n
        return points

    def _has_something_to_model(self) -> bool:
        """Whether the initial points are done and differ in their scores.

        Equal scores say nothing about where to look, and the process would take its time to answer with the point that
        is farthest from all others. That is so at each proposal of a dry run, which counts trials without training any.
        """
        scores = [trial.score for trial in self._completed()]
        if not self.hyperparameters.space:
            return False
        return len(scores) >= self.num_initial_points and (len(scores) == 1 or len(set(scores)) > 1)

    def _completed(self) -> list[keras_tuner.engine.trial.Trial]:
        return [trial for trial in self.trials.values() if trial.status == "COMPLETED"]

    def _process(self) -> GaussianProcessRegressor:
        """Fit the process to the completed trials; those that are out count as rather bad ones."""
        completed = self._completed()
        sign = -1 if self.objective.direction == "max" else 1
        points, losses = self.points(completed), sign * self._scores(completed)
        process = self._make_gpr().fit(points, losses)
        if not self.ongoing_trials:
            return process
        out = self.points(list(self.ongoing_trials.values()))
        points, losses = np.vstack([points, out]), np.append(losses, sum(process.predict(out, return_std=True)))
        return self._make_gpr().set_params(kernel=process.kernel_, optimizer=None).fit(points, losses)

    def _scores(self, completed: list[keras_tuner.engine.trial.Trial]) -> NDArray[np.float64]:
        """Return what the process learns of the trials: (trials,)."""
        return np.array([trial.score for trial in completed])

    def _make_gpr(self) -> GaussianProcessRegressor:
        return GaussianProcessRegressor(Matern(nu=2.5), alpha=self.alpha, normalize_y=True, optimizer=_likeliest)

    def _bound(self, process: GaussianProcessRegressor, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lower confidence bound of the loss at points of the unit cube: (n,)."""
        mean, deviation = process.predict(self._as_of_trials(points), return_std=True)
        bound: NDArray[np.float64] = mean - self.beta * deviation
        return bound

    def _lowest_first(self, process: GaussianProcessRegressor, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Descend the confidence bound from the lowest of the points, (n, hyperparameters).

        Returns the ends, the lowest one first, then the points in the same order.
        """

        def bound_and_slope(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            here, *beside = self._bound(process, np.vstack([x, x + STEP * np.eye(len(x))]))
            return here, (np.array(beside) - here) / STEP

        points = points[np.argsort(self._bound(process, points), kind="stable")]
        limits = [(0, 1)] * points.shape[1]
        ends = [minimize(bound_and_slope, x, jac=True, bounds=limits, method="L-BFGS-B") for x in points[:STARTS]]
        ends.sort(key=lambda end: end.fun)
        return np.vstack([*(end.x for end in ends), points])


def _place(hp: Any, value: Value) -> float:
    """Return Keras Tuner's place of a value in [0, 1]; its floor division counts one step too few up to 0.3 by 0.1."""
    if isinstance(hp, Float) and hp.step is not None and hp.sampling == "linear":
        value += hp.step / 2
    elif isinstance(value, float) and isinstance(hp, Choice):
        value = next((exact for exact in hp.values if rounded({"": exact}) == {"": value}), value)
    place: float = hp.value_to_prob(value)
    return place


def _likeliest(
    negative_log_likelihood: Callable[..., float], initial: NDArray[np.float64], bounds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return the logarithm of the one length scale and its value: the best of a grid, then the best beside that."""

    def value(theta: float) -> float:
        return negative_log_likelihood(np.array([theta]), eval_gradient=False)

    ((low, high),) = bounds
    # The smoothest first: where no two points are alike, many length scales are equally likely.
    grid = np.linspace(high, low, LENGTH_SCALES)
    best, step = min(grid, key=value), grid[0] - grid[1]
    near = max(low, best - step), min(high, best + step)
    optimum = minimize_scalar(value, bounds=near, method="bounded", options={"xatol": 1e-3})
    return np.array([optimum.x]), optimum.fun


def oracle(
    settings: Settings, *, initial_points: Size | None = None, alpha: Positive, beta: NotNegative
) -> BayesianOracle:
    """Draw `initial_points` at random, the baseline included; without a number a third of the trials.

    Keras Tuner's own default, three for each hyperparameter, would make a sweep of a dozen trials a random search.
    """
    points = initial_points or max(1, len(settings.networks), settings.trials // 3)
    return BayesianOracle(settings, initial_points=points, alpha=alpha, beta=beta)
