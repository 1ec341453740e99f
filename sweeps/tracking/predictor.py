"""The classification of raw text by a model in MLflow's registry: the choice of a version, and its predictions."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from conf.schema import ConfigError, did_you_mean
from sweeps.errors import SweepError
from sweeps.tracking import failures, model_files, store
from sweeps.tracking.client import UNAVAILABLE, connect
from sweeps.tracking.prediction import Prediction

PREFERRED = ("champion", "candidate")
ADDRESS = re.compile(r"(?:models:/)?(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))?")


class ModelVersion(NamedTuple):
    """A version of a registered model."""

    name: str
    version: str
    alias: str  # by which it was chosen; empty if by its number
    others: tuple[str, ...] = ()  # models that could have been chosen as well, where none was named

    def __str__(self) -> str:
        return f"{self.name} version {self.version}{f', the {self.alias}' if self.alias else ''}"


def choose(uri: str, wanted: str | None) -> ModelVersion:
    """Return the version that `wanted` names; for a model without a version, its champion or else its candidate.

    For None it is the newest champion of all models, or else the newest candidate. Raises `ConfigError` if there is
    none, and `SweepError` if the store does not answer.
    """
    client = connect(uri)
    try:
        models = list(client.search_registered_models())
        return _newest(client, uri, models) if wanted is None else _named(client, uri, models, wanted)
    except UNAVAILABLE as error:
        raise failures.of(uri, error) from error


def classify(uri: str, version: ModelVersion, texts: Sequence[str]) -> list[Prediction]:
    """Return a prediction for each text.

    Raises `SweepError` if the model cannot be loaded, or is none that this project saved; then nothing of it has run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder = _downloaded(uri, version, scratch)
        except model_files.ForeignModelError as error:
            comma = "," if version.alias else ""
            reason = f"is not loaded; it is not as this project registers models: {error}"
            raise SweepError(f"{version}{comma} {reason}") from error
        except UNAVAILABLE as error:
            raise SweepError(f"{version} cannot be loaded: {error}") from error
        try:
            model = mlflow.pyfunc.load_model(folder)
        except Exception as error:  # a damaged network can raise anything
            raise SweepError(f"{version} cannot be loaded: {error}") from error
        return [Prediction(**answer) for answer in model.predict(list(texts))]


def _downloaded(uri: str, version: ModelVersion, scratch: str) -> str:
    """Return the folder with a checked copy of a model."""
    client = MlflowClient(uri, registry_uri=uri)
    model_files.check_tags(client.get_model_version(version.name, version.version).tags)
    # By its location: MLflow looks `models:/…` up in the environment's store, whichever the client's is.
    location = client.get_model_version_download_uri(version.name, version.version)
    model_files.check_names(_listed(uri, location))  # nothing else is downloaded, nor anything of any size
    folder = download_artifacts(location, dst_path=scratch, tracking_uri=uri)
    model_files.check(Path(folder))
    return folder


def _listed(uri: str, location: str) -> dict[str, int | None]:
    """Return the sizes of the files of a model, by their paths; of its folders, those in `artifacts`."""
    sizes: dict[str, int | None] = {}
    for folder in ("", "artifacts/"):
        for entry in list_artifacts(f"{location}/{folder}".rstrip("/"), tracking_uri=uri):
            name = folder + PurePosixPath(entry.path).name
            if not (entry.is_dir and name == "artifacts"):
                sizes[name] = entry.file_size
    return sizes


def _newest(client: MlflowClient, uri: str, models: Sequence[RegisteredModel]) -> ModelVersion:
    found: dict[str, list[MlflowVersion]] = {}
    for alias in PREFERRED:
        aliased = [client.get_model_version(m.name, m.aliases[alias]) for m in models if alias in m.aliases]
        # The store may be shared with others, whose models have such aliases too.
        found[alias] = [version for version in aliased if version.tags.keys() >= model_files.TAGS]
    best = next((alias for alias in PREFERRED if found[alias]), None)
    if best is None:
        where = store.without_password(uri)
        raise ConfigError(f"tracking.uri={where}: no champion and no candidate; a sweep on real data registers one")
    newest = max(found[best], key=lambda version: version.creation_timestamp)
    others = {version.name for versions in found.values() for version in versions} - {newest.name}
    return ModelVersion(newest.name, str(newest.version), best, tuple(sorted(others)))


def _named(client: MlflowClient, uri: str, models: Sequence[RegisteredModel], wanted: str) -> ModelVersion:
    match = ADDRESS.fullmatch(wanted)
    if match is None:
        raise ConfigError(
            f"model={wanted}: must be <model>-<dataset>, models:/<model>-<dataset>/<version> or …@<alias>"
        )
    model = next((model for model in models if model.name == match["name"]), None)
    if model is None:
        names = [model.name for model in models]
        hint = did_you_mean(match["name"], names) or f"; allowed: {', '.join(sorted(names)) or 'none, it is empty'}"
        raise ConfigError(f"model={wanted}: {store.without_password(uri)} has no such model{hint}")
    if match["version"]:
        return _numbered(client, model.name, match["version"], wanted)
    for alias in [match["alias"]] if match["alias"] else PREFERRED:
        if alias in model.aliases:
            return ModelVersion(model.name, str(model.aliases[alias]), alias)
    has = ", ".join(sorted(model.aliases)) or "none"
    raise ConfigError(f"model={wanted}: {model.name} has no {match['alias'] or 'champion or candidate'}; it has {has}")


def _numbered(client: MlflowClient, name: str, version: str, wanted: str) -> ModelVersion:
    try:
        client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ConfigError(f"model={wanted}: {name} has no version {version}") from error
    return ModelVersion(name, version, "")
