"""What a result depends on besides its configuration: versions, code, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("keras", "keras-tuner", "mlflow", "numpy", "tensorflow", "text-sweeps")


class Git(NamedTuple):
    commit: str
    dirty: bool


def versions() -> dict[str, str]:
    """Of Python and of the packages that a trial's numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def git() -> Git | None:
    """The state of the checkout that this code runs from; None where it is not one."""
    here = Path(__file__).resolve().parent.parent

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != here:
            return None  # installed inside somebody else's checkout
        return Git(ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return None
