"""The search space: config <-> `keras_tuner.HyperParameters`. The only reader of the space syntax.

`lstm_units: 128` is fixed; `lstm_units: {kind: Int, min_value: 20, max_value: 200, default: 100}` is searched, with
Keras Tuner's method `Int` and its arguments. One spelling holds everywhere: config key = builder keyword = Keras Tuner
name = MLflow param.

Of several networks the hyperparameter `model` chooses one, and a trial has the hyperparameters of that one alone. Two
networks may have a hyperparameter of one name, which Keras Tuner's oracles could not tell apart: only for them, and
where both are shown, it is `cnn.dropout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from conf.schema import (
    NETWORK,
    SEARCHABLE,
    TABLE_KEYS,
    Buildable,
    ConfigError,
    Data,
    Parts,
    Value,
    Values,
    check_setting,
    did_you_mean,
)
from sweeps.search.builders import is_number, keywords_of

if TYPE_CHECKING:
    import keras_tuner

# The keywords of builders that the dataset and the budget decide, not the search.
GIVEN_KEYWORDS = {"model": ("num_words", "maxlen", "num_classes"), "optimizer": ("total_steps",)}
NETWORKS = "networks."  # and the name of a section: that of one of several networks

# Raises `ConfigError` for a value that is not allowed where the key, its first argument, gives it.
Check = Callable[[str, Any], None]

# kind -> the arguments it needs, the arguments it may have besides `default`
KINDS = {
    "Choice": (("values",), ("ordered",)),
    "Int": (("min_value", "max_value"), ("step", "sampling")),
    "Float": (("min_value", "max_value"), ("step", "sampling")),
    "Boolean": ((), ()),
}


class Hyperparameter(NamedTuple):
    """A searched hyperparameter; `arguments` are those of Keras Tuner's method `kind`."""

    key: str  # as in the config, for messages
    name: str
    kind: str
    arguments: Mapping[str, Any]
    network: str = ""  # of several, the one that has it; empty for what all trials have

    @property
    def label(self) -> str:
        """The name, with the network's before it where another network may have a hyperparameter of that name."""
        return f"{self.network}.{self.name}" if self.network else self.name

    def value(self, values: Values) -> Value | None:
        """Return its value among those of a trial; None for a trial of another network."""
        return values.get(self.name) if self.network in ("", values.get(NETWORK)) else None

    @property
    def key_of_default(self) -> str:
        """The key that changes the default: that of a dataset's setting is its configured value."""
        section, _, name = self.key.rpartition(".space.")
        return f"{section}.{name}" if section.startswith("datasets.") else f"{self.key}.default"

    @property
    def default(self) -> Value:
        return self.arguments["default"]  # type: ignore[no-any-return]

    @property
    def bounds(self) -> tuple[Value, Value]:
        """The smallest and the largest value; a list of names has its first and its last."""
        if self.kind == "Boolean":
            return False, True
        if self.kind in ("Int", "Float"):
            return self._ends()
        values = self.arguments["values"]
        return (values[0], values[-1]) if isinstance(values[0], str) else (min(values), max(values))

    @property
    def sampling(self) -> str:
        return str(self.arguments.get("sampling", "linear"))

    @property
    def logarithmic(self) -> bool:
        return self.sampling != "linear"

    def place(self, value: Value) -> float:
        """Return the place of a number in its range, from 0 to 1, on the scale that it is sampled on."""
        low, high, here = float(self.bounds[0]), float(self.bounds[1]), float(value)
        if low == high:
            return 0.5
        if self.logarithmic:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return (here - low) / (high - low)

    def _ends(self) -> tuple[Value, Value]:
        """Return the ends of a range: where its steps do not meet an end, their last one, or the default beyond it."""
        low, high = self.arguments["min_value"], self.arguments["max_value"]
        step = self.arguments.get("step")
        if step is None:
            return low, high
        if self.logarithmic:
            span = low * step ** math.floor(math.log(high / low, step) + 1e-8) - low
        else:
            span = math.floor((high - low) / step + 1e-6) * step
        ends = (high - span, high) if self.sampling == "reverse_log" else (low, low + span)
        return min(ends[0], self.default), max(ends[1], self.default)


