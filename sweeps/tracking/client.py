"""Calls of MLflow's client that several files of this folder make."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from sweeps.tracking import creation, database, failures, moved_artifacts, temporary_folder
from sweeps.tracking.failures import StoreAwayError, StoreRefusesError

# A store that does not answer, or refuses, raises these; MLflow wraps a database's own errors only after opening it,
# and imports what writes to a place of artifacts when it is first used.
UNAVAILABLE = (MlflowException, SQLAlchemyError, OSError, sqlite3.Error, ImportError, StoreAwayError, StoreRefusesError)


NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the second for what cannot be a run's id
PROBE = "/api/2.0/mlflow/experiments/search"
ANSWERS_WITHIN = 15  # seconds that a server gets for its first answer


def connect(uri: str, *, create: bool = False) -> MlflowClient:
    """Return a client of a store that answers, and is one of the installed MLflow's.

    Without `create` it must be there. Raises `StoreRefusesError`, or `StoreAwayError` if it does not answer now.
    """
    # A database that goes away is one line of ours, and not a traceback of MLflow's for each call.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    temporary_folder.check()
    if uri.startswith("http"):
        _check_server(uri)
    elif create:
        creation.ensure(uri)
    else:
        database.check(uri)
    try:
        client = MlflowClient(uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        moved_artifacts.follow(uri)
    except UNAVAILABLE as error:
        raise failures.of(uri, error) from error
    return client


def _check_server(uri: str) -> None:
    """Ask a server once; MLflow's own client does not tell which status it answers."""
    try:
        credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        answer = http_request(  # type: ignore[no-untyped-call]
            credentials,
            PROBE,
            "POST",
            json={"max_results": 1},
            max_retries=0,
            timeout=ANSWERS_WITHIN,
            raise_on_status=False,
        )
    except (*UNAVAILABLE, ValueError) as error:
        raise failures.of(uri, error) from error
    if answer.status_code != 200:
        raise failures.of_status(uri, answer.status_code)
    if not _is_mlflows(answer):
        raise failures.of_page(uri)


def _is_mlflows(answer: Any) -> bool:
    """Whether a server's answer is one to `PROBE`; others may answer anything with JSON of their own."""
    try:
        content = answer.json()
    except (ValueError, RecursionError):
        return False
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    return is_json and isinstance(content, dict) and content.keys() <= {"experiments", "next_page_token"}


def search_runs(client: MlflowClient, condition: str) -> list[Run]:
    """Return the matching runs of all experiments, oldest first.

    A sweep may be resumed under `mlflow run`, and then belongs to another experiment than before.
    """
    return all_pages(client, [experiment.experiment_id for experiment in client.search_experiments()], condition)


def all_pages(client: MlflowClient, experiments: list[str], condition: str) -> list[Run]:
    """Return the matching runs of these experiments, oldest first."""
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
