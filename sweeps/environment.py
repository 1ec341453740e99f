"""The environment of a result: versions, code and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sweeps.journal.events import Environment
from sweeps.trials import gpus

PACKAGES = ("keras", "keras-tuner", "mlflow", "numpy", "tensorflow", "text-sweeps")
# Those of TensorFlow's and its libraries' variables with which they compute in another order, or less exactly.
VARIABLES = (
    "DNNL_MAX_CPU_ISA",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_MAX_CPU_ISA",
    "TF_DISABLE_MKL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
LARGEST_DIFF = 1_000_000  # characters that a journal keeps


class Git(NamedTuple):
    """The state of a checkout."""

    commit: str
    dirty: bool
    diff: str = ""  # the changes of tracked files since the commit


def here() -> Environment:
    """Describe this process's environment, as a journal records it."""
    checkout = git()
    return Environment(
        versions=versions(),
        git_commit=checkout.commit if checkout else None,
        git_dirty=checkout.dirty if checkout else None,
        git_diff=checkout.diff if checkout else "",
        machine=machine(),
    )


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a trial's numbers depend on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return installed


def machine() -> dict[str, str]:
    """The properties of the machine on which the last digits of a trial's numbers depend."""
    properties = {"system": platform.platform(), "processor": _processor(), "cores": str(os.cpu_count())}
    properties |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return properties | ({"gpus": gpus.models() or "of unknown model"} if gpus.gpus().ids else {})


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


@cache
def git() -> Git | None:
    """The state of the checkout that this code runs from; None where it is not a checkout.

    It is read once, because the code that runs is the code that was there when the process began.
    """
    root = Path(__file__).resolve().parent.parent

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
        return answer.decode(errors="replace").strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != root:
            return None  # installed inside somebody else's checkout
        dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
        diff = ask("diff", "--no-color", "--no-ext-diff", "--binary", "HEAD")[:LARGEST_DIFF] + "\n" if dirty else ""
        return Git(ask("rev-parse", "HEAD"), dirty, diff)
    except (OSError, subprocess.SubprocessError):
        return None
