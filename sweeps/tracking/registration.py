"""A chosen model -> MLflow's registry: logged once, loaded back and tested again, and only then registered.

A sweep's best trial is a `candidate`; the configuration that its confirmation shows to be better than the baseline is
the `champion`, as it was trained there with the first of the fresh seeds.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelOutput, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from numpy.typing import NDArray

from sweeps.analysis import confirmation
from sweeps.trials.checkpoints import Checkpoints
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.plan import Plan
from sweeps.tracking.runs import AWAY, first_line, search
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import Dataset
from sweeps.errors import SweepError
from sweeps.tracking.store import without_password

if TYPE_CHECKING:
    import keras

ALIASES = {"sweep": "candidate", "confirm": "champion"}  # kind of sweep -> its model's
SERVED = Path(__file__).with_name("served.py")
EXAMPLE = "the best of its kind this year"
# Named, or MLflow would take 15 s to find them by loading the model in another process.
REQUIREMENTS = ("keras", "mlflow", "numpy", "tensorflow")
# Of test/loss: that much rounding may change, which on another processor, a GPU or with more threads is another one (on
# IMDB and Reuters by 1e-7, and by 1e-5 with weights as short as a GPU's TF32 makes them). The accuracy would not do: of
# a document whose two labels are as good as equally probable rounding changes all.
TOLERANCE = 1e-4


class NotRegisteredError(SweepError):
    """The message says why; the next attempt may succeed, and none leads to a second model."""


class Version(NamedTuple):
    name: str
    number: str
    alias: str
    trial: int
    new: bool  # by this call


class _Choice(NamedTuple):
    """The trial whose model it is, and tags that say why."""

    trial: TrialRecord
    kind: str  # sweep | confirm
    why: Mapping[str, str]


# Gives the JSON of a word index (word -> rank); called only for a model that is not there yet.
Words = Callable[[], bytes]


def register(uri: str, plan: Plan, record: SweepRecord, words: Words) -> Version | None:
    """Have the chosen model of a sweep or of a confirmation in the registry, as a version with its alias.

    None where there is nothing to register: it did not complete, it was on stand-in data, or it confirmed no winner.
    Raises `NotRegisteredError`.
    """
    if record.ended is None or record.ended.status != "completed" or plan.data["source"] != "archive":
        return None
    choice = _choice(record)
    if choice is None:
        return None
    try:
        return _register(MlflowClient(uri, registry_uri=uri), plan, choice, words)
    except AWAY as error:
        raise NotRegisteredError(f"{without_password(uri)} does not take {_name(plan)}: {first_line(error)}") from error


def _choice(record: SweepRecord) -> _Choice | None:
    assert record.started is not None
    if not record.started.confirms:
        return None if record.best is None else _Choice(record.best, "sweep", {})
    found = confirmation.outcomes(record)
    winner = confirmation.confirmed_winner(found)
    if winner is None:
        return None
    first = min((trial for trial in record.trials.values() if training.origin == winner.origin), key=lambda t: t.trial)
    gains = {name: f"{value:.6g}" for name, value in confirmation.metrics(found).items() if name.startswith("confirm/")}
    return _Choice(first, "confirm", {"confirms": record.started.confirms, "origin": str(winner.origin), **gains})


def _name(plan: Plan) -> str:
    return f"{plan.config.model.name}-{plan.dataset}"


def _chosen(plan: Plan, best: TrialRecord) -> dict[str, str]:
    """Tags that no other model has. A sweep that goes on may choose again."""
    return {"sweep": plan.sweep, "trial": str(best.trial), "epochs": str(best.epochs)}


def _register(client: MlflowClient, plan: Plan, choice: _Choice, words: Words) -> Version:
    name, alias, chosen = _name(plan), ALIASES[choice.kind], _chosen(plan, choice.trial)
    versions = list(client.search_model_versions(f"name = '{name}'"))
    known = next((version for version in versions if chosen.items() <= version.tags.items()), None)
    mine = known or _create_version(client, plan, choice, words)
    # Not past a later one's.
    alike = [version for version in versions if version.tags.get("kind", "sweep") == choice.kind]
    if all(int(version.version) <= int(mine.version) for version in alike):
        client.set_registered_model_alias(name, alias, mine.version)
    return Version(name, str(mine.version), alias, choice.trial.trial, new=known is None)


def _create_version(client: MlflowClient, plan: Plan, choice: _Choice, words: Words) -> ModelVersion:
    best = choice.trial
    run = _run_of(client, plan, best)
    model = _logged(client, run, _chosen(plan, best)) or _log(client, run, plan, best, words())
    known = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [output.model_id for output in known]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=best.best_epoch or 0)])
    scores = {name: f"{value:.6g}" for name, value in {**_validation(best), **best.test}.items()}
    tags = {**_chosen(plan, best), **scores, "data.digest": plan.digest, "kind": choice.kind, **choice.why}
    try:
        client.create_registered_model(_name(plan))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"models:/{model.model_id}"
    with _default(client.tracking_uri):
        return client.create_model_version(_name(plan), source, run.info.run_id, tags=tags, model_id=model.model_id)


@contextmanager
def _default(uri: str) -> Iterator[None]:
    """MLflow 3.17 looks `models:/m-…` up in the default store, whichever the client's is."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)  # the environment's too
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # which undoes it
        if given is not None:
            os.environ["MLFLOW_TRACKING_URI"] = given


