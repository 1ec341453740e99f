"""Which MLflow store is meant, and a local one made so that several processes can use it."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.schema import ConfigError

SQLITE = "sqlite:///"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")


def uri(configured: str | None, last: str | None = None) -> str:
    """The configured store, else the environment's, else the one used `last`, else the local one.

    Raises `ConfigError` for what MLflow would take for a folder of files, which it no longer writes to.
    """
    found = configured or os.environ.get("MLFLOW_TRACKING_URI") or last or local()
    if re.split(r"[:+]", found)[0] not in SCHEMES or "://" not in found:
        raise ConfigError(
            f"tracking.uri={found}: must be sqlite:///path/to/mlflow.db, http(s)://host:port, "
            "or a database's postgresql://…, mysql://…, mssql://…"
        )
    if found.startswith(SQLITE):
        return f"{SQLITE}{database(found).resolve()}"
    return found


def local() -> str:
    """`mlflow.db` in this folder: what `mlflow ui` opens here without being told."""
    return f"{SQLITE}{Path('mlflow.db').resolve()}"


def server(uri: str) -> str:
    """Where a store is looked at in a browser: `python -m pipelines.ui` and `mlflow ui` show a database there."""
    return without_password(uri).rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"


def without_password(uri: str) -> str:
    """For the journal, which is shown to everybody who may see the runs."""
    return re.sub(r"//[^/@]*@", "//", uri)


def database(uri: str) -> Path:
    """The file of a SQLite store."""
    return Path(uri.removeprefix(SQLITE))


@contextmanager
def being_created(uri: str) -> Iterator[None]:
    """The block opens the store; one process at a time, as two that create or upgrade it at once leave it unusable.

    So does one that is killed while it creates it: MLflow makes some thirty tables, one by one, and does not take what
    is there for its own before all are. The lock says that somebody was about to, and who comes next starts anew.
    Afterwards a SQLite store is in WAL mode, which stays with the file: readers (the UI) do not wait for the writer.
    """
    if not uri.startswith(SQLITE):
        yield
        return
    path = database(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if lock.read():
            for part in ("", "-journal", "-wal", "-shm"):
                path.with_name(path.name + part).unlink(missing_ok=True)
        elif not path.exists():
            lock.write("being created")
            lock.flush()
        yield
        lock.truncate(0)
        connection = sqlite3.connect(path, timeout=20)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
