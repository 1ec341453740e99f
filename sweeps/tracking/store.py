"""The choice of the MLflow store, and the creation of a local one that several processes can use."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf import secrets
from conf.schema import ConfigError, check_address

SQLITE = "sqlite:///"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")


def uri(configured: str | None, last: str | None = None) -> str:
    """Return the configured store, or else the environment's, the one that was used `last`, or the local one.

    Raises `ConfigError` for an address that MLflow would take for a folder of files, which it no longer writes to.
    """
    address = configured or os.environ.get("MLFLOW_TRACKING_URI") or last or local()
    if re.split(r"[:+]", address)[0] not in SCHEMES or "://" not in address:
        raise ConfigError(
            f"tracking.uri={address}: must be sqlite:///path/to/mlflow.db, http(s)://host:port, "
            "or a database's postgresql://…, mysql://…, mssql://…"
        )
    if address.startswith(SQLITE):
        return f"{SQLITE}{database(address).resolve()}"
    check_address("tracking.uri", address)
    return secrets.completed(address)


def local() -> str:
    """Return the store that `mlflow ui` opens in this folder by default: its `mlflow.db`."""
    return f"{SQLITE}{Path('mlflow.db').resolve()}"


def server(uri: str) -> str:
    """Return the address that shows a store in a browser; `pipelines.ui` and `mlflow ui` serve a database there."""
    return without_password(uri).rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"


def without_password(uri: str) -> str:
    """Return an address that may be shown: everybody who may see the runs can read the journal."""
    return secrets.public(uri)


def database(uri: str) -> Path:
    """Return the file of a SQLite store."""
    return Path(uri.removeprefix(SQLITE))


@contextmanager
def being_created(uri: str) -> Iterator[None]:
    """Let one process at a time open the store in the block: two that create or upgrade it at once would break it.

    A process that is killed while it creates the store would break it too: MLflow makes some thirty tables, one by one,
    and refuses a database that has only some of them. The lock's text says that a creation has begun; whoever finds it
    deletes the unfinished store and starts anew. At the end a SQLite store is in WAL mode, which stays with the file:
    readers (MLflow's pages) do not wait for the writer.
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
