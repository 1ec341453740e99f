"""Checks of a journal's line against the fields of its event: anybody may have edited the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

SHOWN = 40  # characters of a value in a message


def check(kind: Any, values: Mapping[str, object]) -> None:
    """Raise `ValueError` if a field of a dataclass has a value of another type, or if a required one is missing."""
    hints = _hints(kind)
    for part in fields(kind):
        if part.name not in values:
            if part.default is MISSING and part.default_factory is MISSING:
                raise ValueError(f"{part.name} is missing")
        elif not _fits(values[part.name], hints[part.name]):
            raise ValueError(f"{part.name} is {repr(values[part.name])[:SHOWN]}")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: object, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Mapping:
        key, content = parts
        return isinstance(value, Mapping) and all(_fits(k, key) and _fits(v, content) for k, v in value.items())
    if origin in (list, tuple):  # JSON knows no tuples; those of a record have any length
        return isinstance(value, list) and all(_fits(element, parts[0]) for element in value)
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, int | float) and abs(value) < math.inf  # False for NaN
    return isinstance(value, hint)
