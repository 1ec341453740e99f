"""The file of a SQLite store: a process that has it open goes on writing into it after it was removed or replaced."""

from __future__ import annotations

import os
from pathlib import Path

from sweeps.tracking import store

# Device and inode by path. Of the whole process, as MLflow keeps its connections for all clients of the process.
_opened: dict[Path, tuple[int, int] | None] = {}


class ReplacedError(OSError):
    """The file that this process has open is no longer the store."""


def remember(uri: str) -> None:
    """Take the file as it is for the one that this process has open, if it has none of this name yet."""
    if store.is_sqlite(uri):
        path = store.database(uri)
        _opened.setdefault(path, _identity(path))


def check(uri: str) -> None:
    """Raise `ReplacedError` if the file that this process has open as that store was removed or replaced."""
    path = store.database(uri)
    if path in _opened and (_opened[path] != _identity(path) or _holds_removed(path)):
        raise ReplacedError(f"{uri} was removed or replaced while this command ran")


def _holds_removed(path: Path) -> bool:
    """Whether this process writes to a log of the database that has no name any more, as far as /proc tells.

    Somebody who takes the log for a file that was left behind removes all that was not yet copied into the database.
    """
    removed = {f"{path.resolve()}{suffix} (deleted)" for suffix in ("-wal", "-shm")}
    return any(_target(descriptor) in removed for descriptor in Path("/proc/self/fd").glob("*"))


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed by now
        return ""


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
