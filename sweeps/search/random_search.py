"""Random search: configurations drawn at random, none twice."""

from __future__ import annotations

from keras_tuner.oracles import RandomSearchOracle

from sweeps.search.keras_tuner_base import BaseOracle, Settings


class RandomOracle(BaseOracle, RandomSearchOracle):
    """Keras Tuner's random search."""


def oracle(settings: Settings) -> RandomOracle:
    return RandomOracle(settings, max_trials=settings.trials)
