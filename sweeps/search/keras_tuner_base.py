"""The common part of all oracles: Keras Tuner's own, without its Tuner.

Trials run elsewhere and the journal is the record, so nothing is saved here: a resumed sweep feeds the journal to a
fresh oracle with the same seed.

A tuner is a module of this folder with a function `oracle(settings, *, <options>) -> BaseOracle`, and a file in
`conf/tuner/` that names the function and gives its options.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner.engine.hyperparameters import Float, Int

from conf.schema import NETWORK, Value
from sweeps.search.space import rounded

# Draws of known values in a row after which the next trial is sought by going through the space.
MAX_COLLISIONS = 100


class Settings(NamedTuple):
    """The part of a sweep's configuration that an oracle needs whatever its options are."""

    objective: str  # the name of a metric, e.g. val/accuracy
    direction: str  # max | min
    hyperparameters: keras_tuner.HyperParameters  # the searched ones
    seed: int
    trials: int
    epochs: int  # the most that a trial may run
    networks: tuple[str, ...] = ()  # of which the hyperparameter `model` chooses one; none if there is but one
    first: Sequence[Mapping[str, Value]] = ()  # configurations to try after the defaults


class BaseOracle(keras_tuner.Oracle):
    """An oracle that the journal can be replayed to; the first of a tuner's base classes."""

    def __init__(self, settings: Settings, **arguments: Any) -> None:
        super().__init__(
            objective=keras_tuner.Objective(settings.objective, settings.direction),
            hyperparameters=settings.hyperparameters,
            allow_new_entries=False,
            tune_new_entries=False,
            seed=settings.seed,
            **arguments,
        )
        self.networks = settings.networks
        self._given = settings.first
        self.verbose = 0
        self._max_collisions = MAX_COLLISIONS

    @property
    def description(self) -> str:
        """The tuner's use of its budget, for the user to read before it runs."""
        return f"{self.max_trials} trial{'s' if self.max_trials != 1 else ''}"

    def expect(self, values: Mapping[str, Value]) -> None:
        """Announce the recorded values of the next proposal, so that a replay need not compute them."""

    def correct(self, trial: keras_tuner.engine.trial.Trial, values: Mapping[str, Value]) -> None:
        """Replace the values of a trial that was proposed by those that the journal recorded."""
        trial.hyperparameters.values.update(values)
        self._record_values(trial)

    def extend(self, trials: int) -> None:
        """Change the budget: from now on the search has this many trials in all."""
        self.max_trials = trials

    def candidates(self) -> set[str]:
        """The ids of the trials that may still be promoted."""
        return set()

    def save(self) -> None:
        """Save nothing: the journal is the record."""

    def _save_trial(self, trial: Any) -> None:
        """Save nothing: the journal is the record."""

    def _check_consecutive_failures(self) -> None:
        """Check nothing: the driver decides when to give up, and Keras Tuner would go through all trials each time."""

    @property
    def first_values(self) -> list[dict[str, Value]]:
        """The defaults of each network, of which the first are the baseline's, and what the user wants tried."""
        defaults = [{**fixed, **{hp.name: hp.default for hp in space}} for fixed, space in self._spaces()]
        return [*defaults, *map(dict, self._given)]

    def next_first_values(self) -> dict[str, Value] | None:
        """Return the first of them that no trial has yet; None when all have one."""
        return next(iter(self.first_values[len(self.start_order) :]), None)

    def _spaces(self) -> Iterator[tuple[dict[str, Value], list[Any]]]:
        """Yield what each network fixes, which is its name, and the other hyperparameters that its trials have."""
        space = self.get_space().space
        if not self.networks:
            yield {}, space
        for network in self.networks:
            own = [hp for hp in space[1:] if all(network in condition.values for condition in hp.conditions)]
            yield {NETWORK: network}, own

    def _random_values(self) -> dict[str, Value] | None:
        """Return the defaults first, then values that no trial had; None once the space is exhausted."""
        first = self.next_first_values()
        if first is not None:
            return first
        drawn: dict[str, Value] | None = super()._random_values()
        return drawn if drawn is not None else self._first_untried()

    def _first_untried(self) -> dict[str, Value] | None:
        """Return the first values in the space's order that no trial had: chance may miss the last ones for long."""
        for fixed, space in self._spaces():
            choices = [finite_values(hp) for hp in space]
            if any(values is None for values in choices):
                continue
            combinations = itertools.product(*(values for values in choices if values is not None))
            all_values = ({**fixed, **dict(zip((hp.name for hp in space), each, strict=True))} for each in combinations)
            untried = next((values for values in all_values if not self._duplicate(values)), None)
            if untried is not None:
                return untried
        return None

    def _compute_values_hash(self, values: dict[str, Value]) -> str:
        """Take values that train the same for the same: a step's 0.30000000000000004 and a default's 0.3."""
        digest: str = super()._compute_values_hash(rounded(values))
        return digest


def finite_values(hp: Any) -> Sequence[Value] | None:
    """Return all values of a hyperparameter, its default included; None for numbers between which there are others."""
    if isinstance(hp, Float) and hp.step is None:
        return None
    whole_range = isinstance(hp, Int) and hp.step is None
    values = range(hp.min_value, hp.max_value + 1) if whole_range else hp.values
    return list(dict.fromkeys(typed(hp, value) for value in (hp.default, *values)))


def typed(hp: Any, value: Value) -> Value:
    """Return a value of a hyperparameter as the configuration means it: Keras Tuner makes floats of some integers."""
    return int(value) if isinstance(hp, Int) else rounded({"": value})[""]
