"""The tables of texts that `data=` names by their paths: `data=reviews.csv` is the dataset `reviews`."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from conf.arguments import quoted
from conf.schema import ConfigError, did_you_mean

COLUMNS = re.compile(r"^(datasets\.[^.=]+\.text)(?:\.columns)?=(?!\{)")


def expanded(overrides: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the overrides of one job with a dataset in the place of each path that `data=` names.

    `options` are the datasets that have a file of configuration. Raises `ConfigError` for two paths of one name.
    """
    lines: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        values = _listed(value)
        paths = [each for each in values if _is_path(each, options)]
        if key == "data" and paths:
            named = [each for each in values if each not in paths]
            lines += [f"data=[{','.join(named)}]", *_datasets(paths, {*named})]
        else:
            lines.append(_with_columns(override))
    return lines


def refuse_missing(arguments: Sequence[str]) -> None:
    """Raise `ConfigError`, in the words of the command line, for a path on this machine at which there is nothing."""
    values = [each for argument in arguments if argument.startswith("data=") for each in _listed(argument[5:])]
    for path in (value for value in values if _is_path(value, ()) and "://" not in value):
        place = Path(absolute(path))
        if os.path.lexists(place) or glob.glob(str(place), recursive=True):
            continue
        if glob.has_magic(path):
            raise ConfigError(f"data={path}: no file matches")
        near = did_you_mean(place.name, glob.glob("*", root_dir=place.parent))
        raise ConfigError(f"data={path}: no such file or folder{near}")


def _listed(value: str) -> list[str]:
    """Return the values of `data=`: one, or those between brackets or commas."""
    return [each.strip().strip("'\"") for each in value.removeprefix("[").removesuffix("]").split(",")]


def absolute(path: str) -> str:
    """Return the path from the root, because a sweep may be resumed in another folder; an address stays as it is."""
    return path if "://" in path else str(Path(os.path.expanduser(path)).absolute())


def _is_path(value: str, options: Sequence[str]) -> bool:
    return bool(value) and value not in options and (bool(re.search(r"[./\\*]", value)) or os.path.exists(value))


def _datasets(paths: Sequence[str], taken: set[str]) -> list[str]:
    lines = []
    for path in paths:
        name = _name(path)
        if name in taken:
            raise ConfigError(f"data={path}: there is another dataset named {name}; rename the file")
        taken.add(name)
        lines += [f"+table@datasets.{name}=texts", f"datasets.{name}.files=[{quoted(absolute(path))}]"]
    return lines


def _name(path: str) -> str:
    """Return the name of a path's dataset, of Latin letters, digits, - and _, as Hydra's keys have them."""
    parts = [part.partition(".")[0] for part in Path(path).parts if not re.search(r"[*?\[]", part)]
    for part in reversed(parts):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", part).strip("_")
        if re.match("[A-Za-z]", name):
            return name
        if any(letter.isalpha() for letter in part):  # of another script: files of other names are other datasets
            return f"table_{hashlib.sha256(part.encode()).hexdigest()[:4]}"
    return "table"


def _with_columns(override: str) -> str:
    """Let `text=review` name a column, although `text` has other keys, and `text.columns=review`, which is a list."""
    columns = COLUMNS.match(override)
    if columns is None:
        return override
    value = override[columns.end() :]
    if value[:1] not in ("[", "'", '"', "$"):
        value = quoted(value)
    return f"{columns[1]}.columns={value if value.startswith('[') else f'[{value}]'}"
