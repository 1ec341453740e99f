import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from conf.schema import Tracking
from sweeps import store
from sweeps.tracking import Tracker


def test_the_environments_store_is_taken_and_the_configured_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store.uri(None) == "http://127.0.0.1:1"
    assert store.uri("sqlite:////x.db") == "sqlite:////x.db"


def test_a_store_is_read_while_it_is_written(tmp_path: Path) -> None:
    Tracker(Tracking())
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def open_store(_: int) -> str:
    return Tracker(Tracking()).uri


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(open_store, range(3), chunksize=1) == [f"sqlite:///{tmp_path}/mlflow.db"] * 3
