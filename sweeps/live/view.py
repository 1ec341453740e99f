"""A running sweep as a page asks for it again and again: each time it gets what is new to it."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from conf import stored
from sweeps import journal, metrics
from sweeps.analysis import pace, references
from sweeps.analysis.pace import Pace
from sweeps.analysis.wording import duration, number
from sweeps.journal import (
    EpochEnded,
    Event,
    JournalError,
    ReferenceEnded,
    SweepRecord,
    TrialEnded,
    TrialRecord,
    TrialStarted,
    endings,
)
from sweeps.live import status
from sweeps.search import space
from sweeps.search.space import Hyperparameter, searched_values

# A long journal comes in several answers, so that none keeps the page, or the sweep's own process, for long.
STEP = 1000  # events that one answer tells of
READING = 0.05  # seconds of processor time after which one answer reads no further
DIGITS = 5  # of a metric
TESTED = metrics.shown_in("terminal")[0]
COLUMNS = ("seconds", "hyperparameters")  # the last ones of the table of trials


class View:
    """The journal of one sweep while it grows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.token = secrets.token_hex(8)  # of what was read from this file: a page that has another one starts again
        self.fault = ""  # why nothing more of the journal can be read
        self._is_read = False  # to the end that it has
        self._journal = journal.Follower(directory)
        self._file = _identity(directory)
        self._workers = 1  # at least: trials that ran at once
        # The trial that each event was about, and how many of its epochs the event left as they were.
        self._touched: list[tuple[int | None, int]] = []
        self._verdict: tuple[str, list[str]] = "", []  # of which events, and its sentences

    @property
    def is_stale(self) -> bool:
        """Whether the file is another one than at the beginning."""
        return _identity(self.directory) != self._file

    def advance(self) -> None:
        """Read on in the journal."""
        try:
            until, self._is_read = time.thread_time() + READING, False
            for event in self._journal.events():
                self._touched.append(self._effect(event))
                if time.thread_time() > until:
                    return
            self.fault, self._is_read = "", True
        except (JournalError, OSError) as error:
            self.fault, self._is_read = str(error), True

    def changes(self, token: str, since: int, state: str) -> dict[str, Any]:
        """Return what a page shows of the sweep, and of its trials what changed since so many events.

        A trial that changed is sent whole, but for the epochs of its curves which the page has: `kept` counts them.
        """
        record = self._journal.record
        if record is None:
            return {"view": self.token, "events": 0, "more": False, "fault": self.fault, "trials": []}
        since = since if token == self.token and 0 <= since <= len(self._touched) else 0
        until = min(len(self._touched), since + STEP)
        kept: dict[int, int] = {}
        for trial, epochs in self._touched[since:until]:
            if trial is not None:
                kept[trial] = min(epochs, kept.get(trial, epochs))
        trials = [self._trial(record.trials[trial], epochs) for trial, epochs in kept.items()]
        more = until < len(self._touched) or not self._is_read
        return self._header(record, state) | {"events": until, "more": more, "trials": trials}

    def _effect(self, event: Event) -> tuple[int | None, int]:
        match event:
            case TrialStarted():
                return event.trial, event.initial_epoch
            case EpochEnded():
                return event.trial, event.epoch - 1
            case TrialEnded():
                assert self._journal.record is not None
                return event.trial, self._journal.record.trials[event.trial].epochs_run
        return None, 0

    def _header(self, record: SweepRecord, state: str) -> dict[str, Any]:
        started = record.started
        recorded = {name for trial in record.trials.values() for name in trial.curves}
        return {
            "view": self.token,
            "fault": self.fault,
            "title": status.title(started),
            "name": started.sweep,
            "state": state,
            "status": status.sentence(record, state),
            "verdict": self._found(record),
            "standin": started.source == "standin",
            "facts": self._facts(record) if state == endings.RUNNING else _results(record),
            "unfinished": "running" if state == endings.RUNNING else "cut off",
            "score": _score_name(record),
            "better": metrics.row(started.objective).direction,
            "columns": list(dict.fromkeys(["trial", "state", "epochs", _score_name(record), TESTED, *COLUMNS])),
            "curves": [name for name in metrics.CURVES if name in recorded],
            "best": record.best.trial if record.best else None,
            "baseline": record.baseline.trial if record.baseline else None,
            "references": [
                _reference(each) for each in sorted(record.references.values(), key=lambda each: each.whole)
            ],
            "failures": [f"trial {_label(trial)}: {trial.reason}" for trial in record.failed],
        }

    def _facts(self, record: SweepRecord) -> dict[str, str]:
        now, schedule = time.time(), stored.schedule(record.config)
        running = {trial.trial: Pace.recorded(trial) for trial in record.trials.values() if trial.running}
        self._workers = max(self._workers, len(running))
        left = pace.of_sweep(record, schedule, running, self._workers, now)
        quiet = max(0.0, now - record.sessions[-1][1])
        if left is None:
            words = "not known before an epoch has ended"
        elif left:
            words = pace.in_words(left, schedule, confirms=bool(record.started.confirms))
        else:  # there may still be references, or another sweep of the command
            words = "the running trials are being tested" if running else "no trial is left"
        return {
            **_results(record),
            "running now": str(len(running)),
            "time left": words,
            "last event": f"{duration(quiet)} ago",
        }

    def _trial(self, trial: TrialRecord, kept: int) -> dict[str, Any]:
        record = self._journal.record
        assert record is not None
        score = trial.test.get(TESTED) if record.started.confirms else trial.objective
        values = searched_values(self._searched, trial.values)
        cells = {
            "trial": _label(trial),
            "state": f"failed: {trial.reason}" if trial.failed else trial.status,
            "epochs": f"{trial.epochs_run} of {trial.epochs}",
            _score_name(record): number(score),
            TESTED: number(trial.test.get(TESTED)),
            "seconds": number(trial.cost.get("seconds"), ".0f"),
            "hyperparameters": ", ".join(f"{name}={_written(value)}" for name, value in values.items()),
        }
        return {
            "trial": trial.trial,
            "running": trial.running,
            "score": _rounded(score),
            "cells": cells,
            "kept": kept,
            "curves": {name: [_rounded(value) for value in curve[kept:]] for name, curve in trial.curves.items()},
        }

    def _found(self, record: SweepRecord) -> list[str]:
        if record.ended is not None and self._verdict[0] != record.fingerprint:
            self._verdict = record.fingerprint, status.verdict(record)
        return self._verdict[1] if record.ended else []

    @cached_property
    def _searched(self) -> tuple[Hyperparameter, ...]:
        assert self._journal.record is not None
        started = self._journal.record.started
        return tuple(space.recorded(stored.parts(started.config, started.dataset)))


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        file = (directory / journal.FILE).stat()
    except OSError:
        return None
    return file.st_dev, file.st_ino


def _score_name(record: SweepRecord) -> str:
    return TESTED if record.started.confirms else record.started.objective


def _results(record: SweepRecord) -> dict[str, str]:
    best, baseline, objective = record.best, record.baseline, record.started.objective
    results = {"failed": str(len(record.failed))}
    if baseline is not None:
        results = {f"the baseline's {objective}": number(baseline.objective), **results}
    if best is not None:
        results = {f"best {objective}": f"{number(best.objective)}, trial {_label(best)}", **results}
    return results


def _label(trial: TrialRecord) -> str:
    if trial.origin is None:
        return f"{trial.trial} (baseline)" if trial.baseline else str(trial.trial)
    origin = f"trial {trial.origin} again{', the baseline' if trial.baseline else ''}"
    return f"{trial.trial} ({origin}{', words shuffled' if trial.shuffled else ''})"


def _reference(reference: ReferenceEnded) -> str:
    score = f"{TESTED} {number(reference.scores.get(TESTED))}"
    return f"{references.title(reference)}: {score if reference.completed else f'failed: {reference.reason}'}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _written(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
