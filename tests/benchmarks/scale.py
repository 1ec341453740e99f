"""What a trial costs the driver with journal and MLflow, when the trial itself does nothing.

    python -m tests.benchmarks.scale [TRIALS] [key=value …]

Prints, for each tenth of the sweep, processor milliseconds a trial: flat, unless something grows with what there is
already. Then kills nothing, but resumes the sweep with one more trial, and says how long it takes to go on.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from conf.compose import compose
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.journal import Event, SweepRecord, TrialEnded
from sweeps.oracle import Oracle
from sweeps.tracking import Tracker
from tests.fakes import FakeEngine, plan


class Clock:
    """A view that looks at the clock at every trial's end."""

    def __init__(self) -> None:
        self.processor: list[float] = [time.process_time()]

    def show(self, record: SweepRecord, event: Event) -> None:
        if isinstance(event, TrialEnded):
            self.processor.append(time.process_time())


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sys.argv = ["scale", "data=imdb", f"trials={trials}", "epochs=3", *sys.argv[2:]]
    (job,) = compose()
    with tempfile.TemporaryDirectory() as folder:
        uri, directory = f"sqlite:///{folder}/mlflow.db", Path(folder, "sweep", "imdb")
        clock, tracker = Clock(), Tracker(uri)
        search = Search(plan(job, directory), Oracle(job.config, plan(job).space), [tracker, clock])
        driver.run([search], FakeEngine())
        search.close()
        tenth = max(1, len(search.record.trials) // 10)
        at = clock.processor[::tenth]
        print("ms a trial, by tenths:", " ".join(f"{(b - a) / tenth * 1e3:.1f}" for a, b in itertools.pairwise(at)))
        before = time.process_time()
        print(
            "all of it logged:", tracker.close(), f"{(time.process_time() - before) / trials * 1e3:.1f} ms a trial more"
        )
        began = time.monotonic()
        more = replace(job.config, trials=trials + 1)
        past = journal.read(directory)
        again = Search(plan(job, directory)._replace(config=more), Oracle(job.config, plan(job).space), [], past)
        driver.run([again], FakeEngine())
        again.close()
        print(f"resumed with one trial more in {time.monotonic() - began:.1f} s, {len(again.record.trials)} trials")


if __name__ == "__main__":
    main()
