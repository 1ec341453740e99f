"""Grid search: every combination in order, beginning with the defaults."""

from __future__ import annotations

import math

from keras_tuner.oracles import GridSearchOracle

from sweeps.search.keras_tuner_base import BaseOracle, Settings


class GridOracle(BaseOracle, GridSearchOracle):
    """Keras Tuner's grid search."""

    @property
    def description(self) -> str:
        size = math.prod(len({*hp.values, hp.default}) for hp in self.hyperparameters.space)
        if size > self.max_trials:
            return f"{self.max_trials} trials of a grid of {size:,}: only the last hyperparameters will vary"
        return f"a grid of {size}"


def oracle(settings: Settings) -> GridOracle:
    return GridOracle(settings, max_trials=settings.trials)
