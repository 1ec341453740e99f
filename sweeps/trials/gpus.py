"""The NVIDIA GPUs that trials can use on this machine, found without TensorFlow: the number of workers depends on it.

TensorFlow reads CUDA_VISIBLE_DEVICES when a process first asks it for a GPU, so `pin_worker` comes before that.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DRIVER = Path("/proc/driver/nvidia/gpus")  # has a folder for each GPU once NVIDIA's driver is loaded
# On Windows's Linux the driver is outside, and only its own tool can count the GPUs.
WINDOWS = Path("/dev/dxg")
ON_PROCESSOR = "trials run on the processor"
REMEDY = f"TensorFlow's CUDA libraries are not installed: make install TENSORFLOW=cuda; {ON_PROCESSOR}"
HIDING = ("", "-1", "none", "void", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that are to hide all GPUs
LISTING = 30  # seconds that NVIDIA's tool gets

DRIVER_HINT = "is the driver recent enough for TensorFlow's CUDA, and are all of its CUDA libraries there?"


class Gpus(NamedTuple):
    """The GPUs that trials use, and the reason why others are left unused."""

    ids: tuple[str, ...]  # in the form of CUDA_VISIBLE_DEVICES
    unused: str = ""  # why the visible ones are not used, and the remedy


def gpus() -> Gpus:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves visible, if TensorFlow has the libraries that it needs.

    Once workers have said whether TensorFlow opens them, it is these that were opened.
    """
    if _found:
        return _found[-1]
    installed, variable = _installed(), os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = _visible(installed, variable)
    if installed and not visible and variable not in HIDING:
        return Gpus((), f"CUDA_VISIBLE_DEVICES={variable} begins with no GPU of this machine; {ON_PROCESSOR}")
    if visible and not _libraries():
        return Gpus((), f"{len(visible)} GPU{'s' if len(visible) > 1 else ''} not used: {REMEDY}")
    return Gpus(visible)


def correct(opened: Sequence[int]) -> None:
    """Take in how many GPUs TensorFlow has opened in each worker of this machine: it may fail to open one.

    Without workers on this machine none of its GPUs is used, and nobody needs a reason.
    """
    expected, without = gpus(), sum(count == 0 for count in opened)
    if not opened or not expected.ids:
        _found.append(Gpus(()) if not opened else expected)
    elif without:
        where = f"in {without} of {len(opened)} workers"
        unused = f"TensorFlow opens no GPU {where}, which train on the processor: {DRIVER_HINT}"
        _found.append(Gpus(() if without == len(opened) else expected.ids, unused))


def forget() -> None:
    """Forget what the workers of an earlier sweep have opened."""
    _found.clear()


# The GPUs as the workers have found them; the last one counts.
_found: list[Gpus] = []


def pin_worker(worker: int) -> None:
    """Make one GPU visible to this process, the worker with that number; the workers take the GPUs in turn."""
    if ids := gpus().ids:
        os.environ["CUDA_VISIBLE_DEVICES"] = ids[worker % len(ids)]


def models() -> str:
    """Return the different GPU models of this machine by the names that NVIDIA's driver gives them."""
    lines = [line for file in DRIVER.glob("*/information") for line in file.read_text().splitlines()]
    return ", ".join(sorted({line.partition(":")[2].strip() for line in lines if line.startswith("Model:")}))


def _installed() -> int:
    if not WINDOWS.exists():
        return sum(1 for _ in DRIVER.glob("*"))
    if (tool := shutil.which("nvidia-smi")) is None:
        return 0
    try:
        listing = subprocess.run([tool, "-L"], capture_output=True, check=False, timeout=LISTING).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith(b"GPU ") for line in listing.splitlines())


def _visible(installed: int, variable: str | None) -> tuple[str, ...]:
    """Read CUDA_VISIBLE_DEVICES as CUDA does: numbers and UUIDs up to the first that names no GPU; unset, all GPUs.

    A GPU that is named twice counts once.
    """
    numbers = [str(number) for number in range(installed)]
    if variable is None:
        return tuple(numbers)
    visible: list[str] = []
    for name in (re.sub("^0+(?=[0-9])", "", part.strip()) for part in variable.split(",")):
        if not (name in numbers or (installed and name.startswith(("GPU-", "MIG-")))):
            break
        visible.append(name)
    return tuple(dict.fromkeys(visible))


def _libraries() -> bool:
    """Whether cuDNN is there, from the extra `cuda` or from the system."""
    packaged = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cudnn")
    return packaged is not None or ctypes.util.find_library("cudnn") is not None
