"""Which MLflow store is meant, and a local one made so that several processes can use it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SQLITE = "sqlite:///"


def uri(configured: str | None) -> str:
    """The configured store, else the environment's, else the local one."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or local()


def local() -> str:
    """`mlflow.db` in this folder: what `mlflow ui` opens here without being told."""
    return f"{SQLITE}{Path('mlflow.db').resolve()}"


def database(uri: str) -> Path:
    """The file of a SQLite store."""
    return Path(uri.removeprefix(SQLITE))


@contextmanager
def being_created(uri: str) -> Iterator[None]:
    """The block opens the store; one process at a time, as two that create or upgrade it at once leave it unusable.

    Afterwards a SQLite store is in WAL mode, which stays with the file: readers (the UI) do not wait for the writer.
    """
    if not uri.startswith(SQLITE):
        yield
        return
    path = database(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        connection = sqlite3.connect(path, timeout=20)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
