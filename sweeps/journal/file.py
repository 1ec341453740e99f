"""The journal on disk: one JSON object a line.

Started and ended events are on disk before anyone acts on them, so a process may die at any instant: at worst the last
line is half-written, and is ignored. A resumed sweep reads the journal and goes on writing at its end.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from conf.schema import NETWORK
from sweeps.errors import SweepError
from sweeps.files import sync_directory
from sweeps.journal.events import (
    EpochEnded,
    Event,
    LaterFormatError,
    ReferenceEnded,
    SweepStarted,
    TrialEnded,
    TrialStarted,
    from_entry,
    to_entry,
)
from sweeps.journal.record import SweepRecord, TrialRecord

FILE = "journal.jsonl"
LOCK = "lock"
BEGINNING = b'{"event": "sweep_started"'
OWNER = re.compile(r"process (\d+) on (\S*)")  # the beginning of a lock
LONGEST_OWNER = 200  # characters that are read of it


class JournalError(SweepError):
    """The journal cannot be written or read; the message names file and line."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory of sweeps for this process.

    Raises `JournalError` while another process holds it, and for a file of another program that has the lock's name.
    """
    path = directory / LOCK
    with path.open("a+", errors="replace") as lock:
        lock.seek(0)
        owner = lock.read(LONGEST_OWNER).strip()
        if owner and not OWNER.match(owner):
            raise JournalError(f"{path}: not the lock of a sweep; move it away")
        if not _taken(lock):
            raise JournalError(f"{directory} is in use by {owner or 'another process'}")
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def _taken(lock: IO[str]) -> bool:
    """Take a lock, unless another process has it for longer than `in_use` does to see whether it is free."""
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def in_use(directory: Path) -> bool:
    """Say whether a process holds a directory, which is not held for a moment here unless its owner seems to live."""
    try:
        with (directory / LOCK).open("rb") as lock:
            owner = OWNER.match(lock.read(LONGEST_OWNER).decode(errors="replace"))
            if owner is None or (owner[2] == socket.gethostname() and not psutil.pid_exists(int(owner[1]))):
                return False
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, OverflowError):  # it has none, or nobody may look
        pass
    return False


class Journal:
    """Appends events to the journal in a sweep's directory, after its last whole line."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE
        # Unbuffered: text that could not be written must not follow later, behind a half-written line.
        self._file = self._path.open("a+b", buffering=0)
        self._file.seek(0)
        written = self._file.read()
        if not (written.startswith(BEGINNING) or BEGINNING.startswith(written)):
            self.close()
            raise JournalError(f"{self._path}: not the journal of a sweep; move it away")
        self._file.truncate(written.rfind(b"\n") + 1)
        sync_directory(directory)  # otherwise a power cut could lose the file itself

    def append(self, event: Event) -> None:
        """Write one line; every event but an epoch's is flushed to the disk before this returns."""
        line = json.dumps(to_entry(event), allow_nan=False).encode() + b"\n"
        self.check_is_there()
        while line:
            line = line[self._file.write(line) :]
        if not isinstance(event, EpochEnded):
            os.fsync(self._file.fileno())

    def check_is_there(self) -> None:
        """Raise `JournalError` if the file was taken away: what is written into it would be lost, or elsewhere."""
        try:
            is_there = os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        if not is_there:
            raise JournalError(f"{self._path} was removed, moved or replaced while the sweep ran")

    def close(self) -> None:
        self._file.close()


class Follower:
    """Reads a journal as it grows: each line once, however often it is asked.

    `record` has all events so far; None before the first.
    """

    def __init__(self, directory: Path) -> None:
        self.record: SweepRecord | None = None
        self._directory = directory
        self._path = directory / FILE
        self._read = 0  # bytes
        self._lines = 0

    def events(self) -> Iterator[Event]:
        """Yield the events that no call has yielded so far; none where no journal was begun.

        A half-written last line is left for a later call. Raises `JournalError` for a damaged line, and for one that a
        later version of this project wrote.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                event = self._take_in(line)
                self._read += len(line)
                self._lines += 1
                yield event

    def _take_in(self, line: bytes) -> Event:
        place = f"{self._path}, line {self._lines + 1}"
        try:
            event = from_entry(json.loads(line))
            self.record = _follow(self.record, event, self._directory)
        except LaterFormatError as error:
            raise JournalError(f"{place}: written by a later version of text-sweeps: {error}") from error
        except (ValueError, RecursionError) as error:
            raise JournalError(f"{place} is damaged: {error}") from error
        return event


def read(directory: Path) -> list[Event]:
    """Return every event of a journal, the `SweepStarted` first; an empty list where no journal was begun.

    A half-written last line is ignored. Raises `JournalError` as `Follower.events` does.
    """
    return list(Follower(directory).events())


def _follow(record: SweepRecord | None, event: Event, directory: Path) -> SweepRecord:
    """Return the record with the next event; raises `ValueError` for one that does not follow from those before."""
    if record is None:
        if not isinstance(event, SweepStarted):
            raise ValueError(f"a journal begins with {SweepStarted.event}")
        return SweepRecord(directory, event)
    if isinstance(event, TrialStarted):
        _check_names(event, record)
    if isinstance(event, EpochEnded | TrialEnded):
        trial = record.trials.get(event.trial)
        if trial is None:
            raise ValueError(f"trial {event.trial} has not started")
        if isinstance(event, EpochEnded) and event.epoch != trial.epochs_run + 1:
            raise ValueError(f"epoch {event.epoch} of trial {event.trial} follows epoch {trial.epochs_run}")
    if isinstance(event, ReferenceEnded):
        _check_reference(event)
    if isinstance(event, TrialEnded):
        _check_end(event, record.trials[event.trial])
    record.add(event)
    return record


def _check_names(event: TrialStarted, record: SweepRecord) -> None:
    """Raise `ValueError` unless a trial has the hyperparameters of those before it that have the same network."""
    network = event.values.get(NETWORK)
    alike = (trial.values for trial in record.trials.values() if trial.values.get(NETWORK) == network)
    searched = next(alike, event.values).keys()
    if event.values.keys() != searched:
        raise ValueError(f"trial {event.trial} has other hyperparameters than the first one: {', '.join(searched)}")


def _check_reference(event: ReferenceEnded) -> None:
    if not event.name.isidentifier():  # a file has its name
        raise ValueError(f"name is {event.name!r}")
    if event.status not in ("completed", "failed"):
        raise ValueError(f"status is {event.status!r}")
    for part, needed in ((event.scores, "test/accuracy"), (event.cost, "seconds"), (event.cost, "documents")):
        if event.completed and needed not in part:
            raise ValueError(f"{event.name} is completed and has no {needed}")


def _check_end(event: TrialEnded, trial: TrialRecord) -> None:
    if event.status not in ("completed", "failed"):
        raise ValueError(f"status is {event.status!r}")
    if event.status == "completed":
        if event.objective is None or event.best_epoch is None:
            raise ValueError(f"trial {event.trial} is completed and has no objective or no best epoch")
        if not 1 <= event.best_epoch <= trial.epochs_run:
            raise ValueError(f"best_epoch is {event.best_epoch}, and trial {event.trial} ran {trial.epochs_run}")
    for cell in event.confusion:
        if len(cell) != 3 or min(cell) < 0:
            raise ValueError(f"confusion has {cell}, which is no label, answer and count")
