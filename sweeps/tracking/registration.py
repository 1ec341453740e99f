"""The registration of a chosen model: it is logged once, loaded back and tested again, and only then registered.

A sweep's best trial is a `candidate`; the configuration that beats the baseline in the sweep's confirmation is the
`champion`, as it was trained there with the first of the fresh seeds.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
from mlflow.types.schema import Map
from numpy.typing import NDArray

from sweeps import audit, metrics, runtime, software
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.tracking import filters, model_files
from sweeps.tracking.client import UNAVAILABLE, search_runs
from sweeps.tracking.failures import first_line
from sweeps.tracking.store import without_password
from sweeps.trials.checkpoints import Checkpoints
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import Dataset, Serving, TrialSpec

if TYPE_CHECKING:
    import keras

ALIASES = {"sweep": "candidate", "confirm": "champion"}  # kind of a sweep -> alias of its model
EXAMPLE = "the best of its kind this year"
ANSWER = Schema(
    [
        ColSpec(DataType.string, "label"),
        ColSpec(DataType.double, "probability"),
        *(ColSpec(DataType.long, count) for count in ("words", "unknown", "unread")),
        ColSpec(Map(DataType.double), "probabilities"),
    ]
)
# The relative difference of test/loss that rounding may make, which differs with the processor, a GPU and the number of
# threads (on IMDB and Reuters 1e-7, and 1e-5 with weights as short as a GPU's TF32 makes them). The accuracy is no
# measure: rounding decides the answer to a document whose two best labels are nearly equally probable.
TOLERANCE = 1e-4


class NotRegisteredError(SweepError):
    """The model is not registered; the message says why. No later attempt adds a second one.

    `lasting` says that a later attempt would fail again, for as long as nobody brings back what is lost here.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Candidate(NamedTuple):
    """A model that is to be registered."""

    trial: TrialRecord
    spec: TrialSpec
    why: Mapping[str, str]  # tags that tell why it was chosen
    serving: Callable[[], Serving]  # only called for a new model


class Version(NamedTuple):
    """A version of a registered model."""

    name: str
    number: str
    alias: str  # empty if a better version of its kind has it
    trial: int
    new: bool  # whether this call made it
    note: str = ""  # how it stands to the version that had the alias


def register(uri: str, record: SweepRecord, candidate: Candidate) -> Version:
    """Put the chosen model of a sweep or a confirmation into the registry, as a version with its alias.

    Raises `NotRegisteredError`, and whatever `candidate.serving` raises.
    """
    registration = _Registration(MlflowClient(uri, registry_uri=uri), record, candidate)
    try:
        return registration.register()
    except UNAVAILABLE as error:
        reason = f"{without_password(uri)} does not take {registration.name}: {first_line(error)}"
        raise NotRegisteredError(reason) from error


