"""Sweeps that really train: commands, servers, clusters and clones in processes as their users have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from distributed import Client
from mlflow import MlflowClient

from sweeps.tracking import store
from sweeps.tracking.client import search_runs
from tests import servers
from tests.chaos import claims
from tests.chaos.cases import Case, Outcome
from tests.chaos.driving import Sessions, until_done
from tests.chaos.mishaps import Strike, strikes
from tests.chaos.processes import Process, program, result
from tests.conftest import ROOT
from tests.servers import free_port

OF_COMMANDS = ("killed", "interrupted", "unread", "renamed", "hung up", "terminated")
OF_SERVERS, OF_CLUSTERS, OF_CLONES = "server emptied", "stranger joined", "two at once"
SPAN = (1.0, 9.0)  # seconds until something happens: of its start, or of its first line
# `mlflow run` makes the store before it starts anything of this project, and two that do so at once break each other's
# tables; it has to be called again.
MLFLOWS_OWN = "in _initialize_tables"
SMALL = ("experiment=smoke", "trials=3", "stopping=none")


def kinds(rounds: int) -> list[str]:
    """Return the first mishaps of so many rounds."""
    each = [(OF_COMMANDS[n % len(OF_COMMANDS)], OF_SERVERS, OF_CLUSTERS, OF_CLONES) for n in range(rounds)]
    return [kind for kinds_ in each for kind in kinds_]


def run(case: Case) -> Outcome:
    """Run a sweep, or two, in the surroundings where its mishap can happen."""
    case.folder.mkdir(parents=True)
    surroundings = {OF_SERVERS: _on_a_server, OF_CLUSTERS: _on_a_cluster, OF_CLONES: _two_at_once}
    return surroundings.get(case.mishap, _alone)(case)


def _sessions(case: Case, strikes_: Mapping[str, Strike], *engine: str) -> Sessions:
    def start(command: str, arguments: list[str]) -> Process:
        return program(case.folder, sys.executable, "-m", f"pipelines.{command}", *arguments)

    first = [*SMALL, f"tuner={case.tuner}", f"tracking.uri={case.store}", *engine]
    return Sessions(start, first, strikes_, SPAN, most=2)


def _alone(case: Case) -> Outcome:
    able = {kind: strike for kind, strike in strikes(case).items() if kind in OF_COMMANDS}
    return until_done(case, _sessions(case, able, "engine.workers=2"))


def _on_a_server(case: Case) -> Outcome:
    """Kill its server and start another on the same port, whose database is empty."""
    port = free_port()

    def serve(running: ExitStack) -> None:
        folder = Path(mkdtemp(dir=case.folder))
        options = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files")
        running.enter_context(servers.mlflow_server(folder, *options, port=port))

    with ExitStack() as running:

        def empty(_: Process) -> None:
            running.close()
            serve(running)

        serve(running)
        on_server = replace(case, store=f"http://127.0.0.1:{port}")
        able = {OF_SERVERS: empty, "killed": strikes(case)["killed"]}
        return until_done(on_server, _sessions(on_server, able, "engine.workers=2"))


def _on_a_cluster(case: Case) -> Outcome:
    """Let a worker join that has this project's code, and one that has not."""
    address = f"tcp://127.0.0.1:{free_port()}"
    stranger = case.folder / "stranger"
    (stranger / "sweeps").mkdir(parents=True)
    (stranger / "sweeps" / "__init__.py").touch()
    joined: list[subprocess.Popen[str]] = []
    with servers.processes() as start, (case.folder / "dask.log").open("w") as log:

        def dask(*arguments: str, code: Path = ROOT) -> subprocess.Popen[str]:
            environment = {**os.environ, "PYTHONPATH": str(code)}
            command = [sys.executable, "-m", "dask", *arguments, "--dashboard-address", "127.0.0.1:0"]
            return start(command, cwd=case.folder, env=environment, stdout=log)

        def worker(name: str, code: Path = ROOT) -> subprocess.Popen[str]:
            return dask("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--name", name, code=code)

        dask("scheduler", "--host", address)
        worker("own")
        able = {
            OF_CLUSTERS: lambda _: joined.append(worker("stranger", stranger)),
            "worker joined": lambda _: joined.append(worker("another")),
            "killed": strikes(case)["killed"],
        }
        sessions = _sessions(case, able, "engine=cluster", f"engine.scheduler={address}")

        def start_alone(command: str, arguments: list[str]) -> Process:
            while joined:
                servers.end(joined.pop())
            result(lambda: _wait_for_worker(address))
            return sessions.start(command, arguments)

        return until_done(case, sessions._replace(start=start_alone))


def _wait_for_worker(address: str) -> str:
    """Wait until the cluster has one worker, its own."""
    with Client(address, timeout=120) as client:
        client.wait_for_workers(1, timeout=120)
        while len(client.scheduler_info(n_workers=-1)["workers"]) > 1:
            time.sleep(0.1)
    return ""


def _two_at_once(case: Case) -> Outcome:
    """Start `mlflow run .` twice in a clone in which nothing has run yet."""
    for folder in ("conf", "models", "pipelines", "sweeps"):
        shutil.copytree(ROOT / folder, case.folder / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "MLproject", case.folder)
    (case.folder / ".venv").symlink_to(sys.prefix)
    clone = replace(case, store=store.of_file(case.folder / "mlflow.db"))
    outcome = Outcome(clone)
    parameters = [part for argument in (*SMALL, "engine.workers=1") for part in ("-P", argument)]

    def start() -> Process:
        return program(case.folder, ".venv/bin/mlflow", "run", ".", *parameters, code=case.folder)

    processes = [start(), start()]
    outcome.mishaps[case.mishap] += 1
    for process in processes:
        while not process.wait(time.monotonic() + 0.1):
            for other in processes:  # or one that prints much would wait for its reader
                other.wait(time.monotonic())
        if MLFLOWS_OWN in process.output and len(processes) < 5:
            outcome.mishaps["two at once, broken by MLflow"] += 1
            processes.append(start())
    for process in (process for process in processes if MLFLOWS_OWN not in process.output):
        claims.check(process, {}, outcome)
        if process.status != 0:
            outcome.add("sessions that failed", process.output)
    outcome.faults += claims.counted(outcome)
    outcome.faults["sweeps without an end"] += 2 - len(clone.directories)
    outcome.faults["runs not finished"] += int(result(lambda: str(_open_runs(clone.store))))
    return outcome


def _open_runs(uri: str) -> int:
    """Return how many runs of a store, those of MLflow's projects included, did not finish."""
    return sum(run.info.status != "FINISHED" for run in search_runs(MlflowClient(uri), ""))
