"""A running sweep as a page asks for it again and again: each time it gets what is new to it."""

from __future__ import annotations

import secrets
import time
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from conf import stored
from sweeps import journal, metrics
from sweeps.analysis import references
from sweeps.analysis.pace import seconds_left
from sweeps.analysis.wording import duration, number
from sweeps.journal import EpochEnded, Event, JournalError, SweepRecord, TrialEnded, TrialRecord, TrialStarted
from sweeps.live import status
from sweeps.search import space
from sweeps.search.space import Hyperparameter, searched_values

STEP = 2000  # events that one answer takes in, and that it tells of: a long journal comes in several
DIGITS = 5  # of a metric


class View:
    """The journal of one sweep while it grows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.token = secrets.token_hex(8)  # of what was read from this file: a page that has another one starts again
        self.fault = ""  # why nothing more of the journal can be read
        self._journal = journal.Follower(directory)
        self._file = _identity(directory)
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
            for event in islice(self._journal.events(), STEP):
                self._touched.append(self._effect(event))
            self.fault = ""
        except (JournalError, OSError) as error:
            self.fault = str(error)

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
        more = until < len(self._touched) or (until - since == STEP and not self.fault)
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
        started, best, now = record.started, record.best, time.time()
        left = seconds_left(record, now, _minutes(record.config)) if state == status.RUNNING else None
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
            "score": _score_name(record),
            "better": metrics.row(started.objective).direction,
            "curves": [name for name in metrics.CURVES if name in recorded],
            "best": best.trial if best else None,
            "baseline": record.baseline.trial if record.baseline else None,
            "left": duration(left) if left is not None else None,
            "quiet": max(0.0, now - record.sessions[-1][1]),
            "references": [_reference(each) for each in record.references.values()],
        }

    def _trial(self, trial: TrialRecord, kept: int) -> dict[str, Any]:
        record = self._journal.record
        assert record is not None
        tested = metrics.shown_in("terminal")[0]
        score = trial.test.get(tested) if record.started.confirms else trial.objective
        curves = {name: [_rounded(value) for value in curve[kept:]] for name, curve in trial.curves.items()}
        return {
            "trial": trial.trial,
            "label": _label(trial),
            "state": trial.status,
            "reason": trial.reason if trial.failed else "",
            "values": {name: _written(value) for name, value in searched_values(self._searched, trial.values).items()},
            "epochs": trial.epochs,
            "ran": trial.epochs_run,
            "best_epoch": trial.best_epoch,
            "score": _rounded(score),
            "tested": _rounded(trial.test.get(tested)),
            "seconds": _rounded(trial.cost.get("seconds")),
            "kept": kept,
            "curves": curves,
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
    return metrics.shown_in("terminal")[0] if record.started.confirms else record.started.objective


def _label(trial: TrialRecord) -> str:
    if trial.origin is None:
        return f"{trial.trial} (baseline)" if trial.baseline else str(trial.trial)
    origin = f"trial {trial.origin} again{', the baseline' if trial.baseline else ''}"
    return f"{trial.trial} ({origin}{', words shuffled' if trial.shuffled else ''})"


def _reference(reference: journal.ReferenceEnded) -> dict[str, str]:
    score = number(reference.scores.get(metrics.shown_in("terminal")[0]))
    return {
        "title": references.title(reference),
        "score": score if reference.completed else f"failed: {reference.reason}",
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _written(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@lru_cache(maxsize=8)
def _minutes(config: str) -> float | None:
    return stored.minutes(config)
