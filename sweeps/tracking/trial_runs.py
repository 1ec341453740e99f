"""The runs of one sweep's trials: each is a child of the sweep's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from sweeps.journal import INTERRUPTED, RunLinks, SweepRecord, TrialRecord
from sweeps.metrics import CURVES
from sweeps.tracking import naming, store
from sweeps.tracking.client import at_step_0, log_file, milliseconds
from sweeps.tracking.extras import Extras, ExtrasOf
from sweeps.tracking.stored_run import StoredRun


class TrialRuns:
    """The trials' runs: `log` adds whatever the run of a trial does not hold yet."""

    def __init__(self, record: SweepRecord, extras: ExtrasOf) -> None:
        self._record = record
        self._extras = extras
        self._runs: dict[int, StoredRun] = {}

    def forget(self) -> None:
        """Drop what is known of the store, because it may have changed."""
        self._runs = {}

    def adopt(self, trial: int, run: StoredRun) -> bool:
        """Take a run of the store as a trial's; returns whether it is the first one."""
        return self._runs.setdefault(trial, run) is run

    def links(self, uri: str, experiment: str) -> RunLinks:
        """Return the pages of the runs in the store of this address."""
        return links(uri, experiment, {trial: run.id for trial, run in self._runs.items()})

    def find_lost_files(self, client: MlflowClient, *, ask: bool) -> None:
        """Count as unfinished each run that has lost its files; a place on a server is only looked at with `ask`.

        That is a call for each trial. A run with other numbers was given these tags by somebody else.
        """
        for number, run in self._runs.items():
            trial = self._record.trials.get(number)
            if trial is None or trial.running or not (trial.epochs_run or trial.traceback):
                continue
            if (ask or run.keeps_files_here) and not run.has_files(client) and _agrees(client, run, trial):
                run.count_as_unfinished()

    def hold(self, trial: TrialRecord) -> bool:
        """Whether the run of a trial is there, and has ended if the trial has."""
        run = self._runs.get(trial.trial)
        return run is not None and (trial.running or run.has_ended(trial.status, trial.last_event))

    def log(self, client: MlflowClient, experiment: str, parent: str, trial: TrialRecord) -> None:
        run = self._runs.get(trial.trial)
        if run is not None and run.has_ended(trial.status, trial.last_event):
            return
        if run is not None and not _agrees(client, run, trial):
            client.delete_run(run.id)
            run = None
        if run is None:
            started = self._record.started
            name, tags = naming.trial_name(started, trial), naming.trial_tags(started, trial, parent)
            run = self._runs[trial.trial] = StoredRun.create(client, experiment, name, tags, trial.started)
        elif run.status != "RUNNING":  # another attempt, or a Hyperband promotion
            run.reopen(client, {})
        extras = Extras() if trial.running else self._extras(self._record, trial)
        self._log_numbers(client, run, trial, extras)
        if not trial.running:
            _end(client, run, trial, extras)

    def kill(self, client: MlflowClient, trial: TrialRecord) -> None:
        """End the run of a trial that nobody works on any more."""
        self._runs[trial.trial].terminate(client, "KILLED", trial.last_event, INTERRUPTED)

    def _log_numbers(self, client: MlflowClient, run: StoredRun, trial: TrialRecord, extras: Extras) -> None:
        """Log everything new in one call: each call is a transaction of its own, for 2 to 6 ms."""
        assert run.curves is not None
        points = _new_points(trial, run.curves)
        metrics, params, tags = points, [], []
        if run.attempt != (trial.attempt, trial.epochs):
            client.log_inputs(run.id, [naming.dataset_input(self._record.started)])
            params = [Param(name, str(value)) for name, value in trial.values.items()]
            tags = [RunTag("attempt", str(trial.attempt))]
        if not trial.running:
            outcome = _outcome(trial, ranked=not self._record.started.confirms)
            metrics = points + at_step_0({**outcome, **extras.metrics}, trial.last_event)
            tags.append(naming.reason_tag(trial.reason))
            if trial.best_epoch is not None:
                tags.append(RunTag("best_epoch", str(trial.best_epoch)))
        client.log_batch(run.id, metrics, params, tags)
        run.attempt = (trial.attempt, trial.epochs)
        for point in points:  # after those of earlier attempts, which stay in the store
            run.curves.setdefault(point.key, []).append(point.value)


def links(uri: str, experiment: str, runs: Mapping[int, str]) -> RunLinks:
    """Return the pages of trials' runs, whose ids these are, and the command that serves them."""
    pages = f"{store.server(uri)}/#/experiments/{experiment}/runs"
    return RunLinks({trial: f"{pages}/{run}" for trial, run in runs.items()}, store.ui_command(uri, anywhere=True))


def _end(client: MlflowClient, run: StoredRun, trial: TrialRecord, extras: Extras) -> None:
    if trial.traceback:
        client.log_text(run.id, trial.traceback, "traceback.txt")
    for name, content in extras.files.items():
        log_file(client, run.id, name, content)
    run.end(client, trial.status, trial.last_event)


def _outcome(trial: TrialRecord, *, ranked: bool) -> dict[str, float]:
    """Return the scores and the cost of a trial; only a ranked one has scores on validation data."""
    scores = naming.scores(trial) if ranked else trial.test
    return {**scores, **{f"cost/{name}": value for name, value in trial.cost.items()}}


def _agrees(client: MlflowClient, run: StoredRun, trial: TrialRecord) -> bool:
    """Whether the run's curves are the trial's, as far as both go.

    An attempt that is run again gives the same numbers on the same machine, but it may run on another one; and MLflow
    cannot take back a point.
    """
    if run.curves is None:
        run.curves = {name: _history(client, run.id, name) for name in CURVES}
    for name, logged in run.curves.items():
        curve = trial.curves.get(name, [])
        n = min(len(logged), len(curve)) if trial.running else len(logged)
        if logged[:n] != curve[:n]:
            return False
    return True


def _new_points(trial: TrialRecord, logged: Mapping[str, Sequence[float]]) -> list[Metric]:
    """Return the points of a trial's curves that are not logged yet."""
    return [
        Metric(name, curve[epoch], milliseconds(trial.epoch_times[epoch]), epoch + 1)
        for name, curve in trial.curves.items()
        for epoch in range(len(logged.get(name, [])), len(curve))
    ]


def _history(client: MlflowClient, run: str, name: str) -> list[float]:
    """Return a curve as logged; an epoch that was logged with two values makes it longer than it can be."""
    points = {(point.step, point.value) for point in client.get_metric_history(run, name)}
    return [value for _, value in sorted(points)]
