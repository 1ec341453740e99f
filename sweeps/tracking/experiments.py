"""The experiment in MLflow that a sweep's runs belong to."""

from __future__ import annotations

from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Experiment, RunTag
from mlflow.exceptions import MlflowException

from sweeps.journal import SweepStarted
from sweeps.tracking import driver_process, store


class Experiments:
    """Experiments by the name of the dataset; under `mlflow run`, the experiment of the run that MLflow made.

    MLflow wants a parent and its children in one experiment. An experiment that is new has its artifacts beside a local
    database, by an absolute path, so that they are found from every folder; a server has a place of its own.
    """

    def __init__(self, uri: str, name: str | None, project_run: str | None) -> None:
        self.project_run = project_run
        self._uri = uri
        self._name = name

    def of(self, client: MlflowClient, started: SweepStarted) -> str:
        """Return the id of the experiment of a sweep that is not in the store yet."""
        if self.project_run:
            return self._adopt(client, self.project_run)
        name = self._name or started.dataset
        if started.source == "standin":  # its numbers must never stand among real ones
            name += "-standin"
        existing = client.get_experiment_by_name(name)
        if existing is not None:
            return self._within_reach(existing)
        return str(client.create_experiment(name, artifact_location=self._artifact_location(name)))

    def _adopt(self, client: MlflowClient, project_run: str) -> str:
        """Record which process works on the run that `mlflow run` made, and return its experiment."""
        tags = {"kind": "project", **driver_process.tags()}
        client.log_batch(project_run, tags=[RunTag(key, value) for key, value in tags.items()])
        return self._within_reach(client.get_experiment(client.get_run(project_run).info.experiment_id))

    def _within_reach(self, experiment: Experiment) -> str:
        """Return the experiment's id; raises `MlflowException` if its artifacts cannot be written from here."""
        if experiment.artifact_location.startswith("mlflow-artifacts:") and not self._uri.startswith("http"):
            raise MlflowException(
                f"a server made the experiment {experiment.name} and keeps its artifacts: log to the server, "
                "tracking.uri=http://host:port, or in another experiment"
            )
        return str(experiment.experiment_id)

    def _artifact_location(self, name: str) -> str | None:
        if not self._uri.startswith(store.SQLITE):
            return None
        return (store.database(self._uri).parent / "mlruns" / quote(name, safe="")).as_uri()