class Space(NamedTuple):
    """The searched and the fixed hyperparameters of model, optimizer and dataset together."""

    searched: tuple[Hyperparameter, ...]
    fixed: Values
    networks: Mapping[str, Space] = MappingProxyType({})  # of several networks: the space of each, by its name

    @property
    def of_each(self) -> tuple[Space, ...]:
        """The space of each of several networks, the baseline's first; of one network, this one."""
        return tuple(self.networks.values()) or (self,)

    def complete(self, proposed: Mapping[str, Value]) -> dict[str, Value]:
        """Return the fixed hyperparameters and the proposed values of the searched ones, by their labels, rounded."""
        if self.networks:
            return self.networks[str(proposed[NETWORK])].complete(proposed)
        return rounded({**self.fixed, **{hp.name: proposed[hp.label] for hp in self.searched}})

    def labelled(self, values: Values) -> dict[str, Value]:
        """Return the values of the searched hyperparameters by their labels."""
        return {hp.label: value for hp in self.searched if (value := hp.value(values)) is not None}

    def defaults(self) -> dict[str, Value]:
        first = self.of_each[0]
        return first.complete({hp.label: hp.default for hp in first.searched})

    def smallest(self) -> dict[str, Value]:
        return self.complete({hp.label: hp.bounds[0] for hp in self.searched})

    def largest(self) -> dict[str, Value]:
        return self.complete({hp.label: hp.bounds[1] for hp in self.searched})

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """Return the searched hyperparameters, for an oracle."""
        import keras_tuner  # imports TensorFlow, so not before the configuration is known to be good

        hps = keras_tuner.HyperParameters()
        for hp in self.searched:
            condition = {"parent_name": NETWORK, "parent_values": [hp.network]} if hp.network else {}
            getattr(hps, hp.kind)(hp.label, **_keras_tuner_arguments(hp), **condition)
        return hps


def _keras_tuner_arguments(hp: Hyperparameter) -> dict[str, Any]:
    """Return the arguments, corrected where Keras Tuner 1.4.8 would lose the last value of a `Float` with a step."""
    arguments = dict(hp.arguments)
    if hp.kind == "Float" and "step" in arguments and hp.sampling == "linear":
        # It counts the steps with floor division: 0.7 // 0.1 is 6, and 0.7 would never be tried.
        arguments["max_value"] += arguments["step"] * 1e-6
    return arguments


def rounded(values: Values) -> dict[str, Value]:
    """Round floats to six significant digits, so that the value that trains is the one that is shown.

    Keras Tuner's steps give 0.30000000000000004, its log sampling 17 digits.
    """
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}


def read(parts: Parts) -> Space:
    """Read the spaces of all parts and check them against what these take; raises `ConfigError`, imports no builder."""
    networks = names_of_networks(parts)
    searched: list[Hyperparameter] = []
    fixed: dict[str, dict[str, Value]] = {"": {}, **{name: {} for name in networks.values()}}
    owners: dict[str, str] = {NETWORK: ""} if networks else {}
    for section, part in parts.items():
        checks = _of_settings(section, part) if isinstance(part, Data) else _of_keywords(section, part, parts)
        network = networks.get(section, "")
        for name, entry in part.space.items():
            key = f"{section}.space.{name}"
            if name in owners and not (network and owners[name] in networks):
                raise ConfigError(f"{key}: {_owner(owners[name])} has a hyperparameter of that name too")
            owners[name] = section
            if isinstance(entry, Mapping):
                searched.append(_hyperparameter(key, name, entry, network))
                _check_values(searched[-1], checks[name])
            else:
                fixed[network][name] = _fixed(key, entry, checks[name])
    if not networks:
        return Space(tuple(searched), fixed[""])
    of_each = {
        name: Space(
            tuple(hp for hp in searched if hp.network in ("", name)), {NETWORK: name, **fixed[name], **fixed[""]}
        )
        for name in networks.values()
    }
    return Space((_choice_of(list(networks.values())), *searched), fixed[""], of_each)


