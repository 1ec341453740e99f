"""Failures of the store, in one line: those that last, which are the user's to mend, and those that may pass.

MLflow is not imported, which would take seconds: its errors are recognised by their codes.
"""

from __future__ import annotations

import errno
import re
import sqlite3
import ssl
import tempfile
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from conf.schema import ConfigError
from sweeps.errors import SweepError
from sweeps.tracking.store import without_password

CREDENTIALS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
SERVER = "give the address of one, such as http://host:5000"
OTHERWISE = "correct that, or name another store: tracking.uri=…"
# Answers of a server that it may not give the next time.
PASSING_STATUS = (408, 425, 429)
LASTING_CODES = {  # of MLflow
    "BAD_REQUEST",
    "CUSTOMER_UNAUTHORIZED",
    "ENDPOINT_NOT_FOUND",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
}
# What databases say to a connection or a statement that they will not accept the next time either.
LASTING_WORDS = re.compile(
    r"FATAL|no password supplied|permission denied|access denied|unknown database|login failed|cannot open database"
    r"|not a database|malformed|unable to open database|readonly database|invalid (dsn|connection|port)"
    r"|no such (table|column)|does not exist|does not support SSL|certificate",
    re.IGNORECASE,
)
NO_SUCH_HOST = re.compile("Name or service not known|nodename nor servname")  # of Linux and of macOS
FULL = "database or disk is full"  # SQLite's words
ENDLESS = re.compile(r"Exceeded \d+ redirects")
PASSING_WORDS = re.compile(r"starting up|shutting down|recovery|too many|remaining connection slots|locked|timeout")


class StoreAwayError(SweepError):
    """The store does not answer now; it may do so later."""


class StoreRefusesError(ConfigError):
    """The store will not answer otherwise before the user has changed something; the message names it."""


def of(uri: str, error: Exception) -> StoreAwayError | StoreRefusesError:
    """Return the failure that an error of a library means."""
    if isinstance(error, StoreAwayError | StoreRefusesError):
        return error
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full or FULL in str(error):
        words = error.strerror if isinstance(error, OSError) else FULL
        return StoreAwayError(
            f"{words}: there must be room for the files of {without_password(uri)}, and in the temporary folder "
            f"{tempfile.gettempdir()}"
        )
    reason = _lasting(error)
    if reason is not None:
        return refused(uri, reason)
    system = next((cause for cause in _chain(error) if isinstance(cause, OSError) and cause.strerror), None)
    if system is not None and system.filename:
        return StoreAwayError(f"{without_password(uri)} cannot be used: {system.filename}: {system.strerror}")
    plain = system.strerror if system is not None else None
    return StoreAwayError(f"{without_password(uri)} does not answer: {plain or first_line(error)}")


def of_status(uri: str, status: int) -> StoreAwayError | StoreRefusesError:
    """Return the failure that a server's HTTP status means."""
    if status >= 500 or status in PASSING_STATUS:
        return StoreAwayError(f"{without_password(uri)} does not answer: it has an error of its own, HTTP {status}")
    if status == 401:
        return refused(uri, f"the server takes no such user or password (HTTP 401); give them in {CREDENTIALS}")
    if status == 403:
        return refused(
            uri, f"the server forbids this to this user or this machine (HTTP 403); another user: {CREDENTIALS}"
        )
    return refused(uri, f"not a server of MLflow's, as it answers HTTP {status}; {SERVER}")


def of_page(uri: str) -> StoreRefusesError:
    """Return the failure of a server that answers with anything but MLflow's JSON."""
    return refused(uri, f"not a server of MLflow's, as it answers with something else; {SERVER}")


def refused(uri: str, reason: str) -> StoreRefusesError:
    return StoreRefusesError(f"tracking.uri={without_password(uri)}: {' '.join(reason.split())}")


def is_of_deleted_run(error: Exception) -> bool:
    """Return whether a run that the store had is not there any more, or went while it was written to."""
    from sqlalchemy.orm.exc import StaleDataError  # which MLflow has loaded, and a check of a database does not need

    if getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
        return True
    # A row of a run that has just gone, or its own. MLflow suspects another writer, tries again, and does not say more.
    return any(
        isinstance(cause, StaleDataError)
        or (isinstance(cause, IntegrityError) and "foreign key" in str(cause.orig).lower())
        for cause in _chain(error)
    )


def first_line(error: Exception) -> str:
    """Return what a library says, without its own prefixes and without the address, which may hold a password."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return without_password(re.sub(r"^\([\w.]+\) ", "", lines[0]))


def _lasting(error: Exception) -> str | None:
    """Return why the store will never answer otherwise, and what helps; None for anything that may pass."""
    chain = list(_chain(error))
    for cause in chain:
        if reason := _network_reason(cause):
            return reason
    for cause in chain:
        if isinstance(cause, SQLAlchemyError | sqlite3.Error):
            # SQLAlchemy may put a line of its own before the database's.
            original = cause.orig if isinstance(cause, DBAPIError) and isinstance(cause.orig, Exception) else cause
            text = str(original)
            lasting = LASTING_WORDS.search(text) and not PASSING_WORDS.search(text)
            return f"{first_line(original)}; {OTHERWISE}" if lasting else None
    if getattr(error, "error_code", None) in LASTING_CODES:
        return f"{first_line(error)}; {OTHERWISE}"
    return None


def _network_reason(cause: BaseException) -> str | None:
    if NO_SUCH_HOST.search(str(cause)):
        return "there is no such host; correct its name, or log to a file and bring the runs later by `sync`"
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak https; give its address with http://"
    if ENDLESS.search(str(cause)):
        return f"not a server of MLflow's, as it sends one from page to page; {SERVER}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not valid here: {cause.verify_message}; "
            "MLFLOW_TRACKING_SERVER_CERT_PATH names a file with the authority's"
        )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
