"""The runs of one sweep in MLflow: a run for the sweep, a child run for each trial.

What the store holds is compared with what the journal says, and what is missing is logged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf
from sqlalchemy.exc import SQLAlchemyError

from sweeps.report import figures, write
from sweeps import journal
from sweeps.tracking import driver_process, comparison_page
from sweeps.search import space
from sweeps.analysis import confirmation
from sweeps.journal import Event, SweepRecord, SweepStarted, TrialRecord
from sweeps.metrics import CURVES
from sweeps.tracking.comparison_page import Comparison

log = logging.getLogger(__name__)

LONGEST_REASON = 1000  # characters; MLflow refuses tags of more than 8,000
JOURNAL_EVERY = 60.0  # seconds; it is logged whole, and grows with every trial
ENDED = {"completed": "FINISHED", "failed": "FAILED"}
# What a store raises that is away, or refuses; MLflow wraps what a database says only once that is open.
AWAY = (MlflowException, SQLAlchemyError, OSError, sqlite3.Error)
DRIVER = "driver."  # prefix of the tags that tell which process runs a sweep


def driver_tags() -> dict[str, str]:
    """Of a run that this process works on."""
    return {f"{DRIVER}{key}": value for key, value in driver_process.identity().items()}


def search(client: MlflowClient, where: str) -> list[Run]:
    """Everywhere: a sweep's experiment depends on how it was started, and it may be resumed in another way."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, where, order_by=["attributes.start_time"])
    runs = list(found)
    while found.token:
        found = client.search_runs(experiments, where, order_by=["attributes.start_time"], page_token=found.token)
        runs += found
    return runs


@dataclass
class _Run:
    """A run as the store has it."""

    id: str
    status: str = "RUNNING"
    ended: int | None = None  # milliseconds
    attempt: tuple[int, int] | None = None  # the last one that was logged, and until which epoch it may run
    curves: dict[str, list[float]] | None = field(default_factory=dict)  # None: not known yet

    def is_(self, status: str | None, ended: float) -> bool:
        return self.status == status and self.ended == _milliseconds(ended)


