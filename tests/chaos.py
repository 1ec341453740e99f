"""Kill sweeps with SIGKILL at random instants and resume them until they are done: is anything lost?

    python -m tests.chaos [RUNS] [TRAINED]      RUNS with a quick stand-in trial function, TRAINED with real training

Both go through the whole product: the command line, the journal, an oracle of each kind, and one MLflow store that two
sweeps at a time share. Afterwards every journal is compared with its runs in the store, and with the same sweep that
nobody killed. Exit status: 0 if nothing was lost, doubled or left open.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"  # before anything imports MLflow

import sweeps.search.oracle  # imports TensorFlow once for all processes that are forked
from conf.compose import compose
from conf.schema import Engine
from pipelines import sweep
from pipelines.data.corpus import Corpus, Documents
from sweeps import driver, journal, runtime
from sweeps.journal import SweepRecord
from sweeps.metrics import CURVES
from sweeps.session import checks, session
from sweeps.session.plans import plans_of
from sweeps.tracking import tracker
from sweeps.trials.engine import Finished, Message, Started
from sweeps.trials.spec import EpochReport, TrialSpec
from tests.fakes import FakeEngine, learn

ROOT = Path(__file__).parent.parent
TUNERS = ("random", "grid", "bayesian", "hyperband")
LONGEST = 2.5  # seconds until a quick session is killed at the latest
LABELS = np.arange(10) % 2


class Case(NamedTuple):
    """One sweep, and where it is."""

    number: int
    tuner: str
    workers: int
    folder: Path
    store: str

    @property
    def arguments(self) -> list[str]:
        trials = 5 if self.tuner == "bayesian" else 8
        initial = ["tuner.initial_points=3"] if self.tuner == "bayesian" else []
        epochs = 9 if self.tuner == "hyperband" else 3
        data = ["data=imdb", "datasets.imdb.read=tests.chaos.read", f"tracking.uri={self.store}"]
        return [
            *data,
            f"tuner={self.tuner}",
            f"trials={trials}",
            f"epochs={epochs}",
            f"seed={self.number + 1}",
            *initial,
        ]


class Outcome(NamedTuple):
    """A sweep that came to its end."""

    case: Case
    kills: int
    directory: Path


def read(*, url: str, sha256: str) -> Corpus:
    """Return a dataset that needs no file, whatever the address of the real one is."""
    documents = [[number] for number in range(1, len(LABELS) + 1)]
    return Corpus("chaos", "standin", lambda: Documents(documents, LABELS, documents, LABELS))


class ThreadEngine:
    """Workers that are threads, and trials that take milliseconds."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.busy = 0
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    @property
    def free(self) -> int:
        return self.workers - self.busy

    def submit(self, function: str, spec: TrialSpec) -> None:
        self.busy += 1
        threading.Thread(target=self._run, args=(spec,), daemon=True).start()

    def stop(self, sweep: str, reason: str) -> None:
        raise NotImplementedError

    def kill(self, spec: TrialSpec, reason: str) -> None:
        raise NotImplementedError

    def next(self, timeout: float) -> Message | None:
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        self.busy -= isinstance(message, Finished)
        return message

    def _run(self, spec: TrialSpec) -> None:
        def on_epoch(report: EpochReport) -> str | None:
            time.sleep(random.uniform(0.0, 0.05))
            self._messages.put(report)
            return None

        self._messages.put(Started(spec))
        self._messages.put(Finished(spec, learn(spec, on_epoch)))


def run_session(case: Case) -> None:
    """Run one process of a sweep, from its command line on, and end it."""
    os.chdir(case.folder)
    begun = sorted(path.parent for path in case.folder.glob("outputs/*/config.yaml"))
    arguments = [f"resume={begun[0]}"] if begun else case.arguments
    sys.argv = ["sweep", *arguments]

    @contextmanager
    def workers(config: Engine) -> Iterator[ThreadEngine]:
        yield ThreadEngine(case.workers)

    session.workers = workers  # type: ignore[assignment]
    tracker.RETRY_AFTER = 0.5
    records = sweep.run(compose(), Console(file=io.StringIO()))
    os._exit(0 if all(record.ended for record in records) else 1)


def until_done(case: Case) -> Outcome:
    """Start it, kill it, and start it again, until a process comes to the end."""
    case.folder.mkdir(parents=True)
    chance = random.Random(case.number)
    kills = 0
    while True:
        child = os.fork()
        if child == 0:
            try:
                run_session(case)
            finally:  # the parent's stack must not run on here
                sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
                os._exit(70)
        ends = time.monotonic() + chance.uniform(0, LONGEST) * (1 + kills / 3)  # or it might never come to an end
        status = None
        while status is None and time.monotonic() < ends:
            done, raw = os.waitpid(child, os.WNOHANG)
            status = raw if done else None
            time.sleep(0.002)
        if status is None:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status) != 0:
                raise SystemExit(f"run {case.number} ({case.tuner}) ended with {os.WEXITSTATUS(status)}")
            break
        kills += 1
    (directory,) = {path.parent.parent for path in case.folder.glob(f"outputs/*/*/{journal.FILE}")}
    return Outcome(case, kills, directory)


