"""The NVIDIA GPUs that trials can use on this machine, found without TensorFlow: the number of workers depends on it.

TensorFlow reads CUDA_VISIBLE_DEVICES when a process first asks it for a GPU, so `pin_worker` comes before that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sweeps.trials import cuda_libraries

DRIVER = Path("/proc/driver/nvidia/gpus")  # has a folder for each GPU once NVIDIA's driver is loaded
# On Windows's Linux the driver is outside, and only its own tool can count the GPUs.
WINDOWS = Path("/dev/dxg")
ON_PROCESSOR = "trials run on the processor"
REMEDY = "make install TENSORFLOW=cuda, or with pip the extra cuda instead of cpu"
NOT_OPENED = "TensorFlow opens none (is NVIDIA's driver recent enough for CUDA 12?)"
HIDING = ("", "-1", "none", "void", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that are to hide all GPUs
LISTING = 30  # seconds that NVIDIA's tool gets


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
    ids, variable = visible(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not ids and variable not in (None, *HIDING) and _installed():
        return Gpus((), f"CUDA_VISIBLE_DEVICES={variable} begins with no GPU of this machine; {ON_PROCESSOR}")
    if ids and (lacking := _lacking()):
        return _without(ids, f"{lacking}: {REMEDY}")
    return Gpus(ids)


def correct(opened: Sequence[int]) -> None:
    """Take in how many GPUs TensorFlow has opened in each worker; one that died of it is not among them."""
    ids, without = gpus().ids, sum(count == 0 for count in opened)
    if ids and without == len(opened):
        _found.append(_without(ids, NOT_OPENED))
    elif ids and without:
        where = f"in {without} of {len(opened)} workers"
        _found.append(Gpus(ids, f"TensorFlow opens no GPU {where}, which train on the processor"))


def disregard() -> None:
    """Count no GPU of this machine as used: trials run on others, and nobody needs a reason."""
    _found.append(Gpus(()))


def forget() -> None:
    """Forget what the workers of an earlier sweep have opened."""
    _found.clear()


# The GPUs as the workers have found them; the last one counts.
_found: list[Gpus] = []


def pin_worker(worker: int) -> None:
    """Make one GPU visible to this process, the worker with that number; the workers take the GPUs in turn."""
    if ids := visible():
        os.environ["CUDA_VISIBLE_DEVICES"] = ids[worker % len(ids)]


def hidden_from_workers() -> dict[str, str]:
    """Return the variables with which workers leave alone the GPUs that are not used, for a reason that was given."""
    found = gpus()
    return {"CUDA_VISIBLE_DEVICES": "-1"} if found.unused and not found.ids else {}


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


def visible() -> tuple[str, ...]:
    """Read CUDA_VISIBLE_DEVICES as CUDA does: numbers and UUIDs up to the first that names no GPU; unset, all GPUs.

    A GPU that is named twice counts once.
    """
    installed, variable = _installed(), os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = [str(number) for number in range(installed)]
    if variable is None:
        return tuple(numbers)
    ids: list[str] = []
    for name in (re.sub("^0+(?=[0-9])", "", part.strip()) for part in variable.split(",")):
        if not (name in numbers or (installed and name.startswith(("GPU-", "MIG-")))):
            break
        ids.append(name)
    return tuple(dict.fromkeys(ids))


def _without(ids: Sequence[str], reason: str) -> Gpus:
    return Gpus((), f"{len(ids)} GPU{'s' if len(ids) > 1 else ''} not used: {reason}; {ON_PROCESSOR}")


def _lacking() -> str:
    """Return what TensorFlow lacks for a GPU; empty if it has all."""
    try:
        metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        missing = cuda_libraries.missing()
    else:
        return "TensorFlow is installed for processors alone"
    if len(missing) == len(cuda_libraries.LIBRARIES):
        return "TensorFlow's CUDA libraries are not installed"
    return f"TensorFlow cannot open {', '.join(missing)}" if missing else ""
