"""The keywords of the functions that a configuration names, and the values that they take.

Both are read from the source: a builder or an oracle would import TensorFlow, and a wrong value should be refused
before that.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from conf.schema import TUNER_KEYS, ConfigError, did_you_mean
from sweeps.search.annotations import Source
from sweeps.software import source_of


class Limits(NamedTuple):
    """The values that a keyword takes: those of any of its `types`; any value if there are none."""

    types: tuple[Any, ...] = ()  # of `models.hyperparameters`, or a `Literal` of names
    optional: bool = False  # whether None is allowed
    has_default: bool = False

    def check(self, key: str, value: Any) -> None:
        """Raise `ConfigError` for a value that is not allowed; None is not held against the types."""
        if self.types and not any(_holds(type_, value) for type_ in self.types):
            raise ConfigError(f"{key}={value}: must be {' or '.join(map(_allowed, self.types))}")


def _allowed(annotated: Any) -> str:
    if get_origin(annotated) is Literal:
        return " or ".join(map(str, get_args(annotated)))
    return str(annotated.__metadata__[0].allowed)


def _holds(annotated: Any, value: Any) -> bool:
    if get_origin(annotated) is Literal:
        return any(value == name and type(value) is type(name) for name in get_args(annotated))
    type_, bounds = get_args(annotated)
    return is_number(value) and isinstance(value, int | type_) and bounds.hold(value)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def keywords_of(key: str, target: str) -> dict[str, Limits]:
    """Return the keywords of a function and the values that they take.

    Raises `ConfigError` if `target`, a dotted name and the value of the configuration's `key`, is no function, or if
    an annotation names a type that does not exist.
    """
    source, function = _function(key, target)
    arguments = function.args
    keywords = (*arguments.args, *arguments.kwonlyargs)
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults + arguments.kw_defaults
    limits = _limits(f"{key}={target}", source, keywords)
    return {
        name: limit._replace(has_default=default is not None)
        for (name, limit), default in zip(limits.items(), defaults, strict=True)
    }


def check_tuner(tuner: Mapping[str, Any]) -> None:
    """Hold a tuner's options against the keywords of its `oracle`; raises `ConfigError`."""
    target, name = tuner["oracle"], tuner["name"]
    source, function = _function("tuner.oracle", target)
    arguments = function.args
    if len(arguments.posonlyargs) + len(arguments.args) != 1:
        raise ConfigError(f"tuner.oracle={target}: must take one positional argument, the settings of the search")
    limits = _limits(f"tuner.oracle={target}", source, arguments.kwonlyargs)
    for option, value in tuner.items():
        if option not in (*TUNER_KEYS, *limits):
            takes = ", ".join(limits) or "no options"
            raise ConfigError(f"tuner.{option}={value}: tuner={name} takes {takes}{did_you_mean(option, limits)}")
    for (option, limit), default in zip(limits.items(), arguments.kw_defaults, strict=True):
        if tuner.get(option) is not None:
            limit.check(f"tuner.{option}", tuner[option])
        elif not limit.optional if option in tuner else default is None:
            raise ConfigError(f"tuner.{option}=null: tuner={name} needs a {'number' if limit.types else 'value'}")


def _function(key: str, target: str) -> tuple[Source, ast.FunctionDef]:
    """Return the definition of a function at the top level of its module."""
    name, _, function = target.rpartition(".")
    if not name:
        raise ConfigError(f"{key}={target}: must be the dotted name of a function, module.function")
    path = source_of(name)
    if path is None:
        raise ConfigError(f"{key}={target}: there is no module '{name}' with a source")
    try:
        source = Source(name, path)
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{key}={target}: {path} cannot be read: {error}") from error
    functions = {node.name: node for node in source.tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        raise ConfigError(f"{key}={target}: {name} has no function '{function}'{did_you_mean(function, functions)}")
    return source, functions[function]


def _limits(where: str, source: Source, keywords: Iterable[ast.arg]) -> dict[str, Limits]:
    limits = {}
    for keyword in keywords:
        try:
            types = source.types(keyword.annotation)
        except ConfigError as error:
            raise ConfigError(f"{where}: {ast.unparse(keyword)}: {error}") from error
        except (SyntaxError, RecursionError):
            types = [object]
        others = tuple(type_ for type_ in types if type_ is not NoneType)
        all_bounded = all(hasattr(type_, "__metadata__") or get_origin(type_) is Literal for type_ in others)
        limits[keyword.arg] = Limits(others if all_bounded else (), NoneType in types)
    return limits