def _validation(trial: TrialRecord) -> dict[str, float]:
    assert training.best_epoch is not None
    return {name: curve[training.best_epoch - 1] for name, curve in training.curves.items() if name.startswith("val/")}


def _run_of(client: MlflowClient, plan: Plan, trial: TrialRecord) -> Run:
    runs = search(client, f"tags.sweep = '{plan.sweep}' and tags.kind = 'trial' and tags.trial = '{training.trial}'")
    if not runs:
        raise NotRegisteredError(f"the run of trial {training.trial} of {plan.sweep} is not in MLflow")
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


def _log(client: MlflowClient, run: Run, plan: Plan, best: TrialRecord, words: bytes) -> LoggedModel:
    data, network = _rebuilt(plan, best)
    tags = _chosen(plan, best)
    model = client.create_logged_model(run.info.experiment_id, _name(plan), run.info.run_id, tags=tags)
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"labels": _labels(plan, data), "num_words": data.num_words, "maxlen": data.maxlen}
        whole = Model(model_id=model.model_id, run_id=run.info.run_id)
        _save(network, words, settings, whole, Path(scratch, "model"))
        client.log_model_artifacts(model.model_id, str(Path(scratch, "model")))
    _test(client.tracking_uri, model, _texts(data, words), data.test.y, best)
    client.finalize_logged_model(model.model_id, "READY")
    return model


def _rebuilt(plan: Plan, best: TrialRecord) -> tuple[Dataset, keras.Model]:
    checkpoint = Checkpoints(plan.directory / "checkpoints").load(best.trial, best.epochs)
    if checkpoint is None:
        raise NotRegisteredError(f"{plan.directory}: the weights of trial {best.trial} are gone")
    try:
        with without_native_logs():
            from sweeps.trials import training

            return training.rebuild(plan.spec(best.trial, best.values, 0, best.epochs), checkpoint.best_weights)
    except Exception as error:  # the archive is gone, the builder is another one: it may be long ago that this trained
        raise NotRegisteredError(f"{_name(plan)} cannot be had again: {error}") from error


def _labels(plan: Plan, data: Dataset) -> list[str]:
    return plan.config.datasets[plan.dataset].text.labels or [str(label) for label in range(data.num_classes)]


def _save(network: keras.Model, words: bytes, settings: dict[str, Any], model: Model, path: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        files = {"network": Path(scratch, "network.keras"), "words": Path(scratch, "words.json")}
        network.save(files["network"])
        files["words"].write_bytes(words)
        mlflow.pyfunc.save_model(
            path,
            python_model=str(SERVED),
            artifacts={name: str(file) for name, file in files.items()},
            model_config=settings,
            # Without a name, so that a plain list of texts is taken too.
            signature=ModelSignature(Schema([ColSpec(DataType.string)])),
            input_example=[EXAMPLE],
            pip_requirements=[f"{package}=={metadata.version(package)}" for package in REQUIREMENTS],
            mlflow_model=model,
        )


def _texts(data: Dataset, words: bytes) -> list[str]:
    """Of the test split: texts that are encoded as its documents are, if all is well."""
    from sweeps.tracking import served_model

    by_id = {rank + served_model.OFFSET: word for word, rank in json.loads(words).items()}
    by_id[served_model.UNKNOWN] = by_id.get(data.num_words, "")  # the most frequent of the rare words
    return [" ".join(by_id.get(id_, "") for id_ in document) for document in data.test.x.tolist()]


def _test(uri: str, model: LoggedModel, texts: list[str], labels: NDArray[np.int64], best: TrialRecord) -> None:
    """Raises `NotRegisteredError` unless what the store gives back scores on the test split what was logged."""
    from sweeps.trials import training

    with tempfile.TemporaryDirectory() as scratch:
        # By its place: MLflow would look up `models:/…` in the store of the environment, whatever it is told.
        folder = download_artifacts(model.artifact_location, dst_path=scratch, tracking_uri=uri)
        answers = mlflow.pyfunc.load_model(folder).predict(texts)
    probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])
    scored, logged = training.scores(probabilities, labels)["test/loss"], best.test["test/loss"]
    if not math.isclose(scored, logged, rel_tol=TOLERANCE):
        raise NotRegisteredError(f"trial {best.trial}, loaded back, has test/loss {scored:.6f}, not {logged:.6f}")
