"""MOBSTER: asynchronous successive halving whose configurations a Gaussian process proposes.

Li et al., A System for Massively Parallel Hyperparameter Tuning (2020); Klein et al., Model-based Asynchronous
Hyperparameter and Neural Architecture Search (2020).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras_tuner
import numpy as np
from numpy.typing import NDArray

from conf.schema import Value
from models.hyperparameters import AtLeastTwo, NotNegative, Positive, Size
from sweeps.search.bayesian import BayesianOracle
from sweeps.search.keras_tuner_base import Settings

OF_TUNER = "tuner/"  # what begins so in a trial's values is no hyperparameter
EPOCHS, INITIAL_EPOCH, ORIGIN = "tuner/epochs", "tuner/initial_epoch", "tuner/trial_id"
FIDELITY = 0.7  # distance of one epoch and all of them, where that of a hyperparameter's two ends is 1
RANDOM = 4  # results before the process proposes
MOST_POINTS = 256  # that the process is fitted to: its time grows with their third power


class MobsterOracle(BayesianOracle):
    """Trains every configuration for a few epochs, and one of `factor` goes on at each rung, without waiting.

    Whoever is free takes the best trial that belongs to the best 1 / `factor` of its rung so far and has not gone on,
    the highest rung first; otherwise a new configuration. So no worker waits for a rung to be full, and what goes on
    depends on which trials have ended: with several workers two sweeps are not the same.

    The process is one of the objective over hyperparameters and epochs together, and proposes for all epochs: what few
    epochs say of a configuration counts for as much as the trials that went on have shown.

    Once all configurations have begun, a rung of a few trials sends one on, too, so that some train for all epochs.
    The baseline, the defaults of each other network and what the user wants tried first do so from the start.
    """

    def __init__(self, settings: Settings, *, factor: int, initial_points: int, alpha: float, beta: float) -> None:
        super().__init__(settings, initial_points=initial_points, alpha=alpha, beta=beta)
        self.max_trials = 0  # no limit: for Keras Tuner each promotion is a trial
        self.factor, self.max_epochs = factor, settings.epochs
        self._budget = settings.trials
        self._started = 0  # configurations
        self._is_exhausted = False  # whether the space has no other one
        self._rungs = list(_rungs(settings.epochs, factor))
        # For each rung but the last: what has gone on from it.
        self._gone_on: list[set[str]] = [set() for _ in self._rungs[:-1]]

    @property
    def description(self) -> str:
        first = "the networks' defaults" if self.networks else "the baseline"
        epochs = ", ".join(map(str, self._rungs))
        return (
            f"{self._budget} configurations, {first} for {self.max_epochs} epochs, the others for {epochs} if they lead"
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        promoted = self._promoted() if self.next_first_values() is None else None
        if promoted is not None:
            self._expected_values = None
            return {"status": "RUNNING", "values": promoted}
        if not self._has_more:
            return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
        epochs = self._rungs[0] if self.next_first_values() is None else self.max_epochs
        values = self._new_values()
        if values is None:
            self._is_exhausted = True
            return self.populate_space(trial_id)  # now the last ones go on
        self._started += 1
        return {"status": "RUNNING", "values": {**values, EPOCHS: epochs, INITIAL_EPOCH: 0}}

    @property
    def _has_more(self) -> bool:
        """Whether configurations are left to begin."""
        return self._started < self._budget and not self._is_exhausted

    def _new_values(self) -> dict[str, Value] | None:
        """Return the values of the next configuration; None where every one of the space has begun."""
        expected = self._expected_values
        if expected is not None and self._duplicate(dict(expected)):  # in the journal it went on here
            return None
        return self.next_values()

    def extend(self, trials: int) -> None:
        self._budget = trials

    def candidates(self) -> set[str]:
        """Those that can still be among the best of their rung, however many configurations follow."""
        most = math.ceil(self._budget / self.factor)
        return {trial.trial_id for rung in range(len(self._gone_on)) for trial in self._paused(rung, most)}

    def points(self, trials: list[keras_tuner.engine.trial.Trial]) -> NDArray[np.float64]:
        epochs = [trial.hyperparameters.values[EPOCHS] for trial in trials]
        return np.column_stack([super().points(trials), FIDELITY * np.log(epochs) / math.log(max(2, self.max_epochs))])

    def _as_of_trials(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        everything = FIDELITY if self.max_epochs > 1 else 0.0
        return np.column_stack([super()._as_of_trials(points), np.full(len(points), everything)])

    def _completed(self) -> list[keras_tuner.engine.trial.Trial]:
        """Return the trials that the process is fitted to: of too many those of most epochs, and then the newest."""
        completed = super()._completed()
        if len(completed) <= MOST_POINTS:
            return completed
        order = sorted(range(len(completed)), key=lambda n: (completed[n].hyperparameters.values[EPOCHS], n))
        return [completed[n] for n in sorted(order[-MOST_POINTS:])]

    def _scores(self, completed: list[keras_tuner.engine.trial.Trial]) -> NDArray[np.float64]:
        """Return the trials' scores as they would be after all epochs, if each gained what others did.

        Otherwise the process would take what training gains for the merit of the few configurations that were trained
        for long, and propose their neighbours.
        """
        gains = np.zeros(len(self._rungs))  # from each rung to the next; nothing is gained from the last
        for rung, (epochs, following) in enumerate(itertools.pairwise(self._rungs)):
            known = [trial for trial in completed if trial.hyperparameters.values[EPOCHS] >= following]
            if known:
                gains[rung] = np.mean([self._after(trial, following) - self._after(trial, epochs) for trial in known])
        missing = np.cumsum(gains[::-1])[::-1]
        at = [self._rungs.index(trial.hyperparameters.values[EPOCHS]) for trial in completed]
        return super()._scores(completed) + missing[at]

    def _after(self, trial: keras_tuner.engine.trial.Trial, epochs: int) -> float:
        """Return the best that a trial reached in so many epochs; its score where its curve is not known."""
        history = trial.metrics.get_history(self.objective.name)
        reached = [each.mean() for each in history if 1 <= each.step <= epochs]
        best = max if self.objective.direction == "max" else min
        return float(best(reached, default=trial.score))

    def _promoted(self) -> dict[str, Value] | None:
        """Return the values of the trial that goes on, with its epochs; None where none is to go on yet."""
        for rung in reversed(range(len(self._gone_on))):
            best = next(iter(self._paused(rung, self._quota(rung))), None)
            if best is not None:
                self._gone_on[rung].add(best.trial_id)
                epochs = {EPOCHS: self._rungs[rung + 1], INITIAL_EPOCH: self._rungs[rung]}
                return {**best.hyperparameters.values, **epochs, ORIGIN: best.trial_id}
        return None

    def _quota(self, rung: int) -> int:
        """Return how many trials of a rung are good enough to go on, of those that have completed it so far."""
        completed = len(self._on(rung))
        return completed // self.factor if self._has_more else math.ceil(completed / self.factor)

    def _paused(self, rung: int, best: int) -> list[keras_tuner.engine.trial.Trial]:
        """Return those of the best trials of a rung that have not gone on, the best first."""
        ranking = sorted(self._on(rung), key=lambda trial: trial.score, reverse=self.objective.direction == "max")
        return [trial for trial in ranking[:best] if trial.trial_id not in self._gone_on[rung]]

    def _on(self, rung: int) -> list[keras_tuner.engine.trial.Trial]:
        """Return the trials that have completed a rung."""
        completed = super()._completed()
        return [trial for trial in completed if trial.hyperparameters.values[EPOCHS] == self._rungs[rung]]

    def _compute_values_hash(self, values: dict[str, Value]) -> str:
        own = {name: value for name, value in values.items() if not name.startswith(OF_TUNER)}
        return super()._compute_values_hash(own)


def _rungs(epochs: int, factor: int) -> Iterator[int]:
    """Yield the epochs after which trials are compared, and at last all of them: 1, 2, 4, 10 for 10 and 3."""
    divided = {epochs}
    while min(divided) > 1:
        divided.add(math.ceil(min(divided) / factor))
    yield from sorted(divided)


def oracle(
    settings: Settings, *, factor: AtLeastTwo, initial_points: Size | None = None, alpha: Positive, beta: NotNegative
) -> MobsterOracle:
    """Let one of `factor` trials go on from each rung; points are random until there are so many results."""
    return MobsterOracle(settings, factor=factor, initial_points=initial_points or RANDOM, alpha=alpha, beta=beta)
