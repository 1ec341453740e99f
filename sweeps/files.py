"""Files that are never seen half-written, and arrays that are mapped from files."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGEST_LENGTH = 16  # hexadecimal digits
BLOCK = 2**24  # bytes of a mapped file that are in memory at once


def home() -> Path:
    """Return the user's home directory; raises `OSError` for a user that has none."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise OSError("HOME: it is not set, and this user has no home directory; set HOME") from error


def cache() -> Path:
    """Return the folder of everything that this project keeps in the user's cache; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "text-sweeps"


def write_text(path: Path, text: str) -> None:
    """Replace the file atomically: after a crash it holds either the old text or the new one."""
    write(path, lambda file: file.write(text.encode()))


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Replace the file atomically with what `fill` writes; nothing is left behind when `fill` raises.

    Of several processes that write the same file at once, one wins whole.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with unfinished.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)  # a full disk must not be kept full
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Flush the names in a directory to the disk; `fsync` of a file covers only its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of_arrays(arrays: Iterable[NDArray[Any]]) -> str:
    """Identify the content of arrays, independently of where and by which NumPy they were written."""
    import numpy as np

    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        if array.size:  # an empty array has no bytes that could be cast
            content = np.ascontiguousarray(array).data.cast("B")
            for start in range(0, len(content), BLOCK):
                digest.update(content[start : start + BLOCK])
                release(array)
    return digest.hexdigest()[:DIGEST_LENGTH]


def release(array: NDArray[Any]) -> None:
    """Give back the memory of an array that is mapped read-only; it is read from its file again when it is used.

    Otherwise a file counts as memory of every process that has read it, and a limit of a worker's memory would end it.
    """
    import numpy as np

    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and not array.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)
