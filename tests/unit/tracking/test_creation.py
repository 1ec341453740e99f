"""The creation of a local store: whole or not at all, and nothing of anybody's is lost."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base

from conf.schema import ConfigError
from sweeps.tracking import creation, database_file, store
from sweeps.tracking.database import UnfinishedError
from sweeps.tracking.tracker import Tracker


def opened(uri: str) -> None:
    tracker = Tracker(uri)
    tracker.wait_until_opened()
    assert tracker.close()


def unfinished(path: Path) -> None:
    """Leave what MLflow leaves when it is killed after its first tables."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    engine.dispose()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "QUIET", 0.0)
    monkeypatch.setattr(creation, "OTHERS", 1.0)


def test_a_new_store_is_complete_and_can_be_read_while_it_is_written(empty_store: Path) -> None:
    with closing(sqlite3.connect(empty_store)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert empty_store.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert {path.name for path in empty_store.parent.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}
    default = MlflowClient(store.of_file(empty_store)).get_experiment("0")
    assert default.artifact_location == f"{empty_store.parent}/mlruns/0"


def current_umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


@pytest.mark.usefixtures("fresh_store")
def test_whoever_was_quicker_keeps_the_store(tmp_path: Path) -> None:
    precious = (tmp_path / "mlflow.db").read_bytes()
    (tmp_path / "copy").write_bytes(b"another")
    creation._publish(tmp_path / "copy", tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_bytes() == precious


@pytest.mark.usefixtures("fresh_store")
def test_no_marker_of_a_killed_creation_touches_a_store_with_runs(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.lock").write_text("being created")
    client = MlflowClient(store.uri(None))
    run = client.create_run("0").info.run_id
    inode = (tmp_path / "mlflow.db").stat().st_ino
    opened(store.uri(None))
    assert client.get_run(run).info.run_id == run
    assert (tmp_path / "mlflow.db").stat().st_ino == inode


def test_an_unfinished_store_is_moved_aside_and_a_new_one_made(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(creation, "_create", lambda path: shutil.copy(empty_store, path))
    for number in (1, 2):
        unfinished(tmp_path / "mlflow.db")
        kept = (tmp_path / "mlflow.db").read_bytes()
        monkeypatch.setattr(database_file, "_opened", {})  # as in another process, which holds no earlier log either
        monkeypatch.setattr(database_file, "_holds_removed", lambda path: False)
        opened(store.uri(None))
        assert (tmp_path / f"mlflow.db.unfinished-{number}").read_bytes() == kept
        assert caplog.messages[-1].startswith(f"{tmp_path}/mlflow.db was left unfinished and empty; it is ")
        (tmp_path / "mlflow.db").unlink()
        for part in ("-wal", "-shm"):
            (tmp_path / f"mlflow.db{part}").unlink(missing_ok=True)


def test_the_log_of_a_database_that_was_removed_does_not_get_into_the_new_one(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "_create", lambda path: shutil.copy(empty_store, path))
    (tmp_path / "mlflow.db-wal").write_bytes(b"transactions of a database that was removed")
    opened(store.uri(None))
    assert (tmp_path / "mlflow.db.unfinished-1-wal").read_bytes() == b"transactions of a database that was removed"


def test_an_empty_file_is_unfinished_too(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "_create", lambda path: shutil.copy(empty_store, path))
    (tmp_path / "mlflow.db").touch()
    opened(store.uri(None))
    assert (tmp_path / "mlflow.db.unfinished-1").read_bytes() == b""


def test_an_unfinished_store_with_a_row_is_never_moved(tmp_path: Path) -> None:
    unfinished(tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("INSERT INTO experiments (experiment_id, name) VALUES (1, 'precious')")
        connection.commit()
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(
        ConfigError, match=r": made by an older MLflow than .*; to upgrade it: mlflow db upgrade sqlite"
    ):
        creation.ensure(store.uri(None))
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_unfinished_store_that_a_process_holds_is_not_moved(tmp_path: Path) -> None:
    unfinished(tmp_path / "mlflow.db")
    program = "import sqlite3; c = sqlite3.connect('mlflow.db'); c.execute('SELECT 1 FROM runs'); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not creation._is_abandoned(tmp_path / "mlflow.db")
        with pytest.raises(UnfinishedError, match=rf": process {holder.pid} has not finished its tables within 1 s"):
            creation.ensure(store.uri(None))
        holder.communicate("")
    assert creation._is_abandoned(tmp_path / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.long
def test_tables_that_another_process_is_making_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "OTHERS", 60.0)
    monkeypatch.setattr(creation, "QUIET", 60.0)
    unfinished(tmp_path / "mlflow.db")
    engine = sqlalchemy.create_engine(store.uri(None))
    with closing(sqlite3.connect(tmp_path / "mlflow.db")):
        other = threading.Thread(target=utils._upgrade_db, args=(engine,))
        other.start()
        opened(store.uri(None))
        other.join()
    engine.dispose()
    assert not list(tmp_path.glob("*unfinished*"))
    assert MlflowClient(store.uri(None)).get_experiment("0").name == "Default"


def test_a_journal_that_goes_while_it_is_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mlflow.db"
    unfinished(path)
    monkeypatch.setattr(Path, "exists", lambda _: True)  # as it was a moment ago
    monkeypatch.setattr(creation, "QUIET", 60.0)
    assert not creation._is_abandoned(path)
    monkeypatch.setattr(creation, "QUIET", -60.0)
    assert creation._is_abandoned(path)


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^tracking\.uri=sqlite:////proc/none/mlflow\.db: /proc/none: "):
        creation.ensure("sqlite:////proc/none/mlflow.db")
