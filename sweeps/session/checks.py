"""Checks of a configuration, before anything slow is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path

from conf.schema import READ_KEYWORDS, Config, ConfigError, did_you_mean
from sweeps import software
from sweeps.metrics import OBJECTIVES, row
from sweeps.search import builders, given, space
from sweeps.search.space import Space
from sweeps.tracking import store

KERAS_SETTINGS = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


def check(config: Config) -> dict[str, Space]:
    """Return the search space of each dataset's sweep.

    Raises `ConfigError` for every mistake that shows before anything slow is imported, and `ModuleNotFoundError` if
    there is no TensorFlow.
    """
    software.require("tensorflow")
    _check_objective(config)
    _check_keras_settings()
    builders.check_tuner(config.tuner)
    store.uri(config.tracking.uri)
    spaces = {}
    for name, data in config.datasets.items():
        spaces[name] = space.read(config.parts(name))
        given.check(config, spaces[name])
        searched = spaces[name].searched
        _check_read(f"datasets.{name}.read", data.read)
        if data.validation == "test" and (searched or config.stopping.name != "none"):
            reason = f"{searched[0].key} is searched" if searched else "it would stop trials"
            raise ConfigError(
                f"datasets.{name}.validation=test: the test set must never choose, but {reason}; "
                "give a fraction of train, or fix every hyperparameter and set stopping=none"
            )
    return spaces


def _check_objective(config: Config) -> None:
    objective, target, allowed = config.objective, config.target, ", ".join(OBJECTIVES)
    if objective.startswith("test/"):
        raise ConfigError(f"objective={objective}: the test set must never choose a model; allowed: {allowed}")
    if objective not in OBJECTIVES:
        raise ConfigError(f"objective={objective}: allowed: {allowed}")
    if target is None:
        return
    is_share = row(objective).direction == "max"
    if not 0 < target <= 1 if is_share else not 0 < target < float("inf"):
        limit = "at most 1" if is_share else "finite"
        raise ConfigError(f"target={target}: must be greater than 0 and {limit} for objective={objective}")


def _check_keras_settings() -> None:
    """Raise `ConfigError` for settings with which Keras cannot be imported; any others are overridden."""
    file = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "keras.json"
    try:
        found = json.loads(file.read_text()) if os.path.exists(file) else {}
    except OSError as error:
        raise ConfigError(f"{file}: Keras cannot read its settings ({error.strerror})") from error
    except ValueError:  # Keras takes no notice of it
        return
    except RecursionError as error:
        raise ConfigError(f"{file}: nested too deeply; remove it, and Keras makes it anew") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: must be a JSON object; remove it, and Keras makes it anew")
    for name, allowed in KERAS_SETTINGS.items():
        if name in found and found[name] not in allowed:
            raise ConfigError(f"{file}: {name}={found[name]}: allowed by Keras: {', '.join(allowed)}")
    if not isinstance(found.get("epsilon", 1e-7), float):
        raise ConfigError(f"{file}: epsilon={found['epsilon']}: must be a number with a decimal point")


def _check_read(key: str, target: str) -> None:
    for keyword in builders.keywords_of(key, target):
        if keyword not in READ_KEYWORDS:
            allowed = ", ".join(READ_KEYWORDS)
            hint = did_you_mean(keyword, READ_KEYWORDS)
            raise ConfigError(f"{key}={target}: it takes {keyword}, which no dataset has; allowed: {allowed}{hint}")