def names_of_networks(parts: Parts) -> dict[str, str]:
    """Return the names of several networks by their sections; empty for one model."""
    return {
        section: part.name
        for section, part in parts.items()
        if isinstance(part, Buildable) and section.startswith(NETWORKS)
    }


def _choice_of(networks: list[str]) -> Hyperparameter:
    return Hyperparameter(NETWORK, NETWORK, "Choice", {"values": networks, "default": networks[0]})


def _owner(section: str) -> str:
    return f"{section}.space" if section else "the choice of the network"


def recorded(parts: Parts) -> tuple[Hyperparameter, ...]:
    """Return what a stored configuration searched. It was checked when it was stored; its builders may be gone."""
    networks = names_of_networks(parts)
    return (
        *([_choice_of(list(networks.values()))] if networks else []),
        *(
            _hyperparameter(f"{section}.space.{name}", name, entry, networks.get(section, ""))
            for section, part in parts.items()
            for name, entry in part.space.items()
            if isinstance(entry, Mapping)
        ),
    )


def searched_values(searched: Iterable[Hyperparameter], values: Values) -> dict[str, Value]:
    """Return those values of a trial that were searched."""
    return {hp.name: value for hp in searched if (value := hp.value(values)) is not None}


def _of_keywords(section: str, part: Buildable, parts: Parts) -> Mapping[str, Check]:
    """Return the checks of the keywords that a space may name, which must be all that have no default."""
    limits = keywords_of(f"{section}.build", part.build)
    given = GIVEN_KEYWORDS["model" if section.startswith(NETWORKS) else section]
    keywords = {name: limits[name].check for name in limits if name not in given}
    for name, entry in part.space.items():
        if name not in keywords:
            takes = ", ".join(keywords) or "no hyperparameters"
            owner = next((other for other, each in parts.items() if other != section and name in each.space), "")
            hint = f"; did you mean {owner}.space.{name}?" if owner else did_you_mean(str(name), keywords)
            raise ConfigError(f"{section}.space.{name}: {part.build} takes {takes}; given {entry}{hint}")
    for name in keywords:
        if name not in part.space and not limits[name].has_default:
            raise ConfigError(f"{section}.space.{name}: missing; {part.build} needs a value or a range for it")
    return keywords


def _of_settings(section: str, data: Data) -> Mapping[str, Check]:
    """Return the checks of the settings that a dataset's space may name."""
    settings = [name for name in SEARCHABLE if data.files or name not in TABLE_KEYS]
    for name, entry in data.space.items():
        key = f"{section}.space.{name}"
        if name not in settings:
            kind = "a table" if data.files else "a dataset without files"
            hint = did_you_mean(str(name), settings)
            raise ConfigError(f"{key}: of {kind} these can be searched: {', '.join(settings)}{hint}")
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{key}={entry}: must be a mapping (searched); to set it: {section}.{name}")
        if (default := entry.get("default")) != (configured := getattr(data, name)):
            raise ConfigError(f"{key}.default={default}: must be {section}.{name}={configured}, as in the baseline")
    return {name: partial(check_setting, data, name) for name in settings}


def _check_values(hyperparameter: Hyperparameter, check: Check) -> None:
    for argument in ("values", "min_value", "max_value"):
        values = hyperparameter.arguments.get(argument, [])
        for value in values if isinstance(values, list) else [values]:
            check(f"{hyperparameter.key}.{argument}", value)


def _fixed(key: str, entry: Any, check: Check) -> Value:
    if isinstance(entry, float) and not math.isfinite(entry):
        raise ConfigError(f"{key}={entry}: must be finite")
    if not isinstance(entry, int | float | str):
        hint = f", {{kind: Choice, values: {entry}, default: {entry[0]}}}" if isinstance(entry, list) and entry else ""
        raise ConfigError(f"{key}={entry}: must be a number or a name (fixed) or a mapping (searched){hint}")
    check(key, entry)
    return entry


