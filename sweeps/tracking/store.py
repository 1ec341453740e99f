"""The address of the MLflow store: its choice, and the form in which a path becomes one."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from conf import secrets
from conf.schema import ConfigError, check_address
from sweeps import invocation

SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")
SQLITE = re.compile(r"sqlite(\+\w+)?:///")
# SQLAlchemy takes what follows a ? for options, and decodes %25.
ENCODED = re.compile(r"[%?#\x00-\x1f\x7f-\x9f]")


def uri(configured: str | None, last: str | None = None) -> str:
    """Return the configured store, or else the environment's, the one that was used `last`, or the local one.

    Raises `ConfigError` for an address that MLflow would take for a folder of files, which it no longer writes to, or
    for another database than the one that is meant.
    """
    address = configured or os.environ.get("MLFLOW_TRACKING_URI") or last or local()
    scheme = re.split(r"[:+]", address)[0]
    if scheme not in SCHEMES or "://" not in address or (scheme == "sqlite" and not SQLITE.match(address)):
        raise ConfigError(
            f"tracking.uri={without_password(address)}: must be sqlite:///path/to/mlflow.db, http(s)://host:port, "
            "or a database's postgresql://…, mysql://…, mssql://…"
        )
    if scheme.startswith("http"):
        _check_http(address)
    if not is_sqlite(address):
        check_address("tracking.uri", address)
        return secrets.completed(address)
    path = SQLITE.sub("", address)
    if path in ("", ":memory:"):
        raise ConfigError(
            f"tracking.uri={address}: names no file, so nothing would be kept; sqlite:///path/to/mlflow.db"
        )
    if "?" in path:
        raise ConfigError(
            f"tracking.uri={address}: what follows a ? would be options, and not the path; if the path has a ?, write "
            f"{of_file(Path(path).resolve())}"
        )
    return of_file(database(address).resolve())


def _check_http(address: str) -> None:
    try:
        parts = urlsplit(address)
        if parts.hostname and parts.port != 0 and not re.search(r"\s", address):
            return
    except ValueError:
        pass
    raise ConfigError(f"tracking.uri={without_password(address)}: must be http(s)://host:port, without blanks")


def local() -> str:
    """Return the store that `mlflow ui` opens in this folder by default: its `mlflow.db`."""
    return of_file(Path("mlflow.db").resolve())


def is_sqlite(uri: str) -> bool:
    return SQLITE.match(uri) is not None


def of_file(path: Path) -> str:
    """Return the address of a SQLite store; the inverse of `database`."""
    encoded = ENCODED.sub(lambda match: quote(match[0]), str(path))
    # MLflow makes the folders in an address that begins with sqlite:///, and does not decode their names.
    return f"{'sqlite' if encoded == str(path) else 'sqlite+pysqlite'}:///{encoded}"


def database(uri: str) -> Path:
    """Return the file of a SQLite store."""
    return Path(unquote(SQLITE.sub("", uri)))


def server(uri: str) -> str:
    """Return the address that shows a store in a browser; `pipelines.ui` and `mlflow ui` serve a database there."""
    return without_password(uri).rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"


def ui_command(uri: str, *, anywhere: bool = False) -> str:
    """Return the command that shows a store in a browser, in this folder or `anywhere`; empty if a server does."""
    if uri.startswith("http"):
        return ""
    command = invocation.command("ui")
    return (
        command
        if uri == local() and not anywhere
        else f"{command} {shlex.quote(f'tracking.uri={without_password(uri)}')}"
    )


def without_password(uri: str) -> str:
    """Return an address that may be shown: everybody who may see the runs can read the journal."""
    return secrets.public(uri)
