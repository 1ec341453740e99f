"""Ask and tell on any Keras Tuner oracle.

Keras Tuner's oracles are used without its Tuner: trials run elsewhere, the journal is the record, so nothing is saved
here and a resumed sweep feeds the journal to a fresh oracle with the same seed. Trial 0 is always the baseline: the
space's defaults.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from threadpoolctl import ThreadpoolController

from sweeps.metrics import OBJECTIVES
from conf.schema import Config, Tuner
from sweeps.search.space import Space, rounded
from sweeps.search.ask_tell import Proposal
from sweeps.errors import SweepError
from conf.schema import Value

# The Bayesian proposal: so many points are looked at, from so many of them it climbs down, and so far away it looks for
# where down is. Of the process's length scale so many are tried, each e times the one before.
CANDIDATES, STARTS, STEP = 1000, 10, 1e-6
LENGTH_SCALES = 24


class Oracle:
    """What proposes trials. A Hyperband promotion is the same trial again, with more epochs."""

    def __init__(self, config: Config, space: Space) -> None:
        self._space = space
        self._epochs = config.epochs
        self._objective = config.objective
        self._oracle = _keras_tuner_oracle(config, space)
        self._oracle.verbose = 0
        self._blas = ThreadpoolController()  # once: it looks through all libraries of the process, for 6 ms
        self._count = itertools.count()
        self._numbers: dict[str, int] = {}  # Keras Tuner's trial id -> our trial
        self._asked: dict[int, keras_tuner.engine.trial.Trial] = {}  # our trials that are out

    def ask(self) -> Proposal | None:
        """The next trial, or None: the search is over, or (Hyperband) waits for trials that are out."""
        # One BLAS thread: the Gaussian process is small, and then its proposals do not depend on the machine. That a
        # length scale meets its bound only says that a hyperparameter seems not to matter yet.
        with self._blas.limit(limits=1), warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
            # A slot of its own for each ask: Keras Tuner hands the same trial to the same slot until it ends.
            asked = self._oracle.create_trial(f"slot-{len(self._oracle.trials)}")
        if asked.status != "RUNNING":
            return None
        values = asked.hyperparameters.values
        origin = values.get("tuner/trial_id")
        trial = self._numbers[origin] if origin else next(self._count)
        self._numbers[asked.trial_id] = trial
        self._asked[trial] = asked
        return Proposal(
            trial=trial,
            values=self._space.complete(values),
            initial_epoch=values.get("tuner/initial_epoch", 0),
            epochs=values.get("tuner/epochs", self._epochs),
        )

    def tell(self, trial: int, objective: float | None) -> None:
        """A trial that was asked for has ended, with this objective or (None) failed."""
        asked = self._asked.pop(trial)
        if objective is None:
            asked.status = "FAILED"
        else:
            self._oracle.update_trial(asked.trial_id, {self._objective: objective})
            asked.status = "COMPLETED"
        self._oracle.end_trial(asked)

    def replay(self, trial: int, values: Mapping[str, Value]) -> None:
        """Ask for what is known to have come of it; what is recorded holds where the last digits differ."""
        self._oracle.expect({hp.name: values[hp.name] for hp in self._space.searched})
        proposal = self.ask()
        if proposal is None or proposal.trial != trial:
            raise SweepError(f"the journal's trial {trial} does not follow from what came before it")
        if proposal.values != values:
            asked = self._asked[trial]
            asked.hyperparameters.values.update({hp.name: values[hp.name] for hp in self._space.searched})
            self._oracle._record_values(asked)

    def extend(self, trials: int) -> None:
        """Give the search another budget than it began with."""
        self._oracle.extend(trials)

    def candidates(self) -> set[int]:
        """Trials that may still be promoted: their checkpoints are needed."""
        return {self._numbers[trial] for trial in self._oracle.candidates()}


class _Ask(keras_tuner.Oracle):
    """What every oracle here does differently from Keras Tuner's own."""

    def save(self) -> None:
        """The journal is the record."""

    def _save_trial(self, trial: Any) -> None:
        """The journal is the record."""

    def _check_consecutive_failures(self) -> None:
        """The driver decides when to give up; Keras Tuner goes through all trials for it, at every one's end."""

    def expect(self, values: Mapping[str, Value]) -> None:
        """The next proposal has been made before, and was this: for those who need not make it again."""

    def extend(self, trials: int) -> None:
        self.max_trials = trials

    def candidates(self) -> set[str]:
        return set()

    def _random_values(self) -> dict[str, Value] | None:
        """The baseline first, then as Keras Tuner draws them: never the same values twice, None when exhausted."""
        if not self.start_order:
            return {hp.name: hp.default for hp in self.get_space().space}
        values: dict[str, Value] | None = super()._random_values()
        return values

    def _compute_values_hash(self, values: dict[str, Value]) -> str:
        """Values that train the same are the same: a step's 0.30000000000000004 and a default's 0.3."""
        digest: str = super()._compute_values_hash(rounded(values))
        return digest