class SweepRuns:
    """The runs of one sweep, and what of its record they do not hold yet."""

    def __init__(self, started: SweepStarted, directory: Path) -> None:
        self._started = started
        self._record = SweepRecord(directory)
        self._changed: set[int] = set()  # trials
        self._sweep_changed = True
        self._known = False  # whether what follows is what the store has
        self._experiment = ""
        self._parent: _Run | None = None
        self._trials: dict[int, _Run] = {}
        config: Any = OmegaConf.to_container(OmegaConf.create(started.config))
        searched = [hp.name for hp in space.recorded(config)]
        self._comparison = Comparison(started.sweep, started.objective, searched)
        self._journal_logged = -math.inf
        self._loss_curves = figures.LossCurves(started.held_out)
        self._viewed: bool | None = None  # whether the experiment keeps its view; None: not known yet

    @property
    def complete(self) -> bool:
        return not self._changed and not self._sweep_changed

    def add(self, event: Event) -> None:
        self._record.add(event)
        trial = getattr(event, "trial", None)
        if trial is None:
            self._sweep_changed = True
        else:
            self._changed.add(trial)

    @property
    def comparison(self) -> str | None:
        """The address of the page that compares the trials, below the server's; None before the page is there."""
        if self._viewed is None:
            return None
        return comparison_page.address(self._experiment, self._comparison, saved=self._viewed)

    def log(self, client: MlflowClient, experiment: Callable[[SweepStarted], str], project_run: str | None) -> None:
        """Bring the store up to date; where it fails, it is looked at anew before the next attempt."""
        if self.complete:
            return
        try:
            if not self._known:
                self._look(client)
                self._known = True
            if self._parent is None:
                self._experiment = experiment(self._started)
            self._show(client)
            parent = self._log_sweep(client, project_run)
            for trial in sorted(self._changed):
                self._log_trial(client, parent, self._record.trials[trial])
                self._changed.discard(trial)
            if parent.status == "RUNNING" and time.monotonic() - self._journal_logged > JOURNAL_EVERY:
                self._log_journal(client, parent)
            self._log_end(client, parent)
            self._sweep_changed = False
        except Exception:
            # A call that failed may have been carried out all the same.
            self._known = False
            raise

    def close(self, client: MlflowClient) -> None:
        """End what is still open."""
        for number, trial in self._record.trials.items():
            if trial.running:
                self._terminate(client, self._trials[number], "KILLED", trial.last, journal.INTERRUPTED)
        if self._record.ended is None and self._parent is not None:
            self._log_journal(client, self._parent)
            self._terminate(client, self._parent, "KILLED", self._record.sessions[-1][1], journal.INTERRUPTED)

    def _look(self, client: MlflowClient) -> None:
        """What the store has of this sweep. Of two runs for one thing, which a lost answer can lead to, one stays."""
        self._parent, self._trials = None, {}
        for found in search(client, f"tags.sweep = '{self._started.sweep}'"):
            run = _Run(found.info.run_id, found.info.status, found.info.end_time, curves=None)
            if found.data.tags.get("kind") == self._started.kind and self._parent is None:
                self._parent, self._experiment = run, found.info.experiment_id
            elif found.data.tags.get("kind") == "trial" and int(found.data.tags["trial"]) not in self._trials:
                self._trials[int(found.data.tags["trial"])] = run
            elif found.data.tags.get("kind") in (self._started.kind, "trial"):
                client.delete_run(run.id)

    def _log_sweep(self, client: MlflowClient, project_run: str | None) -> _Run:
        started, parent, ended = self._started, self._parent, self._record.ended
        if parent is not None and (not self._sweep_changed or (ended and parent.is_(ENDED[ended.status], ended.time))):
            return parent
        driver = driver_tags()
        if parent is None:
            tags = {"kind": started.kind, "objective": started.objective, "data.digest": started.digest, **self._tags()}
            if started.git_commit:
                tags |= {"git.commit": started.git_commit, "git.dirty": str(started.git_dirty).lower()}
            if project_run:
                tags["mlflow.parentRunId"] = project_run
            if started.confirms:  # below its sweep
                tags["confirms"] = started.confirms
                for sweep in search(client, f"tags.sweep = '{started.confirms}' and tags.kind = 'sweep'")[:1]:
                    tags["mlflow.parentRunId"], self._experiment = sweep.info.run_id, sweep.info.experiment_id
            name = f"{started.model} {'confirm' if started.confirms else started.tuner} {_short(started.sweep)}"
            parent = self._parent = self._create(client, name, tags | driver, started.time)
        else:
            self._open(client, parent, driver)
        self._log_note(client, parent)
        client.log_text(parent.id, started.config, "config.yaml")
        return parent

    def _show(self, client: MlflowClient) -> None:
        """Have the page compare the trials as they should be. How it keeps that is MLflow's own affair: best effort."""
        if self._viewed is not None:
            return
        mine = comparison_page.of_sweep(self._comparison)
        all_ = comparison_page.of_experiment(self._comparison, _milliseconds(self._started.time))
        try:
            tags = client.get_experiment(self._experiment).tags
            if tags.get(mine.tag) != mine.value:
                client.set_experiment_tag(self._experiment, *mine)
            if comparison_page.newer(all_, tags.get(all_.tag)):
                client.set_experiment_tag(self._experiment, *all_)
            self._viewed = True
        except MlflowException as error:
            client.get_experiment(self._experiment)  # raises too where the store is away
            log.warning("MLflow keeps no view of %s: %s", self._started.sweep, first_line(error))
            self._viewed = False

    def _log_note(self, client: MlflowClient, parent: _Run) -> None:
        links = {
            "compare the trials": comparison_page.address(self._experiment, self._comparison, saved=bool(self._viewed)),
            "report, configuration and journal": f"#/experiments/{self._experiment}/runs/{parent.id}/artifacts",
        }
        client.set_tag(parent.id, comparison_page.NOTE, comparison_page.note(self._record, self._comparison.searched, links))

    def _log_trial(self, client: MlflowClient, parent: _Run, trial: TrialRecord) -> None:
        run = self._trials.get(trial.trial)
        if run is not None and run.is_(ENDED.get(trial.status), trial.last):
            return
        if run is not None and not self._agrees(client, run, trial):
            client.delete_run(run.id)
            run = None
        if run is None:
            run = self._create_trial(client, parent, trial)
        elif run.status != "RUNNING":  # another attempt, or a Hyperband promotion
            self._open(client, run, {})
        self._log_numbers(client, run, trial)
        if not trial.running:
            self._end_trial(client, run, trial)

    def _create_trial(self, client: MlflowClient, parent: _Run, trial: TrialRecord) -> _Run:
        tags = {
            "kind": "trial",
            "trial": str(trial.trial),
            "baseline": str(trial.baseline).lower(),
            "trial.seed": str(trial.seed),
            "mlflow.parentRunId": parent.id,
            **self._tags(),
        }
        if trial.origin is not None:
            tags["origin"] = str(trial.origin)
        name = f"{self._started.model}-{_short(self._started.sweep)}-{trial.trial:02d}"
        run = self._trials[trial.trial] = self._create(client, name, tags, trial.started)
        return run

    def _agrees(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> bool:
        """Whether the run's curves are the trial's, as far as both go.

        An attempt that is run again gives the same numbers on the same machine, but it may be another one; and MLflow
        cannot take back a point.
        """
        if run.curves is None:
            run.curves = {name: _history(client, run.id, name) for name in CURVES}
        for name, logged in run.curves.items():
            curve = trial.curves.get(name, [])
            n = len(logged) if not trial.running else min(len(logged), len(curve))
            if logged[:n] != curve[:n]:
                return False
        return True

    def _log_numbers(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> None:
        """All that is new of a trial, in one call: each is a transaction of its own, for 2 to 6 ms."""
        assert run.curves is not None
        points = _points(trial, run.curves)
        metrics, params, tags = points, [], []
        if run.attempt != (trial.attempt, trial.epochs):
            client.log_inputs(run.id, [self._dataset()])
            params = [Param(name, str(value)) for name, value in trial.values.items()]
            tags = [RunTag("attempt", str(trial.attempt))]
        if not trial.running:
            costs = {f"cost/{name}": value for name, value in trial.cost.items()}
            objective = {} if trial.objective is None else {"objective": trial.objective}
            metrics = points + _at_step_0({**objective, **trial.test, **costs}, trial.last)
            tags.append(_reason(trial.reason))
            if trial.best_epoch is not None:
                tags.append(RunTag("best_epoch", str(trial.best_epoch)))
        client.log_batch(run.id, metrics, params, tags)
        run.attempt = (trial.attempt, trial.epochs)
        for point in points:  # added: those of an attempt before this one are still there
            run.curves.setdefault(point.key, []).append(point.value)

    def _end_trial(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> None:
        if trial.traceback:
            client.log_text(run.id, trial.traceback, "traceback.txt")
        if trial.epochs_run:
            self._log_loss_curves(client, run, trial)
        self._set_status(client, run, ENDED[trial.status], trial.last)

    def _log_loss_curves(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "loss_curves.png"
            name = f"{self._started.model} on {self._started.dataset}, trial {trial.trial}"
            self._loss_curves.write(trial.curves, name, path)
            client.log_artifact(run.id, str(path))

    def _log_end(self, client: MlflowClient, parent: _Run) -> None:
        ended, best = self._record.ended, self._record.best
        if ended is None or parent.is_(ENDED[ended.status], ended.time):
            return
        if best is not None and best.best_epoch is not None:
            chosen = {
                name: curve[best.best_epoch - 1] for name, curve in best.curves.items() if name.startswith("val/")
            }
            scores = _at_step_0({**chosen, **best.test}, ended.time)
            client.log_batch(parent.id, scores, tags=[RunTag("best_trial", str(best.trial))])
        if self._started.confirms:
            client.log_batch(parent.id, _at_step_0(confirmation.metrics(confirmation.outcomes(self._record)), ended.time))
        self._log_note(client, parent)
        self._log_journal(client, parent)
        page = write.kept(self._record)
        if page is not None:
            client.log_artifact(parent.id, str(page))
        self._terminate(client, parent, ENDED[ended.status], ended.time, ended.reason)

    def _log_journal(self, client: MlflowClient, parent: _Run) -> None:
        """As far as it goes: from it a sweep that runs, or was interrupted, is reported from the store alone."""
        client.log_artifact(parent.id, str(self._record.directory / journal.FILE))
        self._journal_logged = time.monotonic()

    def _tags(self) -> dict[str, str]:
        started = self._started
        return {
            "sweep": started.sweep,
            "model": started.model,
            "dataset": started.dataset,
            "tuner": started.tuner,
            "seed": str(started.seed),
            "source": started.source,
        }

    def _dataset(self) -> DatasetInput:
        started = self._started
        source = json.dumps({"dataset": started.dataset, "source": started.source})
        dataset = Dataset(started.dataset, started.digest, started.source, source)
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "train, validation, test")])

    def _create(self, client: MlflowClient, name: str, tags: Mapping[str, str], when: float) -> _Run:
        run = client.create_run(self._experiment, _milliseconds(when), dict(tags), name)
        return _Run(str(run.info.run_id))

    def _open(self, client: MlflowClient, run: _Run, tags: Mapping[str, str]) -> None:
        """Have a run go on that had ended, or that another process had."""
        client.log_batch(run.id, tags=[RunTag(key, value) for key, value in tags.items()])
        client.update_run(run.id, "RUNNING")
        run.status, run.ended = "RUNNING", None

    def _terminate(self, client: MlflowClient, run: _Run, status: str, when: float, reason: str) -> None:
        if run.is_(status, when):
            return
        client.log_batch(run.id, tags=[_reason(reason)])
        self._set_status(client, run, status, when)

    def _set_status(self, client: MlflowClient, run: _Run, status: str, when: float) -> None:
        """The last that is logged: a run that has it is complete."""
        client.set_terminated(run.id, status, _milliseconds(when))
        run.status, run.ended = status, _milliseconds(when)


def _points(trial: TrialRecord, logged: Mapping[str, Sequence[float]]) -> list[Metric]:
    """Of a trial's curves, those that are not logged yet."""
    return [
        Metric(name, curve[epoch], _milliseconds(trial.epoch_times[epoch]), epoch + 1)
        for name, curve in trial.curves.items()
        for epoch in range(len(logged.get(name, [])), len(curve))
    ]


def _at_step_0(metrics: Mapping[str, float], when: float) -> list[Metric]:
    """MLflow draws a metric that has only a step 0 as bars, any other single step as a lone dot."""
    # Six digits: MLflow's pages print every one there is.
    return [Metric(name, float(f"{value:.6g}"), _milliseconds(when), 0) for name, value in metrics.items()]


def _reason(reason: str) -> RunTag:
    return RunTag("status.reason", reason[:LONGEST_REASON])


def _history(client: MlflowClient, run: str, name: str) -> list[float]:
    """A curve as logged; what was logged twice with different values makes it longer than it can be."""
    points = {(point.step, point.value) for point in client.get_metric_history(run, name)}
    return [value for _, value in sorted(points)]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _short(sweep: str) -> str:
    """Four letters that tell a sweep's runs from another's in a legend."""
    return hashlib.sha256(sweep.encode()).hexdigest()[:4]


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
