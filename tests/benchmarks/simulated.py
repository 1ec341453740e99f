"""The driver with hundreds of workers that train nothing, through the real engine and Dask's real scheduler.

    python -m tests.benchmarks.simulated [workers=500] [trials=20000] [epochs=3] [hosts=4] [profile=FILE]

Processes of their own, the hosts, have the workers, each with its own connection. Prints, for each tenth of the sweep,
the trial events that a processor second of the driver's process takes (its scheduler included), the milliseconds of
the driver's own thread for an event, and the process's memory. The workers are as fast as they can, so that the driver
is the limit; the journal is in memory, as waiting for a disk is no work. Processor time is measured, so that others'
load on the machine matters little.
"""

from __future__ import annotations

import asyncio
import cProfile
import logging
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import dask
import psutil
from distributed import Client, Scheduler, Worker
from distributed.deploy.spec import SpecCluster

from conf.compose import compose
from sweeps import driver, runtime
from sweeps.driver import Search
from sweeps.journal import Event, SweepRecord
from sweeps.search import oracles_alone
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.local import EMBEDDED
from tests.fakes import Recorder, plan

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where flushing takes no time


class Meter(Recorder):
    """A listener that counts events, and notes the processor seconds and the memory of the process now and then."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every, self._count = every, 0
        self.notes = [self._note()]

    def on_event(self, record: SweepRecord, event: Event) -> None:
        self._count += 1
        if self._count % self._every == 0:
            self.notes.append(self._note())

    def _note(self) -> tuple[float, float, int]:
        return time.process_time(), time.thread_time(), psutil.Process().memory_info().rss

    def lines(self) -> list[str]:
        return [
            f"{self._every / (after[0] - before[0]):6.0f} events a processor second, "
            f"{(after[1] - before[1]) / self._every * 1e3:5.2f} ms of the driver's thread, {after[2] / 2**20:5.0f} MiB"
            for before, after in zip(self.notes, self.notes[1:], strict=False)
        ]


def host(address: str, count: int) -> None:
    """Run workers in this process until their scheduler is gone."""

    async def run() -> None:
        workers = [Worker(address, nthreads=1, memory_limit=0, dashboard_address=None) for _ in range(count)]
        for start in range(0, count, 20):
            await asyncio.gather(*workers[start : start + 20])
        await asyncio.gather(*(worker.finished() for worker in workers))

    with tempfile.TemporaryDirectory() as folder:
        quiet = {"logging": {"distributed": "critical"}, "distributed.worker.preload": []}
        with dask.config.set(EMBEDDED | quiet | {"temporary-directory": folder}):
            logging.getLogger("distributed").setLevel(logging.CRITICAL)
            asyncio.run(run())


def main() -> None:
    options = {"workers": "500", "trials": "20000", "epochs": "3", "hosts": "4", "profile": ""}
    options |= dict(argument.split("=", 1) for argument in sys.argv[1:])
    workers, trials, epochs, hosts = (int(options[key]) for key in ("workers", "trials", "epochs", "hosts"))
    sys.argv = ["simulated", "data=imdb", f"trials={trials}", f"epochs={epochs}", "references=none"]
    (job,) = compose()
    runtime.prepare()
    oracles_alone.load(job.config.tuner["oracle"])
    from sweeps.search.oracle import Oracle

    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}}
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        dask.config.set(EMBEDDED),
        SpecCluster(scheduler=scheduler) as cluster,
        Client(cluster) as client,
    ):
        spawn = multiprocessing.get_context("spawn")
        shares = [workers // hosts + (number < workers % hosts) for number in range(hosts)]
        crowd = [spawn.Process(target=host, args=(cluster.scheduler_address, share), daemon=True) for share in shares]
        for process in crowd:
            process.start()
        client.wait_for_workers(workers)
        directory = Path(folder, "sweep", "imdb")
        planned = plan(job, directory)._replace(function="tests.fakes.learn")
        meter = Meter(every=max(1, trials * (epochs + 2) // 10))
        search = Search(planned, Oracle(job.config, planned.space), [meter])
        engine = DaskEngine(client)
        began, profile = time.monotonic(), cProfile.Profile()
        if options["profile"]:
            profile.enable()
        driver.run([search], engine)
        profile.disable()
        if options["profile"]:
            profile.dump_stats(options["profile"])
        seconds, size = time.monotonic() - began, (directory / "journal.jsonl").stat().st_size
        print("\n".join(meter.lines()))
        print(f"{len(search.record.completed)} trials on {workers} workers in {seconds:.0f} s", end="; ")
        print(f"the journal has {size / 2**20:.1f} MiB, {size / trials:.0f} bytes a trial")
        search.close()


if __name__ == "__main__":
    main()