def train_until_done(case: Case) -> Outcome:
    """Do the same with the real command, real workers and real training."""
    case.folder.mkdir(parents=True)
    chance = random.Random(case.number)
    kills = 0
    while True:
        begun = sorted(case.folder.glob("outputs/*/config.yaml"))
        small = [
            "experiment=smoke",
            f"tuner={case.tuner}",
            f"tracking.uri={case.store}",
            f"engine.workers={case.workers}",
        ]
        arguments = [f"resume={begun[0].parent}"] if begun else small
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.sweep", *arguments],
            cwd=case.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        try:
            status = process.wait(chance.uniform(5, 25) if kills < 4 else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        if status != 0:
            raise SystemExit(f"run {case.number} ({case.tuner}, trained) ended with {status}")
        (directory,) = {path.parent.parent for path in case.folder.glob(f"outputs/*/*/{journal.FILE}")}
        return Outcome(case, kills, directory)


def undisturbed(case: Case) -> SweepRecord:
    """Run the same sweep without killing it, without workers and store."""
    sys.argv = ["sweep", *case.arguments]
    (job,) = compose()
    (plan,) = plans_of(job, checks.check(job.config), case.folder / "undisturbed")
    search = driver.Search(plan, sweeps.search.oracle.Oracle(job.config, plan.space))
    driver.run([search], FakeEngine(workers=case.workers))
    return search.record


def differences(outcome: Outcome, client: tracker.MlflowClient) -> Counter[str]:
    """Count the faults of a sweep that has ended."""
    wrong: Counter[str] = Counter()
    record = SweepRecord.of(outcome.directory, journal.read(outcome.directory / "imdb"))
    wrong["trials"] = len(record.trials)
    wrong["trials lost"] = record.budget - len(record.trials)
    wrong["trials not completed"] = sum(trial.status != "completed" for trial in record.trials.values())
    wrong["sweeps without an end"] = record.ended is None
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.sweep = '{record.started.sweep}'", max_results=1000)
    parents = [run for run in runs if run.data.tags["kind"] == "sweep"]
    children = Counter(int(run.data.tags["trial"]) for run in runs if run.data.tags["kind"] == "trial")
    wrong["runs doubled"] = len(parents) - 1 + sum(count - 1 for count in children.values())
    wrong["runs missing"] = len(record.trials.keys() - children.keys())
    wrong["runs not finished"] = sum(run.info.status != "FINISHED" for run in runs)
    for run in runs:
        if run.data.tags["kind"] == "trial":
            trial = record.trials[int(run.data.tags["trial"])]
            wrong["points in the journal"] += sum(map(len, trial.curves.values()))
            for name in CURVES:
                points = [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)]
                wrong["curves that differ"] += points != list(enumerate(trial.curves[name], start=1))
            wrong["runs that differ"] += run.data.params != {name: str(value) for name, value in trial.values.items()}
            wrong["runs that differ"] += any(
                abs(run.data.metrics.get(name, np.inf) - value) > 1e-5 for name, value in trial.test.items()
            )
    return wrong


def parted(outcome: Outcome) -> bool:
    """Whether a sweep whose trials do not depend on which one ends first differs from the undisturbed one."""
    if outcome.case.tuner not in ("random", "grid") and outcome.case.workers > 1:
        return False
    record = SweepRecord.of(outcome.directory, journal.read(outcome.directory / "imdb"))
    expected = undisturbed(outcome.case)
    killed, whole = (
        {n: (trial.values, trial.seed, trial.curves, trial.objective) for n, trial in r.trials.items()}
        for r in (record, expected)
    )
    return killed != whole


def main(runs: int = 200, trained: int = 4) -> int:
    began = time.monotonic()
    runtime.prepare()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        store = f"sqlite:///{folder}/mlflow.db"
        cases = [Case(n, TUNERS[n % 4], 1 + n // 4 % 4, Path(folder, str(n)), store) for n in range(runs + trained)]
        with multiprocessing.get_context("fork").Pool(2) as pool:  # two at once into one store, from its first use on
            outcomes = pool.map(until_done, cases[:runs], chunksize=1)
        outcomes += [train_until_done(case._replace(workers=2)) for case in cases[runs:]]
        client = tracker.MlflowClient(store)
        total = sum((differences(outcome, client) for outcome in outcomes), Counter())
        total["sweeps that parted"] = sum(parted(outcome) for outcome in outcomes[:runs])
    kills = sum(outcome.kills for outcome in outcomes)
    print(f"{runs} sweeps and {trained} with training, killed {kills} times, in {time.monotonic() - began:.0f} s")
    counted = ("trials", "points in the journal")
    wrong = ("trials lost", "trials not completed", "sweeps without an end", "runs doubled", "runs missing")
    wrong += ("runs not finished", "curves that differ", "runs that differ", "sweeps that parted")
    for name in counted + wrong:
        print(f"{total[name]:8} {name}")
    return 0 if not any(total[name] for name in wrong) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
