"""The software that a result depends on: versions of packages, and the content of the files that run.

What a process has read it does not read again, because it goes on with the code that it has imported.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

CODE = ("conf", "models", "pipelines", "sweeps")  # the packages of this project
SUFFIXES = (".py", ".yaml", ".json", ".html")  # of the files that a command reads
INSTALLED = ("dist-packages", "site-packages")  # folders
SAME_AS = {"tensorflow": "tensorflow-cpu"}  # the same code, built for processors alone
DIGITS = 12  # of a file's SHA-256


def root() -> Path:
    """Return the folder with this project's packages."""
    return Path(__file__).resolve().parent.parent


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    installed = {"python": platform.python_version()}
    for package in packages:
        # Not this project, if it is run from a checkout that is not installed.
        if (version := _version(package) or _version(SAME_AS.get(package, ""))) is not None:
            installed[package] = version
    return installed


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):  # the latter for an empty name
        return None


def require(module: str) -> None:
    """Raise `ModuleNotFoundError`, without the time that importing a module takes, if it is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)


def code(functions: Iterable[str] = ()) -> dict[str, str]:
    """Return the files whose content decides what runs, and the first digits of their SHA-256.

    `functions` are dotted names. A module outside of this project belongs to the code too, with its package and all
    that lies in that, as one part of a package imports others, and with the modules beside it that these import. The
    files say what ran where git does not: outside of a checkout, in a wheel, in files that are not tracked.
    """
    files = dict(_of_this_project())
    for module in sorted({name.rpartition(".")[0] for name in functions} - {""}):
        files |= _of_module(module)
    return dict(sorted(files.items()))


def source_of(module: str) -> Path | None:
    """Return the file of a module without importing the packages that it lies in; None if there is none."""
    top, *names = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # an empty name, or a module that was not imported from a file
        return None
    for name in names:
        spec = spec and PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations or [])
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def _of_this_project() -> Mapping[str, str]:
    paths = (path for package in CODE for path in _below(root() / package))
    return _digests({path.relative_to(root()).as_posix(): path for path in paths})


@cache
def _of_module(module: str) -> Mapping[str, str]:
    path = source_of(module)
    if path is None:
        return {}
    top, *names = module.split(".")
    folder = path.parents[len(names) + (path.stem == "__init__")]
    return _digests({file.relative_to(folder).as_posix(): file for file in _with_neighbours(folder, top)})


def _with_neighbours(folder: Path, top: str) -> set[Path]:
    """Return the files of a module or package in a folder, and of those beside it that they import, one by another.

    Beside an installed package lies everything that is installed; of this project, all is recorded anyway.
    """
    files: set[Path] = set()
    names, seen = {top}, set[str]()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        package = folder / name
        new = {path for path in _below(package) if path.suffix == ".py"} if package.is_dir() else set()
        new |= {path for path in [folder / f"{name}.py"] if path.is_file() and not new}
        files |= new
        if folder != root() and folder.name not in INSTALLED:
            names |= {imported for path in new for imported in _imported(path)}
    return files


def _imported(path: Path) -> Iterator[str]:
    """Yield the top names of the modules that a file imports by their whole names."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, also where a link leads to them, as an import finds them there."""
    seen = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        if (place := os.path.realpath(path)) in seen:  # a link to a folder that it lies in
            folders.clear()
            continue
        seen.add(place)
        yield from (Path(path, name) for name in names)


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
        for name, path in files.items()
        if path.suffix in SUFFIXES and path.is_file()
    }
