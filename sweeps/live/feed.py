"""Answers to the live page: the sweeps that there are, and what is new in one of them."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sweeps import journal
from sweeps.journal import Event, SweepEnded, SweepStarted, endings
from sweeps.journal.events import from_entry
from sweeps.live import status
from sweeps.live.view import View
from sweeps.report import page_file

LISTED = 30  # sweeps, the newest ones
VIEWS = 8  # journals that are kept in memory, those that were asked for last
ENDING = 4096  # bytes at the end of a journal, in which a `sweep_ended` has room


class Listed(NamedTuple):
    """A sweep in the list."""

    key: str
    directory: Path
    title: str
    name: str
    began: float
    changed: float  # when its journal was last written to
    state: str

    @property
    def entry(self) -> dict[str, Any]:
        has_report = self.state != endings.RUNNING and page_file.is_ours(self.directory / page_file.FILE)
        return {**self._asdict(), "directory": str(self.directory), "report": has_report}


class Feed:
    """Answers what the page asks.

    `find` returns the directories of the sweeps, each with a journal. A page that has chosen none is shown the newest
    that runs, or else the newest whose journal was written to after `since`.
    """

    def __init__(self, find: Callable[[], Iterable[Path]], since: float = 0.0) -> None:
        self.asked = 0.0  # when a page has asked last
        self._find, self._since = find, since
        self._views: dict[str, View] = {}
        self._ends: dict[Path, tuple[tuple[int, ...], SweepStarted | None, SweepEnded | None]] = {}
        self._lock = threading.Lock()

    def answer(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the list, and of the chosen sweep what is new to a page.

        The query has `sweep`, its key, and `view` and `events` as the last answer had them.
        """
        with self._lock:
            self.asked = time.monotonic()
            listed = self._list()
            chosen = self._chosen(listed, query.get("sweep", ""))
            shown = None
            if chosen is not None:
                view = self._view(chosen)
                view.advance()
                events = query.get("events", "")
                since = int(events) if events.isdecimal() and len(events) < 10 else 0
                shown = {"key": chosen.key} | view.changes(query.get("view", ""), since, chosen.state)
            newest = [each.entry for each in listed[:LISTED]]
            return {"sweeps": newest, "older": len(listed) - len(newest), "sweep": shown}

    def report(self, key: str) -> bytes | None:
        """Return the page that this project wrote into the directory of a sweep; None where there is none."""
        with self._lock:
            paths = [each.directory / page_file.FILE for each in self._list() if each.key == key]
        return next((path.read_bytes() for path in paths if page_file.is_ours(path)), None)

    def _chosen(self, listed: list[Listed], key: str) -> Listed | None:
        if key:
            return next((each for each in listed if each.key == key), None)
        recent = [each for each in listed if each.changed >= self._since]
        return next((each for each in recent if each.state == endings.RUNNING), recent[0] if recent else None)

    def _view(self, chosen: Listed) -> View:
        view = self._views.pop(chosen.key, None)
        if view is None or view.is_stale:
            view = View(chosen.directory)
        self._views[chosen.key] = view
        while len(self._views) > VIEWS:
            del self._views[next(iter(self._views))]
        return view

    def _list(self) -> list[Listed]:
        listed = (self._listed(directory) for directory in set(self._find()))
        return sorted((each for each in listed if each), key=lambda each: (each.began, each.name), reverse=True)

    def _listed(self, directory: Path) -> Listed | None:
        """Describe a sweep by the ends of its journal; None where not even its first line can be read."""
        path = directory / journal.FILE
        try:
            file = path.stat()
            version = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)
            if path not in self._ends or self._ends[path][0] != version:
                self._ends[path] = version, _beginning(path), _end(path)
        except OSError:
            return None
        _, started, ended = self._ends[path]
        if started is None:
            return None
        held = ended is None and journal.in_use(directory.parent)
        state = endings.state(ended.status if ended else None, running=held)
        key = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
        return Listed(key, directory, status.title(started), started.sweep, started.time, file.st_mtime, state)


def _beginning(path: Path) -> SweepStarted | None:
    with path.open("rb") as file:
        event = _event(file.readline())
    return event if isinstance(event, SweepStarted) else None


def _end(path: Path) -> SweepEnded | None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - ENDING))
        last = file.read().split(b"\n")[-2:-1]
    event = _event(last[0]) if last else None
    return event if isinstance(event, SweepEnded) else None


def _event(line: bytes) -> Event | None:
    try:
        return from_entry(json.loads(line))
    except (ValueError, RecursionError):
        return None
