"""The mishaps that can befall a sweep while it runs."""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from sweeps.tracking import creation, store
from tests.chaos import clock
from tests.chaos.cases import Case
from tests.chaos.processes import Process, result

EMPTY = "empty.db"

Strike = Callable[[Process], None]

# These end the process. SIGKILL does so at once.
SIGNALS = {
    "killed": signal.SIGKILL,
    "hung up": signal.SIGHUP,
    "terminated": signal.SIGTERM,
    "interrupted": signal.SIGINT,
    "renamed": signal.SIGKILL,  # and the sweep's folder has another name afterwards
}
OF_STORE = ("store removed", "store replaced", "store emptied")
OF_QUICK = (*SIGNALS, *OF_STORE, "unread", "clock set")


def ends(kind: str) -> bool:
    return kind in SIGNALS


def strikes(case: Case) -> Mapping[str, Strike]:
    """Return what can be done to a case's processes here, by name."""
    own_store: Mapping[str, Strike] = {
        "store removed": lambda _: _remove(case.store),
        "store replaced": lambda _: _replace(case),
        "store emptied": lambda _: _empty(case),
    }
    return {
        **{kind: partial(_send, number=number) for kind, number in SIGNALS.items()},
        "unread": Process.stop_reading,
        "clock set": _set_clock,
        **(own_store if case.mishap in OF_STORE else {}),
    }


def prepare(folder: Path) -> None:
    """Make the empty store that takes the place of others, in the folder that holds all cases'."""
    result(lambda: str(creation.ensure(store.of_file(folder / EMPTY))))


def _send(process: Process, number: int) -> None:
    process.send(number)


def _set_clock(process: Process) -> None:
    forward = clock.is_right() and random.random() < 0.5
    clock.set_by(clock.HOURS if forward else -clock.HOURS)  # for the processes to come
    process.send(signal.SIGUSR1 if forward else signal.SIGUSR2)


def _remove(uri: str) -> None:
    for part in creation.PARTS:
        path = store.database(uri)
        path.with_name(path.name + part).unlink(missing_ok=True)


def _replace(case: Case) -> None:
    path = store.database(case.store)
    copy = path.with_name("new.db")
    copy.write_bytes((case.folder.parent / EMPTY).read_bytes())
    _remove(case.store)
    copy.rename(path)


def _empty(case: Case) -> None:
    """Take everything out of the same file."""
    path = store.database(case.store)
    if path.exists():
        empty, full = sqlite3.connect(case.folder.parent / EMPTY), sqlite3.connect(path, timeout=20)
        with closing(empty), closing(full):
            empty.backup(full)
