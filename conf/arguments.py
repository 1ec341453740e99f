"""The arguments of a command line, as Hydra's grammar takes them.

That grammar refuses letters outside ASCII, a second `=` and some other characters unless they stand in quotes, and
reads `1e3` as the number 1000.0 even where a text is wanted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from conf.schema import Config

MULTIRUN = ("-m", "--multirun")
GROUPS_OF_ONE = ("model", "optimizer", "tuner", "stopping", "engine")  # of which one option holds
GROUPS = ("data", *GROUPS_OF_ONE, "experiment")


def prepared(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with quotes around the values that are texts, where Hydra would not read them as such."""
    multirun = any(argument in MULTIRUN for argument in arguments)
    return [_prepared(argument, multirun=multirun) for argument in arguments]


def _prepared(argument: str, *, multirun: bool) -> str:
    key, equals, value = argument.partition("=")
    path = key.lstrip("+")
    if (
        not equals
        or not key.isascii()
        or not (_type(path) is str or (path in GROUPS and re.match(r"\w", value) and not value.isascii()))
    ):
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
        if isinstance(override.value(), str | None) or (multirun and override.is_sweep_override()):
            return argument
    except HydraException:
        if multirun and "," in value:  # perhaps several values, of which each needs its own quotes
            return argument
    return f"{key}={quoted(value)}"


def quoted(text: str) -> str:
    """Return a text as Hydra's grammar writes it; backslashes are doubled before a quote and at the end only."""
    return '"' + re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + ('\\"' if match[2] else ""), text) + '"'


def assigned(key: str, value: object) -> str:
    """Return the argument that gives a key a value of Python's; a text stays as it would stand on a command line."""
    return f"{key}={value if isinstance(value, str) else _in_grammar(value)}"


def _in_grammar(value: object) -> str:
    """Return a value as Hydra's grammar writes it inside a list."""
    value = value.item() if hasattr(value, "item") else value  # a number of NumPy's
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_in_grammar(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple | range):
        return f"[{','.join(map(_in_grammar, value))}]"
    return str(value) if isinstance(value, int | float) else _quoted_if_needed(str(value))


def remedy(argument: str) -> str:
    """Say how an argument that Hydra cannot read is written, with its quotes; an empty string if that is unknown."""
    key, _, value = argument.partition("=")
    if not key.isascii():
        return "a key is written in ASCII; other names belong into a file of configuration, see --config-dir"
    if not value or _type(key) in (int, float, bool):
        return ""
    if value[0] in "[{":
        written = re.sub(r"[^\s\[\]{},:\"'()]+", lambda word: _quoted_if_needed(word[0]), value)
    else:
        written = ",".join(map(_quoted_if_needed, value.split(",")))
    try:
        OverridesParser.create().parse_override(f"{key}={written}")
    except HydraException:
        return ""
    return f"with quotes inside the argument: {shlex.quote(f'{key}={written}')}"


def _quoted_if_needed(word: str) -> str:
    return word if re.fullmatch(r"[\w$%@|*?+/.\\-]+", word, re.ASCII) else quoted(word)


def _type(key: str) -> Any:
    """Return the type of the values that a dotted key of the configuration takes; None for an unknown key."""
    kind: Any = Config
    for name in key.split("."):
        if is_dataclass(kind):
            kind = get_type_hints(kind).get(name)
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
        kind = next((option for option in get_args(kind) if type(None) in get_args(kind)), kind)  # of `str | None`
    return kind
