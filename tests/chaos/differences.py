"""The journal of a sweep against its runs in the store, and against the same sweep to which nothing happened."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run

import sweeps.search.oracle
from conf.compose import compose
from sweeps import driver, journal
from sweeps.journal import SweepRecord
from sweeps.metrics import CURVES
from sweeps.session import checks
from sweeps.session.plans import plans_of
from sweeps.terminal.console import Console
from sweeps.trials import references
from tests.chaos.cases import Case
from tests.fakes import FakeEngine

COUNTED = ("trials", "points in the journal")  # these are no faults


def differences(directory: Path, uri: str) -> Counter[str]:
    """Count the trials and points of a sweep on which nobody works, and the faults of its journal and of its runs."""
    counts: Counter[str] = Counter()
    events = journal.read(directory / "imdb")
    record = SweepRecord.of(directory, events)
    counts["trials"] = len(record.trials)
    if record.ended:
        counts["trials lost"] = record.budget - len(record.trials)
        counts["trials not completed"] = sum(trial.status != "completed" for trial in record.trials.values())
        counts["references lost"] = len(references.NAMES) - sum(each.completed for each in record.references.values())
    counts["times that go back"] = sum(later.time < earlier.time for earlier, later in pairwise(events))
    client = MlflowClient(uri)
    runs = _runs(client, record.started.sweep)
    parents = [run for run in runs if run.data.tags["kind"] == "sweep"]
    children = Counter(int(run.data.tags["trial"]) for run in runs if run.data.tags["kind"] == "trial")
    linear = Counter(run.data.tags["reference"] for run in runs if run.data.tags["kind"] == "reference")
    counts["runs doubled"] = max(0, len(parents) - 1) + sum(n - 1 for n in (*children.values(), *linear.values()))
    counts["runs missing"] = len(record.trials.keys() - children.keys()) + (not parents)
    counts["runs missing"] += len(record.references.keys() - linear.keys())
    right = ("FINISHED",) if record.ended else ("FINISHED", "KILLED")
    counts["runs not finished"] = sum(run.info.status not in right for run in runs)
    counts["times that go back"] += sum(run.info.end_time < run.info.start_time for run in runs if run.info.end_time)
    for run in runs:
        if run.data.tags["kind"] == "trial":
            counts += _of_trial(client, record, run)
    return counts


def parted(case: Case, directory: Path) -> bool:
    """Whether a sweep whose trials do not depend on which one ends first differs from the undisturbed one."""
    if case.tuner not in ("random", "grid") and case.workers > 1:
        return False
    record = SweepRecord.of(directory, journal.read(directory / "imdb"))
    disturbed, whole = (
        {n: (trial.values, trial.seed, trial.curves, trial.objective) for n, trial in r.trials.items()}
        for r in (record, _undisturbed(case))
    )
    return disturbed != whole


def has_ended(directory: Path) -> bool:
    return SweepRecord.of(directory, journal.read(directory / "imdb")).ended is not None


def _runs(client: MlflowClient, sweep: str) -> list[Run]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.sweep = '{sweep}'", max_results=1000))


def _of_trial(client: MlflowClient, record: SweepRecord, run: Run) -> Counter[str]:
    counts: Counter[str] = Counter()
    trial = record.trials[int(run.data.tags["trial"])]
    counts["points in the journal"] = sum(map(len, trial.curves.values()))
    for name in CURVES:
        points = [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)]
        counts["curves that differ"] += points != list(enumerate(trial.curves.get(name, []), start=1))
    counts["runs that differ"] = run.data.params != {name: str(value) for name, value in trial.values.items()}
    counts["runs that differ"] += any(
        abs(run.data.metrics.get(name, np.inf) - value) > 1e-5 for name, value in trial.test.items()
    )
    return counts


def _undisturbed(case: Case) -> SweepRecord:
    """Run the same sweep without mishaps, without workers and store."""
    sys.argv = ["sweep", *case.arguments]
    (job,) = compose()
    (plan,) = plans_of(job, checks.check(job.config), case.folder / "undisturbed", Console())
    search = driver.Search(plan, sweeps.search.oracle.Oracle(job.config, plan.space))
    driver.run([search], FakeEngine(workers=case.workers))
    return search.record
