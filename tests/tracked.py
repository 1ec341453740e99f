"""Sweeps of fake trials in a real store, and what is read there."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from conf.compose import Job
from sweeps import driver
from sweeps.driver import Search
from sweeps.search.oracle import Oracle
from sweeps.tracking import store
from sweeps.tracking.tracker import Tracker
from tests.fakes import FakeEngine, plan


def opened(job: Job) -> Tracker:
    return Tracker(store.uri(job.config.tracking.uri), job.config.tracking.experiment)


def tracked(job: Job, engine: FakeEngine | None = None, tracker: Tracker | None = None) -> Search:
    tracker = tracker or opened(job)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    driver.run([search], engine or FakeEngine())
    assert tracker.close()
    return search


def client() -> MlflowClient:
    return MlflowClient(store.uri(None))


def runs(kind: str) -> list[Run]:
    everywhere = [e.experiment_id for e in client().search_experiments()]
    return list(client().search_runs(everywhere, f"tags.kind = '{kind}'", order_by=["attributes.run_name"]))


def history(run: Run, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client().get_metric_history(run.info.run_id, metric)]


def artifacts(run: Run) -> dict[str, Path]:
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.name: path for path in folder.iterdir()} if folder.exists() else {}
