"""A sweep's chosen model -> MLflow's registry: logged once, loaded back and tested again, and only then registered."""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelOutput, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from sweeps.checkpoints import Checkpoints
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.plan import Plan
from sweeps.runs import AWAY, first_line, search
from sweeps.silence import without_native_logs
from sweeps.spec import Dataset, SweepError
from sweeps.store import without_password

if TYPE_CHECKING:
    import keras

ALIAS = "candidate"
SERVED = Path(__file__).with_name("served.py")
# Named, or MLflow would take 15 s to find them by loading the model in another process.
REQUIREMENTS = ("keras", "mlflow", "numpy", "tensorflow")
DIGITS = 6


class NotRegisteredError(SweepError):
    """The message says why; the next attempt may succeed, and none leads to a second model."""


class Version(NamedTuple):
    name: str
    number: str
    trial: int
    new: bool  # by this call


def register(uri: str, plan: Plan, record: SweepRecord) -> Version | None:
    """Have the model of a sweep's best trial in the registry, as a version with the alias `candidate`.

    None where there is nothing to register: a sweep that did not complete, or one on stand-in data. Raises
    `NotRegisteredError`.
    """
    best = record.best
    if best is None or record.ended is None or record.ended.status != "completed" or plan.data["source"] != "archive":
        return None
    try:
        return _register(MlflowClient(uri, registry_uri=uri), plan, best)
    except AWAY as error:
        raise NotRegisteredError(f"{without_password(uri)} does not take {_name(plan)}: {first_line(error)}") from error


def _name(plan: Plan) -> str:
    return f"{plan.config.model.name}-{plan.dataset}"


def _chosen(plan: Plan, best: TrialRecord) -> dict[str, str]:
    """Tags that no other model has. A sweep that goes on may choose again."""
    return {"sweep": plan.sweep, "trial": str(best.trial), "epochs": str(best.epochs)}


def _register(client: MlflowClient, plan: Plan, best: TrialRecord) -> Version:
    name, chosen = _name(plan), _chosen(plan, best)
    versions = list(client.search_model_versions(f"name = '{name}'"))
    known = next((version for version in versions if chosen.items() <= version.tags.items()), None)
    mine = known or _create_version(client, plan, best)
    # Not past a later sweep's.
    if all(int(version.version) <= int(mine.version) for version in versions):
        client.set_registered_model_alias(name, ALIAS, mine.version)
    return Version(name, str(mine.version), best.trial, new=known is None)


def _create_version(client: MlflowClient, plan: Plan, best: TrialRecord) -> ModelVersion:
    run = _run_of(client, plan, best)
    model = _logged(client, run, _chosen(plan, best)) or _log(client, run, plan, best)
    known = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [output.model_id for output in known]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=best.best_epoch or 0)])
    scores = {name: f"{value:.6g}" for name, value in {**_validation(best), **best.test}.items()}
    tags = {**_chosen(plan, best), **scores, "data.digest": plan.digest}
    try:
        client.create_registered_model(_name(plan))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"models:/{model.model_id}"
    return client.create_model_version(_name(plan), source, run.info.run_id, tags=tags, model_id=model.model_id)


def _validation(trial: TrialRecord) -> dict[str, float]:
    assert trial.best_epoch is not None
    return {name: curve[trial.best_epoch - 1] for name, curve in trial.curves.items() if name.startswith("val/")}


def _run_of(client: MlflowClient, plan: Plan, trial: TrialRecord) -> Run:
    runs = search(client, f"tags.sweep = '{plan.sweep}' and tags.kind = 'trial' and tags.trial = '{trial.trial}'")
    if not runs:
        raise NotRegisteredError(f"the run of trial {trial.trial} of {plan.sweep} is not in MLflow")
    return runs[0]


def _logged(client: MlflowClient, run: Run, chosen: dict[str, str]) -> LoggedModel | None:
    """The model, where an earlier attempt logged it whole; what it left half-done is deleted."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    whole = None
    for model in found:
        if chosen.items() <= model.tags.items() and model.status == "READY":
            whole = model
        elif model.status != "READY":
            client.delete_logged_model(model.model_id)
    return whole


def _log(client: MlflowClient, run: Run, plan: Plan, best: TrialRecord) -> LoggedModel:
    data, network = _rebuilt(plan, best)
    tags = _chosen(plan, best)
    model = client.create_logged_model(run.info.experiment_id, _name(plan), run.info.run_id, tags=tags)
    with tempfile.TemporaryDirectory() as scratch:
        _save(network, data, Model(model_id=model.model_id, run_id=run.info.run_id), Path(scratch, "model"))
        client.log_model_artifacts(model.model_id, str(Path(scratch, "model")))
    _test(client.tracking_uri, model, data, best)
    client.finalize_logged_model(model.model_id, "READY")
    return model


def _rebuilt(plan: Plan, best: TrialRecord) -> tuple[Dataset, keras.Model]:
    checkpoint = Checkpoints(plan.directory / "checkpoints").load(best.trial, best.epochs)
    if checkpoint is None:
        raise NotRegisteredError(f"{plan.directory}: the weights of trial {best.trial} are gone")
    try:
        with without_native_logs():
            from sweeps import trial

            return trial.rebuild(plan.spec(best.trial, best.values, 0, best.epochs), checkpoint.best_weights)
    except Exception as error:  # the archive is gone, the builder is another one: it may be long ago that this trained
        raise NotRegisteredError(f"{_name(plan)} cannot be had again: {error}") from error


def _save(network: keras.Model, data: Dataset, model: Model, path: Path) -> None:
    ids = TensorSpec(np.dtype(np.int32), (-1, data.maxlen))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, data.num_classes))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "network.keras")
        network.save(file)
        mlflow.pyfunc.save_model(
            path,
            python_model=str(SERVED),
            artifacts={"network": str(file)},
            signature=ModelSignature(Schema([ids]), Schema([probabilities])),
            input_example=np.array(data.test.x[:2]),
            pip_requirements=[f"{package}=={metadata.version(package)}" for package in REQUIREMENTS],
            mlflow_model=model,
        )


def _test(uri: str, model: LoggedModel, data: Dataset, best: TrialRecord) -> None:
    """Raises `NotRegisteredError` unless what the store gives back scores on the test split what was logged."""
    from sweeps import trial

    with tempfile.TemporaryDirectory() as scratch:
        # By its place: MLflow would look up `models:/…` in the store of the environment, whatever it is told.
        folder = download_artifacts(model.artifact_location, dst_path=scratch, tracking_uri=uri)
        loaded = mlflow.pyfunc.load_model(folder)
        scored = trial.scores(loaded.predict(np.array(data.test.x)), data.test.y)["test/accuracy"]
    logged = best.test["test/accuracy"]
    if round(scored, DIGITS) != round(logged, DIGITS):
        raise NotRegisteredError(f"trial {best.trial}, loaded back, has test/accuracy {scored:.6f}, not {logged:.6f}")
