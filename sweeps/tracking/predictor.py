"""MLflow's registry -> a classifier of raw text: which version is meant, and what it says."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

# Before MLflow: it sets how MLflow is to behave.
from sweeps.tracking.reader import AWAY  # isort: split

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from conf.schema import ConfigError, did_you_mean
from sweeps.tracking import store
from sweeps.errors import SweepError

PREFERRED = ("champion", "candidate")
ADDRESS = re.compile(r"(?:models:/)?(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))?")


class Chosen(NamedTuple):
    name: str
    version: str
    alias: str  # by which it was chosen, or none

    def __str__(self) -> str:
        return f"{self.name} version {self.version}{f', the {self.alias}' if self.alias else ''}"


class Answer(NamedTuple):
    """What a classifier says of a text."""

    label: str
    probability: float
    words: int  # of the text
    unknown: int  # of those
    unread: int  # known ones before the last that the model reads
    probabilities: dict[str, float]  # label -> probability


def choose(uri: str, wanted: str | None) -> Chosen:
    """The version that is meant: of a model, or of all, the newest champion, else the newest candidate.

    Raises `ConfigError` where there is none, `SweepError` where the store does not answer.
    """
    if uri.startswith(store.SQLITE) and not store.database(uri).is_file():
        raise ConfigError(f"tracking.uri={uri}: there is no such store; nothing was registered there")
    client = MlflowClient(uri, registry_uri=uri)
    try:
        models = list(client.search_registered_models())
        return _any(client, uri, models) if wanted is None else _named(client, uri, models, wanted)
    except AWAY as error:
        raise SweepError(f"{store.without_password(uri)} does not answer: {error}") from error


def _any(client: MlflowClient, uri: str, models: Sequence[RegisteredModel]) -> Chosen:
    for alias in PREFERRED:
        found = [client.get_model_version(m.name, m.aliases[alias]) for m in models if alias in m.aliases]
        if found:
            newest = max(found, key=lambda version: version.creation_timestamp)
            return Chosen(newest.name, str(newest.version), alias)
    raise ConfigError(
        f"tracking.uri={store.without_password(uri)}: no champion and no candidate; a sweep on real data registers one"
    )


def _named(client: MlflowClient, uri: str, models: Sequence[RegisteredModel], wanted: str) -> Chosen:
    meant = ADDRESS.fullmatch(wanted)
    assert meant is not None  # known since the arguments were read
    names = [model.name for model in models]
    model = next((model for model in models if model.name == meant["name"]), None)
    if model is None:
        known = did_you_mean(meant["name"], names) or f"; allowed: {', '.join(sorted(names)) or 'none, it is empty'}"
        raise ConfigError(f"model={wanted}: {store.without_password(uri)} has no such model{known}")
    if meant["version"]:
        try:
            client.get_model_version(model.name, meant["version"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise ConfigError(f"model={wanted}: {model.name} has no version {meant['version']}") from error
        return Chosen(model.name, meant["version"], "")
    for alias in [meant["alias"]] if meant["alias"] else PREFERRED:
        if alias in model.aliases:
            return Chosen(model.name, str(model.aliases[alias]), alias)
    has = ", ".join(sorted(model.aliases)) or "none"
    raise ConfigError(f"model={wanted}: {model.name} has no {meant['alias'] or 'champion or candidate'}; it has {has}")


def classify(uri: str, chosen: Chosen, texts: Sequence[str]) -> list[Answer]:
    """Raises `SweepError` where the model cannot be had, or does not take text."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            client = MlflowClient(uri, registry_uri=uri)
            # By its place: MLflow would look up `models:/…` in the store of the environment, whatever it is told.
            place = client.get_model_version_download_uri(chosen.name, chosen.version)
            loaded = mlflow.pyfunc.load_model(download_artifacts(place, dst_path=scratch, tracking_uri=uri))
        except AWAY as error:
            raise SweepError(f"{chosen} cannot be had: {error}") from error
        if loaded.metadata.signature.inputs.is_tensor_spec():  # of word ids, as models were before
            raise SweepError(f"{chosen} does not take text; a sweep of this version registers one that does")
        return [Answer(**answer) for answer in loaded.predict(list(texts))]
