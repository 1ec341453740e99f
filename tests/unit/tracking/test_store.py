"""The choice of a store, and the creation of a local one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conf.schema import ConfigError
from sweeps.tracking import store
from sweeps.tracking.tracker import Tracker


def test_the_environments_store_is_used_and_a_configured_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store.uri(None) == "http://127.0.0.1:1"
    assert store.uri("sqlite:////x.db") == "sqlite:////x.db"


@pytest.mark.usefixtures("fresh_store")
def test_a_store_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_store_whose_creation_was_killed_is_deleted_and_created_anew(again: bool, tmp_path: Path) -> None:
    uri, path = store.uri(None), tmp_path / "mlflow.db"

    def half() -> None:
        with store.being_created(uri), closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE registered_models (name TEXT)")  # MLflow's first
            connection.commit()
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            half()
    if again:
        tracker = Tracker(uri)
        tracker.wait_until_opened()
        assert tracker.close()
    else:
        with store.being_created(uri):
            assert not path.exists()


def test_a_store_that_was_there_is_never_taken_for_half_made(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"precious")
    for _ in range(2):
        tracker = Tracker(store.uri(None))
        with pytest.raises(ConfigError, match="file is not a database"):
            tracker.wait_until_opened()
        tracker.close()
    assert (tmp_path / "mlflow.db").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "uri", ["mlruns", "/tmp/mlruns", "file:///tmp/mlruns", "nonsense://x", "sqlite", "localhost:5000"]
)
def test_an_address_that_mlflow_would_take_for_a_folder_of_files_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=rf"^tracking\.uri={uri}: must be sqlite:///"):
        store.uri(uri)


def test_a_relative_database_is_found_from_every_folder(tmp_path: Path) -> None:
    assert store.uri("sqlite:///sub/my.db") == f"sqlite:///{tmp_path}/sub/my.db"


def test_the_store_that_was_used_last_comes_before_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.uri(None, "sqlite:////a/b.db") == "sqlite:////a/b.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store.uri(None, "sqlite:////a/b.db") == "http://127.0.0.1:1"


def test_a_password_is_not_written_down() -> None:
    assert store.without_password("postgresql+psycopg2://me:secret@host/db") == "postgresql+psycopg2://me@host/db"
    assert store.without_password("http://host:5000/a@b") == "http://host:5000/a@b"
