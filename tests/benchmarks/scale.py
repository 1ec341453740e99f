"""The cost of a trial for the driver with its journal, and for MLflow's thread, when the trial itself does nothing.

    python -m tests.benchmarks.scale [TRIALS] [key=value …]

Prints, for each tenth of the sweep, processor milliseconds a trial of either thread; they stay the same unless the cost
of a trial grows with the number of trials before it. Then resumes the sweep with one more trial, and prints how long
that takes.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from conf.compose import compose
from sweeps import driver, journal, runtime
from sweeps.driver import Search
from sweeps.journal import Event, SweepRecord, TrialEnded
from sweeps.search.oracle import Oracle
from tests.fakes import FakeEngine, Recorder, plan


class Clock(Recorder):
    """A listener that notes the processor seconds of the driver's thread at every trial's end."""

    def __init__(self) -> None:
        super().__init__()
        self.used = [time.thread_time()]

    def on_event(self, record: SweepRecord, event: Event) -> None:
        if isinstance(event, TrialEnded):
            self.used.append(time.thread_time())


@contextmanager
def logged() -> Iterator[list[float]]:
    """Yield the processor seconds of MLflow's thread at every run's end, the sweep's own last."""
    from mlflow import MlflowClient

    used: list[float] = []
    real = MlflowClient.set_terminated

    def set_terminated(client: MlflowClient, *arguments: Any) -> None:
        real(client, *arguments)
        used.append(time.thread_time())

    with patch.object(MlflowClient, "set_terminated", set_terminated):
        yield used


def by_tenths(used: Sequence[float]) -> str:
    """Return milliseconds a trial, for each tenth of the trials."""
    tenth = (len(used) - 1) // 10
    return " ".join(f"{(b - a) / tenth * 1e3:.1f}" for a, b in itertools.pairwise(used[: 10 * tenth + 1 : tenth]))


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sys.argv = ["scale", "data=imdb", f"trials={trials}", "epochs=3", *sys.argv[2:]]
    (job,) = compose()
    runtime.prepare()  # before MLflow is imported
    from sweeps.tracking.tracker import Tracker

    with tempfile.TemporaryDirectory() as folder, logged() as tracked:
        directory = Path(folder, "sweep", "imdb")
        tracker = Tracker(f"sqlite:///{folder}/mlflow.db")
        tracker.wait_until_opened()
        clock, began = Clock(), time.monotonic()
        search = Search(plan(job, directory), Oracle(job.config, plan(job).space), [tracker, clock])
        driver.run([search], FakeEngine())
        seconds, kept_up = time.monotonic() - began, len(tracked)
        print("driver and journal, ms a trial, by tenths:", by_tenths(clock.used))
        everything = tracker.close()
        print("MLflow's thread, ms a trial, by tenths:   ", by_tenths(tracked[:trials]))
        print(f"in the {seconds:.0f} s of the trials it logged {kept_up};", end=" ")
        print(f"all of it logged: {everything}, after {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        more = replace(job.config, trials=trials + 1)
        past = journal.read(directory)
        again = Search(plan(job, directory)._replace(config=more), Oracle(job.config, plan(job).space), [], past)
        driver.run([again], FakeEngine())
        print(f"resumed with one trial more in {time.monotonic() - began:.1f} s, {len(again.record.trials)} trials")


if __name__ == "__main__":
    main()