def _hyperparameter(key: str, name: str, entry: Mapping[str, Any], network: str = "") -> Hyperparameter:
    kind = entry.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"{key}.kind={kind}: allowed: {', '.join(KINDS)}{did_you_mean(str(kind), KINDS)}")
    arguments = _arguments(key, kind, entry)
    if kind == "Choice":
        _check_choice(key, arguments)
    elif kind == "Boolean":
        _check_flag(f"{key}.default", arguments["default"])
    else:
        _check_range(key, arguments, whole=kind == "Int")
    return Hyperparameter(key, name, kind, arguments, network)


def _arguments(key: str, kind: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an entry; raises `ConfigError` if its kind does not take them or needs others."""
    needed, optional = KINDS[kind]
    allowed = (*needed, *optional, "default")
    arguments = {name: value for name, value in entry.items() if name != "kind" and value is not None}
    for name in arguments:
        if name not in allowed:
            raise ConfigError(f"{key}.{name}: {kind} takes {', '.join(allowed)}{did_you_mean(str(name), allowed)}")
    for name in (*needed, "default"):
        if name not in arguments:
            raise ConfigError(f"{key}.{name}: missing; {kind} takes {', '.join(allowed)}")
    return arguments


def _check_flag(key: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{key}={value}: must be true or false")


def _check_choice(key: str, arguments: dict[str, Any]) -> None:
    values, default = arguments["values"], arguments["default"]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{key}.values={values}: must be a list of at least one value")
    if _numbers(values) and is_number(default) and float in {type(value) for value in values}:
        # [1, 0.1] is one kind of number to a reader, two types to Keras Tuner.
        values = arguments["values"] = [float(value) for value in values]
        default = arguments["default"] = float(default)
    if len({type(value) for value in values}) != 1 or not (_numbers(values) or isinstance(values[0], str)):
        raise ConfigError(f"{key}.values={values}: must be all numbers or all names; for true and false: kind: Boolean")
    if len(set(values)) != len(values):
        raise ConfigError(f"{key}.values={values}: must differ from each other")
    if default not in values or type(default) is not type(values[0]):
        raise ConfigError(f"{key}.default={default}: must be one of {values}")
    _check_flag(f"{key}.ordered", arguments.get("ordered", True))


def _numbers(values: list[Any]) -> bool:
    return all(is_number(value) for value in values)


def _check_range(key: str, arguments: dict[str, Any], *, whole: bool) -> None:
    for name in ("min_value", "max_value", "step", "default"):
        value = arguments.get(name, 0)
        if not is_number(value) or (whole and not isinstance(value, int)):
            raise ConfigError(f"{key}.{name}={value}: must be {'an integer' if whole else 'a number'}")
        if name in arguments and not whole:
            arguments[name] = float(value)
    low, high, default = arguments["min_value"], arguments["max_value"], arguments["default"]
    if not low < high:
        raise ConfigError(f"{key}.max_value={high}: must be greater than min_value={low}")
    if not low <= default <= high:
        raise ConfigError(f"{key}.default={default}: must lie between min_value={low} and max_value={high}")
    _check_sampling(key, arguments)


def _check_sampling(key: str, arguments: Mapping[str, Any]) -> None:
    low, sampling = arguments["min_value"], arguments.get("sampling", "linear")
    if sampling not in ("linear", "log", "reverse_log"):
        raise ConfigError(f"{key}.sampling={sampling}: allowed: linear, log, reverse_log")
    if sampling != "linear" and low <= 0:
        raise ConfigError(f"{key}.min_value={low}: must be greater than 0, as sampling is {sampling}")
    least = 0 if sampling == "linear" else 1  # a logarithmic step multiplies
    if "step" in arguments and arguments["step"] <= least:
        raise ConfigError(f"{key}.step={arguments['step']}: must be greater than {least}")
