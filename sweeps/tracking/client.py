"""Calls of MLflow's client that several files of this folder make."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from conf.schema import ConfigError
from sweeps.tracking import moved_artifacts, store

# A store that does not answer, or refuses, raises these; MLflow wraps a database's own errors only after opening it.
UNAVAILABLE = (MlflowException, SQLAlchemyError, OSError, sqlite3.Error)


def client_of_existing(uri: str) -> MlflowClient:
    """Return a client for reading; raises `ConfigError` for a missing database, which MLflow would create."""
    if uri.startswith(store.SQLITE) and not store.database(uri).is_file():
        raise ConfigError(f"tracking.uri={uri}: there is no such store; run a sweep first: python -m pipelines.sweep")
    moved_artifacts.follow(uri)
    return MlflowClient(uri, registry_uri=uri)


def search_runs(client: MlflowClient, condition: str) -> list[Run]:
    """Return the matching runs of all experiments, oldest first.

    A sweep may be resumed under `mlflow run`, and then belongs to another experiment than before.
    """
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(experiments, condition, order_by=["attributes.start_time"], page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def log_file(client: MlflowClient, run: str, name: str, content: bytes) -> None:
    """Log an artifact that is not on the disk yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        client.log_artifact(run, str(path))


def at_step_0(metrics: Mapping[str, float], when: float) -> list[Metric]:
    """Return metrics that have one value: MLflow draws step 0 as a bar and any other single step as a lone dot.

    They are rounded to six digits, as MLflow's pages print all digits that there are.
    """
    return [Metric(name, float(f"{value:.6g}"), milliseconds(when), 0) for name, value in metrics.items()]


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