class _Registration:
    """The registration of one model. The next attempt finds every finished step, and does not repeat it."""

    def __init__(self, client: MlflowClient, record: SweepRecord, candidate: Candidate) -> None:
        started, trial = record.started, candidate.trial
        self.name = f"{started.model}-{started.dataset}"
        self._client = client
        self._record = record
        self._candidate = candidate
        # No other model has these tags; a sweep that goes on may choose again.
        self._identity = {"sweep": started.sweep, "trial": str(trial.trial), "epochs": str(trial.epochs)}

    def register(self) -> Version:
        alias = ALIASES[self._record.started.kind]
        versions = list(self._client.search_model_versions(filters.equals("name", self.name)))
        known = next((version for version in versions if self._identity.items() <= version.tags.items()), None)
        own = known or self._create_version()
        number = self._client.get_registered_model(self.name).aliases.get(alias, own.version)
        holder = next((version for version in versions if int(version.version) == int(number)), own)
        takes, note = (True, "") if holder is own else self._compare(own, holder)
        if takes:
            self._client.set_registered_model_alias(self.name, alias, own.version)
        trial = self._candidate.trial.trial
        return Version(self.name, str(own.version), alias if takes else "", trial, known is None, note)

    def _compare(self, own: ModelVersion, holder: ModelVersion) -> tuple[bool, str]:
        """Return whether the alias of `holder` is to be taken by `own`, and why.

        Validation decides, as it does inside a sweep. Where it cannot, the newer version has the alias.
        """
        tags, (name, value) = holder.tags, self._objective()
        newer = int(own.version) > int(holder.version)
        if "sweep" not in tags:
            return False, f"version {holder.version} has that alias, and is none of this project's"
        if tags.get("sweep") == self._identity["sweep"]:  # it went on and chose again
            return newer, ""
        which = f"version {holder.version}"
        if tags.get("data.digest") != self._record.started.digest and not self._has_texts_of(tags):
            return newer, f"{which} had other texts, or another split of them"
        # One that was chosen by another metric is compared by what it has of this one.
        value_of = "objective.value" if tags.get("objective") == name else name
        if (held := _number(tags.get(value_of))) is None:
            return newer, f"{which} was not chosen by {name}"
        better = metrics.is_better(name, value, held)
        return better, f"{which} has {name} {held:.4f}, this one {value:.4f}"

    def _has_texts_of(self, tags: Mapping[str, str]) -> bool:
        """Return whether a version was chosen on the same texts in the same parts, however it reads them."""
        return tags.get("data.texts") == self._texts() != ""

    def _texts(self) -> str:
        audited = self._record.started.audit
        return audit.of(audited).texts if audited else ""

    def _objective(self) -> tuple[str, float]:
        """Return the metric that chose the model, and its value.

        A confirmation retrains on the validation data too, and the test set must never choose: there it is the value
        that the search had.
        """
        started = self._record.started
        if started.confirms:
            return metrics.on_validation(started.compared_by), started.finalists[self._candidate.why["origin"]]
        assert self._candidate.trial.objective is not None
        return started.objective, self._candidate.trial.objective

    def _create_version(self) -> ModelVersion:
        trial, run = self._candidate.trial, self._run()
        model = self._find_logged(run) or self._log(run)
        outputs = run.outputs.model_outputs if run.outputs else []
        if model.model_id not in [output.model_id for output in outputs]:
            self._client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=trial.best_epoch or 0)])
        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source, model_id = f"models:/{model.model_id}", model.model_id
        with _as_default_store(self._client.tracking_uri):
            return self._client.create_model_version(
                self.name, source, run.info.run_id, tags=self._tags(), model_id=model_id
            )

    def _tags(self) -> dict[str, str]:
        started = self._record.started
        scores = {name: f"{value:.6g}" for name, value in self._candidate.trial.scores().items()}
        objective, value = self._objective()
        return {
            **self._identity,
            **scores,
            "data.digest": started.digest,
            "kind": started.kind,
            "objective": objective,
            "objective.value": repr(value),
            **({"data.texts": self._texts()} if self._texts() else {}),
            **self._candidate.why,
        }

    def _run(self) -> Run:
        sweep, trial = self._record.started.sweep, self._candidate.trial.trial
        condition = f"{filters.equals('tags.sweep', sweep)} and {filters.equals('tags.trial', str(trial))}"
        runs = search_runs(self._client, condition)
        if not runs:
            raise NotRegisteredError(f"the run of trial {trial} of {sweep} is not in MLflow")
        return runs[0]

    def _find_logged(self, run: Run) -> LoggedModel | None:
        """Return the model if an earlier attempt logged all of it, and delete what other attempts left unfinished.

        Models that somebody else has logged to the run, or is about to, are left alone.
        """
        models = self._client.search_logged_models(
            [run.info.experiment_id], filters.equals("source_run_id", run.info.run_id)
        )
        own = {name: self._identity[name] for name in ("sweep", "trial")}
        complete = None
        for model in (model for model in models if own.items() <= model.tags.items()):
            if model.status != "READY":
                self._client.delete_logged_model(model.model_id)
            elif self._identity.items() <= model.tags.items():
                complete = model
        return complete

    def _log(self, run: Run) -> LoggedModel:
        serving = self._candidate.serving()
        data, network = self._rebuild()
        model = self._client.create_logged_model(
            run.info.experiment_id, self.name, run.info.run_id, tags=self._identity
        )
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "model")
            _save(network, serving, Model(model_id=model.model_id, run_id=run.info.run_id), path)
            self._client.log_model_artifacts(model.model_id, str(path))
        _test(self._client.tracking_uri, model, serving.test_texts(data), data.test.y, self._candidate.trial)
        self._client.finalize_logged_model(model.model_id, "READY")
        return model

    def _rebuild(self) -> tuple[Dataset, keras.Model]:
        directory, trial = self._record.directory, self._candidate.trial
        checkpoint = Checkpoints(directory / "checkpoints").load(trial.trial, trial.epochs)
        if checkpoint is None:
            raise NotRegisteredError(f"{directory}: the weights of trial {trial.trial} are gone", lasting=True)
        with without_native_logs():
            try:
                with runtime.without(*runtime.UNUSED_BY_KERAS):
                    from sweeps.trials import building

                return building.rebuild(self._candidate.spec, checkpoint.best_weights)
            # The trial may be old: its archive can be gone, and its builder can be another one by now.
            except Exception as error:
                raise NotRegisteredError(f"{self.name} cannot be built again: {error}", lasting=True) from error


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # anybody may change a tag
        return None


