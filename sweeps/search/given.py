"""Configurations of the user's own, which a sweep tries right after the networks' defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conf.schema import NETWORK, Config, ConfigError, Value, did_you_mean
from sweeps.search.builders import is_number
from sweeps.search.space import Hyperparameter, Space, rounded


def check(config: Config, space: Space) -> None:
    """Raise `ConfigError` for configurations outside of the space, for equal ones, and for too few trials for all."""
    configurations = values(config.first, space)
    least = len(space.of_each) + len(configurations)
    if configurations and config.trials < least:
        before = "each network's defaults come" if space.networks else "the baseline comes"
        raise ConfigError(
            f"trials={config.trials}: must be at least {least}, as first= has {len(configurations)} and {before} before"
        )


def values(first: Sequence[Mapping[str, Any]], space: Space) -> list[dict[str, Value]]:
    """Return the configurations in full, by the labels of the searched hyperparameters."""
    known = [space.labelled(own.complete({hp.label: hp.default for hp in own.searched})) for own in space.of_each]
    defaults = len(known)
    for number, given in enumerate(first):
        completed = _completed(f"first[{number}]", given, space)
        if completed in known:
            place = known.index(completed) - defaults
            other = "the defaults, which are tried anyway" if place < 0 else f"first[{place}]"
            raise ConfigError(f"first[{number}]: is the same as {other}")
        known.append(completed)
    return known[defaults:]


def _completed(key: str, given: Mapping[str, Any], space: Space) -> dict[str, Value]:
    own = _network(key, given, space)
    chosen = {hp.name: hp.default for hp in own.searched}
    searched = {hp.name: hp for hp in own.searched}
    for name, value in given.items():
        if name == NETWORK and space.networks:
            continue
        if name not in searched:
            fixed = f"it is fixed at {own.fixed[name]}; " if name in own.fixed else ""
            names = ", ".join(searched) or "nothing"
            raise ConfigError(f"{key}.{name}={value}: {fixed}searched: {names}{did_you_mean(str(name), searched)}")
        chosen[name] = _value(f"{key}.{name}", searched[name], value)
    return space.labelled(rounded({**own.fixed, **chosen}))


def _network(key: str, given: Mapping[str, Any], space: Space) -> Space:
    """Return the space of the network that a configuration names; the baseline's if it names none."""
    if not space.networks or NETWORK not in given:
        return space.of_each[0]
    name = given[NETWORK]
    if name not in space.networks:
        raise ConfigError(f"{key}.{NETWORK}={name}: allowed: {', '.join(space.networks)}")
    return space.networks[name]


def _value(key: str, hp: Hyperparameter, value: Any) -> Value:
    """Return a value with the type of its hyperparameter, which may lie between the steps of a range."""
    if hp.kind == "Boolean":
        if not isinstance(value, bool):
            raise ConfigError(f"{key}={value}: must be true or false")
        return value
    if hp.kind == "Choice":
        if isinstance(value, bool) or value not in hp.arguments["values"]:
            raise ConfigError(f"{key}={value}: must be one of {hp.arguments['values']}")
        return type(hp.default)(value)
    if not is_number(value) or (hp.kind == "Int" and not isinstance(value, int)):
        raise ConfigError(f"{key}={value}: must be {'an integer' if hp.kind == 'Int' else 'a number'}")
    low, high = hp.arguments["min_value"], hp.arguments["max_value"]
    if not low <= value <= high:
        raise ConfigError(f"{key}={value}: must lie between {low} and {high}, which are searched")
    return value if hp.kind == "Int" else float(value)
