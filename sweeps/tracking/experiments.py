"""The experiment in MLflow that a sweep's runs belong to."""

from __future__ import annotations

import shlex
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol
from urllib.parse import quote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import Experiment, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path

from sweeps.tracking import driver_process, failures, filters, store
from sweeps.tracking.client import NO_SUCH_RUN, UNAVAILABLE, search_runs
from sweeps.tracking.failures import StoreRefusesError
from sweeps.tracking.store import without_password

NOWHERE = "text-sweeps-probe"  # a folder that no experiment has: listing a whole one could take long
NO_REPOSITORY = "Could not find a registered artifact repository"  # an error of MLflow's
# MLflow's own tag, which says that models are trained. The pages of 3.17 go by their address, whatever it says.
KIND = ("mlflow.experimentKind", "custom_model_development")


class Sweep(Protocol):
    """A sweep that runs, or is about to."""

    @property
    def sweep(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def source(self) -> str: ...


class Experiments:
    """Experiments by the name of the dataset; under `mlflow run`, the experiment of the run that MLflow made.

    MLflow wants a parent and its children in one experiment. An experiment that is new has its artifacts beside a local
    database, by an absolute path, so that they are found from every folder; a server has a place of its own.
    """

    def __init__(self, uri: str, name: str | None, project_run: str | None) -> None:
        self.project_run = project_run
        self._uri = uri
        self._name = name

    def check(self, client: MlflowClient, sweep: Sweep) -> None:
        """Raise `StoreRefusesError` if the runs of a sweep could not be logged, `StoreAwayError` if not now."""
        try:
            logged = search_runs(client, filters.equals("tags.sweep", sweep.sweep))
            experiment = logged[0].info.experiment_id if logged else self.of(client, sweep)
            if self._uri.startswith("http"):  # the server may allow one to read alone
                name, kind = KIND
                client.set_experiment_tag(experiment, name, client.get_experiment(experiment).tags.get(name, kind))
        except UNAVAILABLE as error:
            raise failures.of(self._uri, error) from error

    def of(self, client: MlflowClient, sweep: Sweep) -> str:
        """Return the id of the experiment of a sweep that is not in the store yet."""
        if self.project_run:
            return self._adopt(client, self.project_run)
        name = self._name or sweep.dataset
        if sweep.source == "standin":  # its numbers must never stand among real ones
            name += "-standin"
        return self._usable(client.get_experiment_by_name(name) or self._create(client, name))

    def _create(self, client: MlflowClient, name: str) -> Experiment:
        try:
            location = self._artifact_location(name)
            return client.get_experiment(client.create_experiment(name, location, dict([KIND])))
        except MlflowException as error:
            existing = client.get_experiment_by_name(name)  # another process may just have created it
            if existing is None:
                raise failures.of(self._uri, error) from error
            return existing

    def _adopt(self, client: MlflowClient, project_run: str) -> str:
        """Record which process works on the run that `mlflow run` made, and return its experiment."""
        try:
            run = client.get_run(project_run)
        except MlflowException as error:
            if error.error_code not in NO_SUCH_RUN:
                raise
            raise self._refused(f"has no run {project_run}, which MLFLOW_RUN_ID names; unset it") from error
        if run.info.lifecycle_stage == "deleted":
            raise self._refused(f"its run {project_run}, which MLFLOW_RUN_ID names, is deleted; unset it")
        tags = {"kind": "project", **driver_process.tags()}
        client.log_batch(project_run, tags=[RunTag(key, value) for key, value in tags.items()])
        return self._usable(client.get_experiment(run.info.experiment_id))

    def _usable(self, experiment: Experiment) -> str:
        """Return the experiment's id; raises `StoreRefusesError` if runs or their files cannot be written to it."""
        if experiment.lifecycle_stage == "deleted":
            address = shlex.quote(store.without_password(self._uri))
            raise self._refused(
                f"its experiment {experiment.name} is deleted; name another one, tracking.experiment=…, or restore it: "
                f"MLFLOW_TRACKING_URI={address} mlflow experiments restore --experiment-id {experiment.experiment_id}"
            )
        scheme = urlsplit(experiment.artifact_location).scheme
        if scheme == "mlflow-artifacts" and not self._uri.startswith("http"):
            raise self._refused(
                f"a server made the experiment {experiment.name} and keeps its artifacts: log to the server, "
                "tracking.uri=http://host:port, or in another experiment, tracking.experiment=…"
            )
        if scheme in ("", "file") and not self._uri.startswith("http"):
            self._check_folder(experiment)
        if scheme not in ("", "file", "mlflow-artifacts"):
            self._check_package(experiment)
        return str(experiment.experiment_id)

    def _check_folder(self, experiment: Experiment) -> None:
        folder = Path(local_file_uri_to_path(experiment.artifact_location))  # type: ignore[no-untyped-call]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise self._refused(
                f"the files of the experiment {experiment.name} cannot be written to {folder}: {error.strerror}; "
                "correct that, or name another one, tracking.experiment=…"
            ) from error

    def _check_package(self, experiment: Experiment) -> None:
        """Raise `StoreRefusesError` if the artifacts lie where MLflow, as it is installed here, cannot write."""
        place = without_password(experiment.artifact_location)
        try:
            get_artifact_repository(experiment.artifact_location).list_artifacts(NOWHERE)
            return
        except ImportError as error:
            reason = f"the package {error.name}, which writes there, is not installed; install it"
        except Exception as error:  # of any library, and it may not come again
            if NO_REPOSITORY not in str(error):
                return
            reason = "MLflow knows no such place"
        raise self._refused(
            f"the files of the experiment {experiment.name} are kept in {place}: {reason}, or name another one, "
            "tracking.experiment=…"
        )

    def _refused(self, reason: str) -> StoreRefusesError:
        return failures.refused(self._uri, reason)

    def _artifact_location(self, name: str) -> str | None:
        if not store.is_sqlite(self._uri):
            return None
        return (store.database(self._uri).parent / "mlruns" / quote(name, safe="")).as_uri()
