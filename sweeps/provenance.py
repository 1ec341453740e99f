"""What a result depends on besides its configuration: versions, code, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sweeps import devices

PACKAGES = ("keras", "keras-tuner", "mlflow", "numpy", "tensorflow", "text-sweeps")


LARGEST_DIFF = 1_000_000  # characters that a journal keeps


class Git(NamedTuple):
    commit: str
    dirty: bool
    diff: str = ""  # of tracked files to the commit


def versions() -> dict[str, str]:
    """Of Python and of the packages that a trial's numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def machine() -> dict[str, str]:
    """What the last digits of a trial's numbers depend on besides the versions."""
    found = {"system": platform.platform(), "processor": _processor(), "cores": str(os.cpu_count())}
    return found | ({"gpus": devices.models() or "of unknown model"} if devices.gpus().ids else {})


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def git() -> Git | None:
    """The state of the checkout that this code runs from; None where it is not one."""
    here = Path(__file__).resolve().parent.parent

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return (
            subprocess.run(command, capture_output=True, check=True, timeout=10).stdout.decode(errors="replace").strip()
        )

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != here:
            return None  # installed inside somebody else's checkout
        dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
        diff = ask("diff", "--no-color", "--no-ext-diff", "--binary", "HEAD")[:LARGEST_DIFF] + "\n" if dirty else ""
        return Git(ask("rev-parse", "HEAD"), dirty, diff)
    except (OSError, subprocess.SubprocessError):
        return None
