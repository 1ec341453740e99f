"""Texts and labels that are given as a pandas data frame: a Parquet file in the user's cache, named by its content.

Workers are processes of their own and a sweep can be resumed later, so the texts have to lie in a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf import arguments as grammar
from conf.schema import ConfigError, did_you_mean
from sweeps import files
from sweeps.errors import reason_of

COLUMNS = ("text", "label", "group", "time", "split")  # keywords that name columns
NAME = "name"  # the keyword for the name of the dataset


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Return the arguments of a command line for keywords, of which `data` may be a data frame.

    Raises `ConfigError` for a frame that cannot be written as it is, and for keywords that only a frame has.
    """
    data = values.get("data")
    if not hasattr(data, "to_parquet"):
        for key in (*COLUMNS, NAME):
            if key in values:
                raise ConfigError(f"{key}={values[key]}: only for data= a data frame; else datasets.<name>.{key}=…")
        return [grammar.assigned(key, value) for key, value in values.items()]
    name = str(values.get(NAME, "frame"))
    columns = {key: values[key] for key in COLUMNS if key in values}
    path = _written(data, name, columns)
    others = {key: value for key, value in values.items() if key not in ("data", NAME, *COLUMNS)}
    return [
        grammar.assigned("data", str(path)),
        *(grammar.assigned(f"datasets.{name}.{key}", value) for key, value in columns.items()),
        *(grammar.assigned(key, value) for key, value in others.items()),
    ]


def _written(frame: Any, name: str, columns: Mapping[str, Any]) -> Path:
    """Write a frame to a file that only its user can read, unless it is there.

    Where text and label are named, no other column is written than those that are.
    """
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
        raise ConfigError(f"{NAME}={name}: must be Latin letters, digits, - and _, a letter first")
    named = [column for value in columns.values() for column in (value if isinstance(value, list) else [value])]
    for column in named:
        if column not in frame.columns:
            known = [str(each) for each in frame.columns]
            raise ConfigError(f"data: the data frame has no column {column}{did_you_mean(str(column), known)}")
    kept = frame[list(dict.fromkeys(named))] if {"text", "label"} <= columns.keys() else frame
    try:
        content = kept.to_parquet(index=False, engine="pyarrow")
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"data: the data frame cannot be written: {reason_of(error)}") from error
    folder = files.cache() / "frames" / hashlib.sha256(content).hexdigest()[: files.DIGEST_LENGTH]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    if not path.exists():
        files.write(path, lambda file: file.write(content))
    return path
