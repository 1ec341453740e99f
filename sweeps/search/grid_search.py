"""Grid search: every combination in order, beginning with the defaults."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import Choice, Float, Int
from keras_tuner.oracles import GridSearchOracle

from conf.schema import ConfigError, Value
from sweeps.search.keras_tuner_base import BaseOracle, Settings, typed

MOST_VALUES = 100_000  # of one hyperparameter; each proposal goes through all of them


class GridOracle(BaseOracle, GridSearchOracle):
    """Keras Tuner's grid search; of a range without steps it takes ten values and the default.

    Its oracle takes the values of a logarithmic `Int` for floats, which no layer takes for a size, and a step's
    0.30000000000000004 and a default's 0.3 for two values. So each range is a choice of its values here.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.first:
            raise ConfigError("first=: tuner=grid takes the values in their order; the other tuners begin with yours")
        choices = keras_tuner.HyperParameters()
        for hp in settings.hyperparameters.space:
            if isinstance(hp, Int | Float):
                values, default = _values(hp), typed(hp, hp.default)
                choices.merge([Choice(hp.name, values, default=default, conditions=hp.conditions)])
            else:
                choices.merge([hp])
        super().__init__(settings._replace(hyperparameters=choices), max_trials=settings.trials)

    @property
    def description(self) -> str:
        size = sum(math.prod(len(list(hp.values)) for hp in space) for _, space in self._spaces())
        if size > self.max_trials:
            last = "only the last hyperparameters" + (" of each network" if self.networks else "")
            return f"{self.max_trials} trials of a grid of {size:,}: {last} will vary"
        return f"a grid of {size}"

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Begin with each network's defaults; from there on Keras Tuner goes through the grids of all in turn."""
        values = self.next_first_values()
        if values is None:
            response: dict[str, Any] = super().populate_space(trial_id)
            return response
        self._ordered_ids.insert(trial_id)
        self._populate_next.append(trial_id)
        return {"status": "RUNNING", "values": values}


def _values(hp: Any) -> list[Value]:
    """Return the values of a range, each once, and its default; raises `ConfigError` if there are too many."""
    values = list(islice(hp.values, MOST_VALUES + 1))
    if len(values) > MOST_VALUES:
        raise ConfigError(f"tuner=grid: {hp.name} has more than {MOST_VALUES:,} values; give it a larger step")
    default, exact = typed(hp, hp.default), [typed(hp, value) for value in values]
    return list(dict.fromkeys(exact if default in exact else [default, *exact]))


def oracle(settings: Settings) -> GridOracle:
    return GridOracle(settings)
