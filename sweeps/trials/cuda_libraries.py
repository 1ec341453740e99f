"""The CUDA libraries that TensorFlow 2.21 opens before it takes a GPU. If it cannot open one of them, it takes none.

It looks for them as the system's loader does, and in the folders of NVIDIA's packages except cuSOLVER's: with all that
its extra `and-cuda` installs it finds no GPU, and does not say what it lacks. What a process has opened before, it
finds by its name, wherever that lies.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

# Exact name -> folder in NVIDIA's packages; each may need those before it. The same packages of another CUDA, which
# PyTorch and JAX bring, have other names, and TensorFlow has no use for them.
LIBRARIES = {
    "libcudart.so.12": "cuda_runtime",
    "libcublasLt.so.12": "cublas",
    "libcublas.so.12": "cublas",
    "libcufft.so.11": "cufft",
    "libcusparse.so.12": "cusparse",
    "libcusolver.so.11": "cusolver",
    "libcudnn.so.9": "cudnn",
}
# Opens each library that is named, and prints its place in the list, at once, as the next one may end the process.
TRIAL = """
import ctypes, sys
for place, library in enumerate(sys.argv[1:]):
    try:
        ctypes.CDLL(library)
    except OSError:
        continue
    print(place, flush=True)
"""
LIMIT = 60  # seconds that they get to open


def open_all() -> None:
    """Open those that are here, before TensorFlow looks for them."""
    for library in _places():
        with suppress(OSError):
            ctypes.CDLL(library)


@cache
def missing() -> tuple[str, ...]:
    """Return the names of those that cannot be opened. A process of its own tries it: they take 0.2 GB of memory.

    Where that process cannot be had, none is known to be missing, and the workers see for themselves.
    """
    command = [sys.executable, "-I", "-S", "-c", TRIAL, *_places()]
    try:
        output = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    opened = output.splitlines()  # a library may print, too
    return tuple(name for place, name in enumerate(LIBRARIES) if str(place).encode() not in opened)


def _places() -> list[str]:
    """Return the file of each library; its name alone where only the system's loader may know one."""
    named = [folder for folder in re.split("[:;]", os.environ.get("LD_LIBRARY_PATH", "")) if folder]
    places = []
    for name, folder in LIBRARIES.items():
        files = [Path(each, name) for each in named]
        files += [Path(each, "nvidia", folder, "lib", name) for each in sys.path]
        places.append(next((str(file) for file in files if file.exists()), name))
    return places