class _Random(_Ask, RandomSearchOracle):
    pass


class _Grid(_Ask, GridSearchOracle):
    pass


class _Bayesian(_Ask, BayesianOptimizationOracle):
    """Keras Tuner's search, made for a worker that waits while its next trial is proposed.

    A proposal depends on the seed and on what the trials came to, and on nothing that earlier proposals left behind,
    so a resumed search need not make them again. (Keras Tuner's expectation of the trials that are out is that of the
    process which the last proposal left.)

    Keras Tuner fits the process from 21 random starts and climbs down its bound from 50. Here the best of many points
    are where either begins: 0.05 s after 125 trials and 0.1 s after 300, where that takes seconds; in twelve searches
    of a function of five hyperparameters, 30 trials each, the best that either found was as good.
    """

    _expected: Mapping[str, Value] | None = None

    def expect(self, values: Mapping[str, Value]) -> None:
        self._expected = values

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """A proposal that was tried already (likely in a coarse space) becomes a random one that was not."""
        expected, self._expected = self._expected, None
        if expected is not None:
            return {"status": "RUNNING", "values": dict(expected)}
        if sum(trial.status == "COMPLETED" for trial in self.trials.values()) >= self.num_initial_points:
            values = self._vector_to_values(self._most_promising())
            if not self._duplicate(values):
                return {"status": "RUNNING", "values": values}
        # Not where the last draw ended, as a resumed search drew nothing: where a random one of this seed would be.
        self._seed_state = self.seed + (len(self.trials) - 1) * len(self.hyperparameters.space)
        return self._random_populate_space()  # type: ignore[no-any-return]

    def _make_gpr(self) -> GaussianProcessRegressor:
        return GaussianProcessRegressor(Matern(nu=2.5), alpha=self.alpha, normalize_y=True, optimizer=_likeliest)

    def _most_promising(self) -> NDArray[np.float64]:
        """The point of the unit cube with the lowest confidence bound; trials that are out count as rather bad ones."""
        ended = [trial for trial in self.trials.values() if trial.status == "COMPLETED"]
        sign = -1 if self.objective.direction == "max" else 1
        points, losses = self._points(ended), np.array([sign * trial.score for trial in ended])
        process = self._make_gpr().fit(points, losses)
        if self.ongoing_trials:
            out = self._points(list(self.ongoing_trials.values()))
            points, losses = np.vstack([points, out]), np.append(losses, sum(process.predict(out, return_std=True)))
            process = self._make_gpr().set_params(kernel=process.kernel_, optimizer=None).fit(points, losses)

        def bound(at: NDArray[np.float64]) -> NDArray[np.float64]:
            mean, deviation = process.predict(at, return_std=True)
            lowest: NDArray[np.float64] = mean - self.beta * deviation
            return lowest

        def bound_and_slope(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            here, *beside = bound(np.vstack([x, x + STEP * np.eye(len(x))]))
            return here, (np.array(beside) - here) / STEP

        size = CANDIDATES, points.shape[1]
        candidates = np.random.default_rng([self.seed, len(self.trials)]).uniform(size=size)
        starts = candidates[np.argsort(bound(candidates))[:STARTS]]
        found = [minimize(bound_and_slope, x, jac=True, bounds=[(0, 1)] * len(x), method="L-BFGS-B") for x in starts]
        best: NDArray[np.float64] = min(found, key=lambda result: result.fun).x
        return best

    def _points(self, trials: list[keras_tuner.engine.trial.Trial]) -> NDArray[np.float64]:
        """Of the values as they are recorded, so that they are the same after a resume; (trials, hyperparameters)."""
        values = [rounded(trial.hyperparameters.values) for trial in trials]
        return np.array([[_place(hp, of[hp.name]) for hp in self.hyperparameters.space] for of in values])


def _place(hp: Any, value: Value) -> float:
    """Where Keras Tuner has a value in [0, 1]; a choice or a step it knows by its last digit."""
    if isinstance(value, float):
        value = next((exact for exact in hp.values if rounded({"": exact}) == {"": value}), value)
    place: float = hp.value_to_prob(value)
    return place


def _likeliest(
    negative_log_likelihood: Callable[..., float], initial: NDArray[np.float64], bounds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The logarithm of the one length scale, and its value: the best of a grid, then the best beside that."""

    def value(theta: float) -> float:
        return negative_log_likelihood(np.array([theta]), eval_gradient=False)

    ((low, high),) = bounds
    grid = np.linspace(high, low, LENGTH_SCALES)  # the smoothest first: where no two points are alike, many are as good
    best, step = min(grid, key=value), grid[0] - grid[1]
    found = minimize_scalar(
        value, bounds=(max(low, best - step), min(high, best + step)), method="bounded", options={"xatol": 1e-3}
    )
    return np.array([found.x]), found.fun


class _Hyperband(_Ask, HyperbandOracle):
    """Hyperband of exactly `max_configurations` configurations.

    Keras Tuner's brackets have fixed sizes. Here they follow each other, most aggressive first and again from the
    start, until the configurations are used up; the last one is as large as what is left, and halves as the others do.
    The baseline stands outside of the brackets and trains for all epochs, or every comparison with it would be with
    two epochs of it.
    """

    def __init__(self, max_configurations: int, **arguments: Any) -> None:
        self._budget = max_configurations
        self._left = max_configurations - 1  # after the baseline
        self._sizes: list[int] = []  # of the first rounds; a bracket's number is its place in this list
        super().__init__(hyperband_iterations=None, **arguments)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.start_order:
            values = {**(self._random_values() or {}), "tuner/epochs": self.max_epochs, "tuner/initial_epoch": 0}
            return {"status": "RUNNING", "values": values}
        response: dict[str, Any] = super().populate_space(trial_id)
        return response

    def extend(self, trials: int) -> None:
        """Brackets that were opened keep their sizes; what is added or taken away is of those to come."""
        self._left = max(0, self._left + trials - self._budget)
        self._budget = trials

    def candidates(self) -> set[str]:
        """Of each round, as many of the best that were not promoted yet as there are places left in the next one."""
        return {
            trial
            for bracket in self._brackets
            for number, (ended, following) in enumerate(itertools.pairwise(bracket["rounds"]), start=1)
            for trial in self._best(
                [entry["id"] for entry in ended if entry["id"] not in {taken["past_id"] for taken in following}],
                self._get_size(bracket["bracket_num"], number) - len(following),
            )
        }

    def _best(self, trials: list[str], places: int) -> list[str]:
        completed = [self.trials[trial] for trial in trials if self.trials[trial].status == "COMPLETED"]
        completed.sort(key=lambda trial: trial.score, reverse=self.objective.direction == "max")
        return [trial.trial_id for trial in completed[:places]]

    def _start_new_bracket(self) -> None:
        number = len(self._sizes)
        size = min(self._left, super()._get_size(self._halvings(number), 0))
        self._left -= size
        self._sizes.append(size)
        self._current_bracket = number
        self._brackets.append({"bracket_num": number, "rounds": [[] for _ in range(self._halvings(number) + 1)]})

    def _increment_bracket_num(self) -> None:
        """A bracket takes the next number when it starts."""

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        if self._sizes[bracket["bracket_num"]] == 0:
            return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
        response: dict[str, Any] = super()._random_trial(trial_id, bracket)
        return response

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        size: int = math.ceil(self._sizes[bracket_num] / self.factor**round_num)
        return size

    def _get_epochs(self, bracket_num: int, round_num: int) -> int:
        epochs: int = super()._get_epochs(self._halvings(bracket_num), round_num)
        return epochs

    def _halvings(self, bracket_num: int) -> int:
        brackets: int = self._get_num_brackets()
        return brackets - 1 - bracket_num % brackets


def _keras_tuner_oracle(config: Config, space: Space) -> keras_tuner.Oracle:
    shared = {
        "objective": keras_tuner.Objective(config.objective, OBJECTIVES[config.objective]),
        "hyperparameters": space.hyperparameters(),
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": config.seed,
    }
    tuner = config.tuner
    if tuner.name == "hyperband":
        oracle = _Hyperband(config.trials, max_epochs=config.epochs, factor=tuner.factor, **shared)
    elif tuner.name == "bayesian":
        oracle = _Bayesian(
            max_trials=config.trials,
            num_initial_points=initial_points(tuner, config.trials),
            alpha=tuner.alpha,
            beta=tuner.beta,
            **shared,
        )
    else:
        oracle = {"random": _Random, "grid": _Grid}[tuner.name](max_trials=config.trials, **shared)
    # Keras Tuner calls a space exhausted after 20 draws of known values: too early in a small space.
    oracle._max_collisions = 1000
    return oracle


def initial_points(tuner: Tuner, trials: int) -> int:
    """Trials before the first Bayesian proposal, the baseline included; null means a third of the budget.

    Keras Tuner's own default, three per hyperparameter, would make a sweep of a dozen trials pure random.
    """
    return tuner.initial_points or max(1, trials // 3)


def description(config: Config, space: Space) -> str:
    """What the tuner will do with the budget, for the user to read before it runs."""
    tuner, trials = config.tuner.name, f"{config.trials} trials"
    if tuner == "bayesian":
        return f"{initial_points(config.tuner, config.trials)} of {trials} are initial points, then a Gaussian process"
    if tuner == "grid":
        size = math.prod(len({*hp.values, hp.default}) for hp in space.hyperparameters().space)
        if size > config.trials:
            return f"{trials} of a grid of {size:,}: only the last hyperparameters will vary"
        return f"a grid of {size}"
    if tuner == "hyperband":
        return f"{config.trials} configurations; the baseline and the last survivors train for {config.epochs} epochs"
    return trials
