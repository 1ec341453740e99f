"""The environment of a result: versions, code and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from conf import secrets
from sweeps import software
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
    dirty: bool  # whether a tracked file was changed, or the code has a file that is not tracked
    diff: str = ""  # the changes of the code's tracked files since the commit, without passwords


def here(functions: tuple[str, ...] = ()) -> Environment:
    """Describe this process's environment, as a journal records it.

    `functions` are the dotted names in the configuration; a module outside of this project belongs to the code too.
    """
    files = software.code(functions)
    checkout = git(tuple(files))
    return Environment(
        versions=versions(),
        git_commit=checkout.commit if checkout else None,
        git_dirty=checkout.dirty if checkout else None,
        git_diff=checkout.diff if checkout else "",
        machine=machine(),
        code=files,
    )


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a trial's numbers depend on."""
    return software.versions(PACKAGES)


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
def git(files: tuple[str, ...] = ()) -> Git | None:
    """The state of the checkout that this code runs from, with its `files`; None where git knows no commit of it.

    It is read once, because the code that runs is the code that was there when the process began.
    """
    root = software.root()

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
        return answer.decode(errors="replace").strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != root:
            return None  # installed inside somebody else's checkout
        changed = bool(ask("status", "--porcelain", "--untracked-files=no"))
        tracked = set(ask("ls-files", "-z").split("\0"))
        is_new = any(name not in tracked and (root / name).is_file() for name in files)
        diff = (
            ask("diff", "--no-color", "--no-ext-diff", "--binary", "HEAD", "--", *software.CODE, *files)
            if changed
            else ""
        )
        diff = diff[:LARGEST_DIFF] + "\n" if diff else ""
        return Git(ask("rev-parse", "HEAD"), changed or is_new, secrets.hidden(diff))
    except (OSError, subprocess.SubprocessError):
        return None
