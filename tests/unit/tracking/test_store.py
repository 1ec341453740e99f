"""The choice of a store, and the address of one that is a file."""

import os
import re
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.file_utils import local_file_uri_to_path

from conf.schema import ConfigError
from sweeps.tracking import store
from sweeps.tracking.experiments import Experiments


def test_the_environments_store_is_used_and_a_configured_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store.uri(None) == "http://127.0.0.1:1"
    assert store.uri("sqlite:////x.db") == "sqlite:////x.db"


@pytest.mark.parametrize(
    "uri", ["mlruns", "/tmp/mlruns", "file:///tmp/mlruns", "nonsense://x", "sqlite", "sqlite://x.db", "localhost:5000"]
)
def test_an_address_that_mlflow_would_take_for_a_folder_of_files_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=rf"^tracking\.uri={uri}: must be sqlite:///"):
        store.uri(uri)


@pytest.mark.parametrize("uri", ["http://", "http://h:99999", "http://h:port", "http://h o:5000", "https://[::1"])
def test_a_server_without_a_host_or_a_port_that_can_be_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"must be http\(s\)://host:port"):
        store.uri(uri)


def test_a_relative_database_is_found_from_every_folder(tmp_path: Path) -> None:
    assert store.uri("sqlite:///sub/my.db") == f"sqlite:///{tmp_path}/sub/my.db"


@pytest.mark.parametrize(
    "name", ["what?x=1", "50%20done", "a#b", "x[y] z", "실험", "o'neil & co", "a:b@c", "%", "a\nb"]
)
def test_every_folder_can_have_a_store(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    uri = store.local()
    assert uri == store.uri(None) == store.uri(uri) == store.uri("sqlite:///mlflow.db")
    assert store.database(uri) == folder / "mlflow.db"
    engine = sqlalchemy.create_engine(uri)  # as MLflow reads it
    engine.connect().close()
    engine.dispose()
    assert os.listdir(folder) == ["mlflow.db"]
    assert os.listdir(tmp_path) == [name]
    artifacts = Experiments(uri, None, None)._artifact_location("a/b")
    assert local_file_uri_to_path(artifacts) == f"{folder}/mlruns/a%2Fb"  # as MLflow reads it


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).map(lambda text: f"/{text}/x.db"))
def test_the_address_of_a_file_names_that_file(path: str) -> None:
    uri = store.of_file(Path(path))
    assert store.database(uri) == Path(path)
    assert sqlalchemy.make_url(uri).database == str(Path(path))
    assert re.search(r"[\x00-\x1f\x7f-\x9f?#]", uri) is None  # nothing that a terminal or a browser would act on


def test_a_path_that_would_be_cut_at_its_question_mark_is_refused_with_the_right_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        store.uri(f"sqlite:///{tmp_path}/what?x=1/x.db")
    assert str(error.value).endswith(f"write sqlite+pysqlite:///{tmp_path}/what%3Fx=1/x.db")


@pytest.mark.parametrize("uri", ["sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=rf"^tracking\.uri={uri}: names no file"):
        store.uri(uri)


def test_the_store_that_was_used_last_comes_before_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.uri(None, "sqlite:////a/b.db") == "sqlite:////a/b.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store.uri(None, "sqlite:////a/b.db") == "http://127.0.0.1:1"


def test_a_password_is_not_written_down() -> None:
    assert store.without_password("postgresql+psycopg2://me:secret@host/db") == "postgresql+psycopg2://me@host/db"
    assert store.without_password("http://host:5000/a@b") == "http://host:5000/a@b"
