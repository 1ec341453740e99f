"""The keywords of the functions that a configuration names, read from their source.

Nothing is imported: a builder or an oracle would import TensorFlow, and a wrong value should be refused before that.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from conf.schema import TUNER_KEYS, ConfigError, did_you_mean
from sweeps.search.annotations import AnnotationError, Limits, SourceModule, source_of


def keywords_of(key: str, target: str) -> dict[str, str]:
    """Return the keywords of a function and their annotations, as they are written.

    Raises `ConfigError` if `target`, a dotted name and the value of the configuration's `key`, is no function.
    """
    _, function = _function(key, target)
    return {keyword.arg: _annotation(keyword) for keyword in (*function.args.args, *function.args.kwonlyargs)}


def limits_of(key: str, target: str) -> dict[str, Limits]:
    """Return the keywords of a function and the values that they take.

    Raises `ConfigError` as `keywords_of` does, and for an annotation whose bounds cannot be read.
    """
    module, function = _function(key, target)
    return _limits(f"{key}={target}", module, (*function.args.args, *function.args.kwonlyargs))


def check_tuner(tuner: Mapping[str, Any]) -> None:
    """Hold a tuner's options against the keywords of its `oracle`; raises `ConfigError`."""
    key, target, name = "tuner.oracle", tuner["oracle"], tuner["name"]
    module, function = _function(key, target)
    arguments = function.args
    if len(arguments.posonlyargs) + len(arguments.args) != 1:
        raise ConfigError(f"{key}={target}: must take one positional argument, the settings of the search")
    limits = _limits(f"{key}={target}", module, arguments.kwonlyargs)
    for option, value in tuner.items():
        if option not in (*TUNER_KEYS, *limits):
            takes = ", ".join(limits) or "no options"
            raise ConfigError(f"tuner.{option}={value}: tuner={name} takes {takes}{did_you_mean(option, limits)}")
    for (option, limit), default in zip(limits.items(), arguments.kw_defaults, strict=True):
        if tuner.get(option) is not None:
            limit.check(f"tuner.{option}", tuner[option])
            continue
        needed = not limit.optional if option in tuner else default is None
        if needed:
            raise ConfigError(f"tuner.{option}=null: tuner={name} needs a {'number' if limit.bounded else 'value'}")


def _function(key: str, target: str) -> tuple[SourceModule, ast.FunctionDef]:
    """Return the definition of a function at the top level of its module."""
    name, _, function = target.rpartition(".")
    if not name:
        raise ConfigError(f"{key}={target}: must be the dotted name of a function, module.function")
    path = source_of(name)
    if path is None:
        raise ConfigError(f"{key}={target}: there is no module '{name}' with a source")
    try:
        module = SourceModule(name, path)
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{key}={target}: {path} cannot be read: {error}") from error
    functions = {node.name: node for node in module.tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        raise ConfigError(f"{key}={target}: {name} has no function '{function}'{did_you_mean(function, functions)}")
    return module, functions[function]


def _annotation(keyword: ast.arg) -> str:
    return ast.unparse(keyword.annotation) if keyword.annotation else ""


def _limits(where: str, module: SourceModule, keywords: Sequence[ast.arg]) -> dict[str, Limits]:
    limits = {}
    for keyword in keywords:
        try:
            limits[keyword.arg] = module.limits(keyword.annotation)
        except AnnotationError as error:
            raise ConfigError(f"{where}: {keyword.arg}: {_annotation(keyword)}: {error}") from error
    return limits
