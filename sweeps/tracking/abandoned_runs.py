"""The runs that a driver of this machine left RUNNING when it was killed."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Run

from sweeps.journal import INTERRUPTED
from sweeps.tracking import driver_process, filters
from sweeps.tracking.client import search_runs
from sweeps.tracking.naming import REASON, REFERENCE

RUNNING = "attributes.status = 'RUNNING'"


def close(client: MlflowClient) -> None:
    """End these runs as KILLED, at the time of their last sign of life."""
    host = filters.equals(f"tags.`{driver_process.TAG}host`", driver_process.identity()["host"])
    here = f"{RUNNING} and {host}"
    for kind in ("sweep", "confirm"):
        for sweep in search_runs(client, f"{here} and {filters.equals('tags.kind', kind)}"):
            if "sweep" in sweep.data.tags and _is_abandoned(sweep):
                _kill(client, sweep, sweep.info.run_id, _close_trials(client, sweep))
    for project in search_runs(client, f"{here} and tags.kind = 'project'"):
        _kill(client, project, project.info.run_id, None)


def _close_trials(client: MlflowClient, sweep: Run) -> int:
    """Return the time of the last sign of life of the sweep's trials, in milliseconds."""
    ended = int(sweep.info.start_time)
    children = search_runs(client, f"{RUNNING} and {filters.equals('tags.sweep', sweep.data.tags['sweep'])}")
    for trial in (run for run in children if {"trial", REFERENCE} & run.data.tags.keys()):
        histories = [client.get_metric_history(trial.info.run_id, name) for name in trial.data.metrics]
        last = max((point.timestamp for history in histories for point in history), default=trial.info.start_time)
        ended = max(ended, last)
        _kill(client, sweep, trial.info.run_id, last)
    return ended


def _is_abandoned(run: Run) -> bool:
    return run.info.status == "RUNNING" and driver_process.is_known_dead(run.data.tags)


def _kill(client: MlflowClient, owner: Run, run: str, when: int | None) -> None:
    if _is_abandoned(client.get_run(owner.info.run_id)):  # another process may just have resumed it
        client.set_tag(run, REASON, INTERRUPTED)
        client.set_terminated(run, "KILLED", when)
