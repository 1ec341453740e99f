"""How much longer a trial and a sweep take, from the epochs that were measured so far."""

from __future__ import annotations

import math
from typing import NamedTuple

from sweeps.analysis.wording import duration
from sweeps.journal import SweepRecord
from sweeps.plan import Plan


class Pace(NamedTuple):
    """The course of a running trial."""

    began: float  # when its attempt started
    first: float  # the epoch with which it started, from 0
    position: float  # epochs that are done, with the part of the one that runs
    at: float  # when it was there
    # Its first report, then the end of its first epoch: building and tracing the network, before it, count no more.
    warm: tuple[float, float] | None = None  # time, epoch

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


def of_sweep(record: SweepRecord, plan: Plan, paces: dict[int, Pace], workers: int) -> float | None:
    """Return the seconds until a sweep's end if no trial ends early and the workers stay its own; None if unmeasured.

    Each trial may run all epochs. Hyperband's go on in rounds, so that one of its trials that has ended may, too.
    """
    running = {trial: record.trials[trial] for trial in paces}
    seconds = [trial.cost["seconds"] for trial in record.completed]
    epochs = [float(trial.cost["epochs"]) for trial in record.completed if "epochs" in trial.cost]
    if seconds and len(epochs) == len(seconds) and sum(epochs):
        per_epoch = sum(seconds) / sum(epochs)
    else:
        measured = [pace.seconds_per_epoch for pace in paces.values() if pace.seconds_per_epoch is not None]
        if not measured:
            return None
        per_epoch = sum(measured) / len(measured)
    each = plan.config.epochs
    to_do = sum(running[trial].epochs - pace.position for trial, pace in paces.items())
    to_do += each * max(0, record.budget - len(record.trials))
    if plan.config.tuner["name"] == "hyperband":
        to_do += sum(each - trial.epochs_run for trial in record.completed)
    longest = max((pace.left(running[trial].epochs) or 0.0 for trial, pace in paces.items()), default=0.0)
    return max(longest, per_epoch * to_do / max(1, workers))


def in_words(seconds: float, plan: Plan) -> str:
    """Say how much is left: `about`, or `at most` where trials or the sweep may end early. It is rounded up."""
    config = plan.config
    may_end = config.stopping.name != "none" or config.target is not None or config.minutes is not None
    step = 60 if seconds > 60 else 5
    rounded = duration(max(1, math.ceil(seconds / step)) * step)
    return f"{'at most' if may_end and not plan.confirmation else 'about'} {rounded}"
