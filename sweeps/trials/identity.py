"""The software that decides what a trial gives: a worker of a cluster must have the driver's own."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("keras", "numpy", "tensorflow")
OWN = "text-sweeps"
ROOT = Path(__file__).resolve().parents[2]
CODE = ("conf", "models", "pipelines/data", "sweeps/trials")  # all that a worker runs lies here


@cache
def identity() -> dict[str, str]:
    """Return the versions of Python and of the packages, and a digest of the code that trials run, models included."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "none"
    digest = hashlib.sha256()
    for file in sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py")):
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return {**versions, OWN: digest.hexdigest()[:8]}


def difference(own: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Say in a few words in what another process's identity differs; empty where it is the same."""
    differing = [f"{name} {other.get(name)} instead of {own[name]}" for name in own if own[name] != other.get(name)]
    return ", ".join(differing).replace(f"{OWN} ", "other code of this project: ")
