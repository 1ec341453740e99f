"""The time that a running sweep still takes, judged by the trials of its present session."""

from __future__ import annotations

from sweeps.journal import SweepRecord, TrialRecord


def seconds_left(record: SweepRecord, now: float, minutes: float | None = None) -> float | None:
    """Return about how long the rest of a sweep takes; None where it has ended, or no trial has ended to judge by.

    A trial that runs counts with the share of its epochs that it has done. `minutes` is the time that the sweep has.
    """
    session = len(record.sessions) - 1
    ours = [trial for trial in record.trials.values() if trial.session == session]
    if record.ended is not None or all(trial.running for trial in ours):
        return None
    before = sum(not trial.running for trial in record.trials.values() if trial.session < session)
    done, began = sum(map(_share, ours)), record.sessions[session][0]
    left = max(0.0, record.budget - before - done) * (now - began) / done
    if minutes is None:
        return left
    used = sum(last - first for first, last in record.sessions[:session]) + now - began
    return max(0.0, min(left, 60 * minutes - used))


def _share(trial: TrialRecord) -> float:
    return min(1.0, trial.epochs_run / trial.epochs) if trial.running else 1.0
