"""A record from a store names functions, and perhaps a scheduler: others' are used only if the user names them too.

Everybody who may write to a store can put anything into a record, and a scheduler can let its clients run anything. A
directory on this machine is its user's own: what its files name is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from conf import stored
from conf.schema import ELASTIC, Config, ConfigError

KEYS = re.compile(r"(model|optimizer|networks\.[\w-]+)\.build|tuner\.oracle|datasets\.\w+\.read|engine\.scheduler")

# Last part of the key -> the package of this project's own functions. No scheduler is its own.
OWN = {"build": ("models.",), "oracle": ("sweeps.search.",), "read": ("pipelines.data.",), "scheduler": ()}


def named(arguments: Iterable[str]) -> dict[str, str]:
    """Return the functions and the scheduler that a command line names, by the keys of the configuration."""
    pairs = (argument.lstrip("+").partition("=") for argument in arguments)
    return {key: value for key, _, value in pairs if KEYS.fullmatch(key)}


def recorded_config(yaml: str, named: Mapping[str, str], owner: str, *, with_scheduler: bool = False) -> Config:
    """Return the configuration of a record from a store.

    Raises `ConfigError` for anything of others that `named` does not have, and if `named` has what was not recorded.
    """
    config = stored.foreign(yaml)
    recorded = {
        **{f"{section}.build": network.build for section, network in config.models.items()},
        "optimizer.build": config.optimizer.build,
        "tuner.oracle": str(config.tuner["oracle"]),
        **{f"datasets.{name}.read": data.read for name, data in config.datasets.items()},
    }
    if with_scheduler and config.engine.scheduler is not None:
        recorded["engine.scheduler"] = config.engine.scheduler
    if with_scheduler and config.engine.name in ELASTIC:
        raise ConfigError(
            f"engine={config.engine.name}: recorded by {owner}, whose account and image may be anybody's; "
            "add engine.workers=N to train on this machine"
        )
    for key, value in named.items():
        if value != recorded.get(key):
            raise ConfigError(f"{key}={value}: {owner} was recorded with {key}={recorded.get(key)}")
    for key, value in recorded.items():
        if key not in named and not value.startswith(OWN[key.rpartition(".")[2]]):
            raise ConfigError(
                f"{key}={value}: recorded by {owner}, and not of this project, so it could do anything; "
                f"if you trust it, add {key}={value}"
            )
    return config