@contextmanager
def _as_default_store(uri: str) -> Iterator[None]:
    """Make this MLflow's default store: MLflow 3.17 looks `models:/m-…` up there, whichever the client's is."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)  # sets the environment variable too
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # removes both
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _save(network: keras.Model, serving: Serving, model: Model, path: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: Path(scratch, Path(file).name) for name, file in model_files.ARTIFACTS.items()}
        network.save(files["network"])
        files["vocabulary"].write_bytes(serving.vocabulary)
        files["encoder"].write_bytes(model_files.ENCODER.read_bytes())
        mlflow.pyfunc.save_model(
            path,
            python_model=str(model_files.SERVED),
            artifacts={name: str(file) for name, file in files.items()},
            model_config={"labels": list(serving.labels), "encoder": dict(serving.encoder)},
            # Without inputs, as MLflow would take the first column of a table for the texts; the served code checks.
            signature=ModelSignature(outputs=ANSWER),
            input_example=[EXAMPLE],
            # Otherwise MLflow would take 15 s to find them by loading the model in another process.
            pip_requirements=_requirements(serving.encoder["tokens"]),
            mlflow_model=model,
        )


def _requirements(tokens: str) -> list[str]:
    subwords = () if tokens in ("words", "characters") else ("tokenizers",)
    wanted = (*model_files.REQUIREMENTS, *subwords)
    versions = software.versions(wanted)
    return [f"{package}=={versions[package]}" for package in wanted]


def _test(uri: str, model: LoggedModel, texts: list[str], labels: NDArray[np.int64], trial: TrialRecord) -> None:
    """Raise `NotRegisteredError` unless the model, read back from the store, has the logged loss on the test split."""
    from sweeps.trials import evaluation

    with tempfile.TemporaryDirectory() as scratch:
        # By its location: MLflow looks `models:/…` up in the environment's store, whichever the client's is.
        folder = download_artifacts(model.artifact_location, dst_path=scratch, tracking_uri=uri)
        model_files.check(Path(folder))
        with without_native_logs():
            answers = mlflow.pyfunc.load_model(folder).predict(texts)
    probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])
    loss, logged = evaluation.scores(probabilities, labels)["test/loss"], trial.test["test/loss"]
    if not math.isclose(loss, logged, rel_tol=TOLERANCE):
        reason = f"trial {trial.trial}, loaded back, has test/loss {loss:.6f}, not {logged:.6f}"
        raise NotRegisteredError(reason, lasting=True)
