"""Ask and tell on any Keras Tuner oracle. Trial 0 is always the baseline: the space's defaults."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from importlib import import_module

import keras_tuner

from conf.schema import TUNER_KEYS, Config, Value
from sweeps import metrics
from sweeps.errors import SweepError
from sweeps.search import given
from sweeps.search.ask_tell import Proposal
from sweeps.search.keras_tuner_base import BaseOracle, Settings
from sweeps.search.space import Space


class Oracle:
    """Proposes trials; see `AskTell`. A Hyperband promotion is the same trial again, with more epochs."""

    def __init__(self, config: Config, space: Space) -> None:
        self._space = space
        self._epochs = config.epochs
        self._objective = config.objective
        self._first = len(config.first)
        self._oracle = _tuner(config, space)
        self._count = itertools.count()
        self._numbers: dict[str, int] = {}  # Keras Tuner's trial id -> our trial
        self._out: dict[int, keras_tuner.engine.trial.Trial] = {}  # our trials that are out

    @property
    def description(self) -> str:
        """The tuner's use of its budget, for the user to read before it runs."""
        own = f"; after the defaults {self._first} of first=" if self._first else ""
        return self._oracle.description + own

    def ask(self) -> Proposal | None:
        # A slot of its own for each ask: Keras Tuner hands the same trial to the same slot until it ends.
        trial = self._oracle.create_trial(f"slot-{len(self._oracle.trials)}")
        if trial.status != "RUNNING":
            return None
        values = trial.hyperparameters.values
        origin = values.get("tuner/trial_id")
        number = self._numbers[origin] if origin else next(self._count)
        self._numbers[trial.trial_id] = number
        self._out[number] = trial
        return Proposal(
            trial=number,
            values=self._space.complete(values),
            initial_epoch=values.get("tuner/initial_epoch", 0),
            epochs=values.get("tuner/epochs", self._epochs),
        )

    def tell(self, trial: int, objective: float | None, curve: Sequence[float] = ()) -> None:
        out = self._out.pop(trial)
        if objective is None:
            out.status = "FAILED"
        else:
            self._oracle.update_trial(out.trial_id, {self._objective: objective})  # at step 0
            for epoch, value in enumerate(curve, start=1):
                self._oracle.update_trial(out.trial_id, {self._objective: value}, step=epoch)
            out.status = "COMPLETED"
        self._oracle.end_trial(out)

    def replay(self, trial: int, values: Mapping[str, Value]) -> None:
        searched_values = self._space.labelled(values)
        self._oracle.expect(searched_values)
        proposal = self.ask()
        if proposal is None or proposal.trial != trial:
            raise SweepError(f"the journal's trial {trial} does not follow from what came before it")
        if proposal.values != values:
            self._oracle.correct(self._out[trial], searched_values)

    def extend(self, trials: int) -> None:
        self._oracle.extend(trials)

    def candidates(self) -> set[int]:
        return {self._numbers[trial] for trial in self._oracle.candidates()}


def _tuner(config: Config, space: Space) -> BaseOracle:
    """Call the function that the configuration names as its tuner's `oracle`."""
    module, _, function = config.tuner["oracle"].rpartition(".")
    settings = Settings(
        objective=config.objective,
        direction=metrics.row(config.objective).direction,
        hyperparameters=space.hyperparameters(),
        seed=config.seed,
        trials=config.trials,
        epochs=config.epochs,
        networks=tuple(space.networks),
        first=given.values(config.first, space),
    )
    options = {option: value for option, value in config.tuner.items() if option not in TUNER_KEYS}
    tuner: BaseOracle = getattr(import_module(module), function)(settings, **options)
    return tuner
