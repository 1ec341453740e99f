"""Cut hosts off at random instants while a sweep runs on a cluster of several: is anything lost, or not so?

    python -m tests.chaos.hosts [CUTS]      50 unless said otherwise; that takes half an hour

Scheduler, workers and command are on hosts of their own, which are namespaces of this machine. Trials are quick
stand-ins, everything else is the product. Exit status: 0 if nothing was lost, doubled or left open, and nothing was
said that was not so.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from sweeps import runtime
from sweeps.tracking import store
from tests import servers
from tests.chaos.__main__ import FAULTS, show
from tests.chaos.cases import Case, Outcome
from tests.chaos.differences import parted
from tests.chaos.driving import Sessions, until_done
from tests.chaos.processes import Process, program, result
from tests.hosts import SILENCE, Host, hosts

TUNERS = ("random", "grid", "hyperband")
CUTS = "a worker's host cut off", "the scheduler's host cut off", "the command's host cut off"
DIED, LEFT, KILLED = "a worker died", "a host died and joined again", "killed"
SPAN = (1.0, 12.0)  # seconds until something happens, after the first line or the mishap before
LONGEST = 2.0 * SILENCE  # seconds that a host is cut off
AWAY = 15.0  # seconds until a host that died joins again
WORKERS = {"host2": 2, "host3": 1}


class Lab:
    """A cluster on three hosts, and a fourth for the command."""

    def __init__(self, made: list[Host]) -> None:
        self.head, *self.far, self.desk = made
        self.address = self.head.scheduler()
        self._running = {host.name: host.workers(self.address, WORKERS[host.name]) for host in self.far}
        self._timers: list[threading.Timer] = []

    def cut_off(self, host: Host) -> None:
        host.cut_off()
        self._later(random.uniform(1.0, LONGEST), host.reconnect)

    def end_worker(self) -> None:
        """Kill the process of a worker; what started it starts another."""
        shells = [psutil.Process(process.pid) for process in self._running.values() if process.poll() is None]
        processes = [child for shell in shells for child in shell.children(recursive=True)]
        workers = [process for process in processes if "spawn_main" in " ".join(process.cmdline())]
        if workers:
            random.choice(workers).send_signal(signal.SIGKILL)

    def end_host(self) -> None:
        host = random.choice(self.far)
        servers.end(self._running[host.name])
        self._later(AWAY, lambda: self._join(host))

    def _join(self, host: Host) -> None:
        servers.end(self._running[host.name])
        self._running[host.name] = host.workers(self.address, WORKERS[host.name])

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        self._timers.append(threading.Timer(seconds, function))
        self._timers[-1].start()

    def wait_until_whole(self) -> None:
        """Wait until every host is back, and the scheduler knows all workers."""
        while self._timers:
            self._timers.pop().join()
        count = sum(WORKERS.values())
        code = f"from distributed import Client; Client({self.address!r}, timeout=120).wait_for_workers({count}, 240)"
        assert self.desk.start(sys.executable, "-c", code).wait(400) == 0, self.desk.output()


def run(lab: Lab, number: int) -> Outcome:
    """Run a sweep on the cluster until it is done, whatever happens."""
    tuner = TUNERS[number % len(TUNERS)]
    folder = lab.desk.folder / str(number)
    folder.mkdir()
    case = Case(
        number, tuner, sum(WORKERS.values()), folder, store.of_file(folder / "mlflow.db"), CUTS[0], is_quick=True
    )
    strikes = {
        CUTS[0]: lambda _: lab.cut_off(random.choice(lab.far)),
        CUTS[1]: lambda _: lab.cut_off(lab.head),
        CUTS[2]: lambda _: lab.cut_off(lab.desk),
        DIED: lambda _: lab.end_worker(),
        LEFT: lambda _: lab.end_host(),
        KILLED: lambda process: process.send(signal.SIGKILL),
    }
    engine = ("engine=cluster", f"engine.scheduler={lab.address}", f"tracking.uri={case.store}")

    def start(command: str, arguments: list[str]) -> Process:
        lab.wait_until_whole()
        environment = [f"{name}={value}" for name, value in lab.desk.environment.items()]
        python = [sys.executable, "-m", "tests.chaos.sweeping", command, *arguments]
        nsenter, *rest = lab.desk.command(folder, "env", *environment, *python)
        return program(folder, str(shutil.which(nsenter)), *rest)

    outcome = until_done(case, Sessions(start, [*case.arguments, *engine], strikes, SPAN))
    (directory,) = case.directories
    outcome.faults["sweeps that parted"] += result(lambda: str(parted(case, directory))) == "True"
    return outcome


def main(cuts: int = 50) -> int:
    began, outcomes = time.monotonic(), list[Outcome]()
    runtime.prepare()
    with tempfile.TemporaryDirectory() as name, hosts(Path(name), 4) as made:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        lab = Lab(made)
        while sum(outcome.mishaps[kind] for outcome in outcomes for kind in CUTS) < cuts:
            outcomes.append(run(lab, len(outcomes)))
            print(*outcomes[-1].notes, f"{len(outcomes)}: {dict(outcomes[-1].mishaps)}", sep="\n", flush=True)
    counts = sum((outcome.faults for outcome in outcomes), Counter())
    show(outcomes, counts, time.monotonic() - began)
    return 0 if not any(counts[name] for name in FAULTS) else 1


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(main(*map(int, sys.argv[1:])))
