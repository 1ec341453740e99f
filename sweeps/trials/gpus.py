"""Which NVIDIA GPUs trials can use here. Known without TensorFlow: how many workers start depends on it.

The environment decides for a worker when it first asks TensorFlow for a GPU, so `share` comes before that.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder for each GPU, once NVIDIA's driver is loaded
WINDOWS = Path("/dev/dxg")  # in Windows's Linux the driver is outside, and only its own tool can count
REMEDY = "TensorFlow's CUDA libraries are not installed: pip install '.[cuda]'; trials run on the processor"


class Gpus(NamedTuple):
    ids: tuple[str, ...]  # of those that trials use, as CUDA_VISIBLE_DEVICES calls them
    unused: str = ""  # why those that are visible are not used, and the remedy


def gpus() -> Gpus:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible, if TensorFlow can have what it needs for them."""
    visible = _visible(_installed(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if visible and not _libraries():
        return Gpus((), f"{len(visible)} GPU{'s' if len(visible) > 1 else ''} not used: {REMEDY}")
    return Gpus(visible)


def share(worker: int) -> None:
    """Have this process, the worker of that number, see one GPU only: the workers take them in turn."""
    if found := gpus().ids:
        os.environ["CUDA_VISIBLE_DEVICES"] = found[worker % len(found)]


def models() -> str:
    """Of the GPUs of this machine, each once, as NVIDIA's driver names them."""
    lines = [line for file in DRIVER.glob("*/information") for line in file.read_text().splitlines()]
    return ", ".join(sorted({line.partition(":")[2].strip() for line in lines if line.startswith("Model:")}))


def _installed() -> int:
    if not WINDOWS.exists():
        return sum(1 for _ in DRIVER.glob("*"))
    if (tool := shutil.which("nvidia-smi")) is None:
        return 0
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False).stdout
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def _visible(installed: int, told: str | None) -> tuple[str, ...]:
    """As CUDA reads the variable: numbers and UUIDs, up to the first that names no GPU; unset, all of them."""
    if told is None:
        return tuple(str(number) for number in range(installed))
    visible: list[str] = []
    for name in (part.strip() for part in told.split(",")):
        known = int(name) < installed if name.isdecimal() else name.startswith(("GPU-", "MIG-"))
        if not (installed and known):
            break
        visible.append(name)
    return tuple(visible)


def _libraries() -> bool:
    """cuDNN, of the extra `cuda` or of the system."""
    packaged = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cudnn")
    return packaged is not None or ctypes.util.find_library("cudnn") is not None
