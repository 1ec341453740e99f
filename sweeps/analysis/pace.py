"""How much longer a trial and a sweep take, from the epochs that were measured so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Self

from conf.stored import Schedule
from sweeps.analysis.wording import duration
from sweeps.journal import SweepRecord, TrialRecord


class Pace(NamedTuple):
    """The course of a running trial."""

    began: float  # when its attempt started
    first: float  # the epoch with which it started, from 0
    position: float  # epochs that are done, with the part of the one that runs
    at: float  # when it was there
    # Its first report, then the end of its first epoch: building and tracing the network, before it, count no more.
    warm: tuple[float, float] | None = None  # time, epoch

    @classmethod
    def recorded(cls, trial: TrialRecord) -> Self:
        """Return the course of a trial as its journal has it, which knows of whole epochs."""
        first, done = trial.initial_epoch, trial.epoch_times[trial.initial_epoch :]
        warm = (done[0], first + 1.0) if done else None
        return cls(trial.started_last, first, first + len(done), done[-1] if done else trial.started_last, warm)

    def moved(self, position: float, at: float) -> Pace:
        ends_first_epoch = self.position < self.first + 1 <= position
        warm = (at, position) if self.warm is None or ends_first_epoch else self.warm
        return self._replace(position=position, at=at, warm=warm)

    @property
    def seconds_per_epoch(self) -> float | None:
        """The seconds that an epoch takes; None before anything was measured."""
        if self.warm and self.position > self.warm[1]:
            return (self.at - self.warm[0]) / (self.position - self.warm[1])
        done = self.position - self.first
        return (self.at - self.began) / done if done >= 1 else None

    def left(self, epochs: int) -> float | None:
        seconds = self.seconds_per_epoch
        return None if seconds is None else seconds * max(0.0, epochs - self.position)


def of_sweep(
    record: SweepRecord, schedule: Schedule, paces: Mapping[int, Pace], workers: int, now: float
) -> float | None:
    """Return the seconds until a sweep's end if no trial ends early and the workers stay its own; None if unmeasured.

    Each trial may run all epochs; a confirmation's run as many as validation chose, of those to come the mean of the
    others. Hyperband's go on in rounds, so that one of its trials that has ended may, too. `now` is a time as the
    journal has them.
    """
    running = {trial: record.trials[trial] for trial in paces}
    costs = [trial.cost for trial in record.completed if {"seconds", "epochs"} <= trial.cost.keys()]
    if epochs := sum(cost["epochs"] for cost in costs):
        per_epoch = sum(cost["seconds"] for cost in costs) / epochs
    else:
        measured = [pace.seconds_per_epoch for pace in paces.values() if pace.seconds_per_epoch is not None]
        if not measured:
            return None
        per_epoch = sum(measured) / len(measured)
    to_do = sum(running[trial].epochs - pace.position for trial, pace in paces.items())
    to_do += _epochs_of_each(record, schedule) * max(0, record.budget - len(record.trials))
    if schedule.in_rounds:
        to_do += sum(schedule.epochs - trial.epochs_run for trial in record.completed)
    longest = max((pace.left(running[trial].epochs) or 0.0 for trial, pace in paces.items()), default=0.0)
    left = max(longest, per_epoch * to_do / max(1, workers))
    return left if schedule.minutes is None else max(0.0, min(left, 60 * schedule.minutes - _used(record, now)))


def _epochs_of_each(record: SweepRecord, schedule: Schedule) -> float:
    given = [trial.epochs for trial in record.trials.values()]
    return sum(given) / len(given) if record.started.confirms and given else schedule.epochs


def _used(record: SweepRecord, now: float) -> float:
    *earlier, (began, _) = record.sessions
    return sum(last - first for first, last in earlier) + now - began


def in_words(seconds: float, schedule: Schedule, *, confirms: bool) -> str:
    """Say how much is left: `about`, or `at most` where trials or the sweep may end early. It is rounded up."""
    step = 60 if seconds > 60 else 5
    rounded = duration(max(1, math.ceil(seconds / step)) * step)
    return f"{'at most' if schedule.may_end_early and not confirms else 'about'} {rounded}"
