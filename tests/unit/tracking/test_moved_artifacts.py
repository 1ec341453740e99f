"""A project folder that was moved with its store."""

import shutil
import sqlite3
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow import MlflowClient

from sweeps.tracking import moved_artifacts, store
from sweeps.tracking.client import connect
from sweeps.tracking.failures import StoreAwayError
from sweeps.tracking.reader import StoredSweeps
from tests.tracked import catch_up, opened, runs, small, tracked


@pytest.mark.parametrize("name", ["moved", "moved here"])
def test_a_moved_project_finds_its_artifacts_and_goes_on_in_its_own_folder(
    name: str, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, before, after = small(2, 1), tmp_path / "before", tmp_path / name
    before.mkdir()
    shutil.copy(empty_store, before / "mlflow.db")
    monkeypatch.chdir(before)
    record = tracked(job).record
    before.rename(after)
    monkeypatch.chdir(after)
    stored = StoredSweeps(store.uri(None))
    (sweep,) = stored.sweeps("sweep")
    assert stored.record(sweep).ended == record.ended
    catch_up(opened(job), Path("outputs/sweep/imdb"))
    (parent,) = runs("sweep")
    artifacts = Path(unquote(parent.info.artifact_uri.removeprefix("file://")))
    assert artifacts.is_relative_to(after)
    assert {path.name for path in artifacts.iterdir()} == {"config.yaml", "journal.jsonl"}
    assert not before.exists()


@pytest.mark.usefixtures("fresh_store")
def test_artifacts_that_are_where_they_were_and_those_elsewhere_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "other" / "mlruns").mkdir(parents=True)
    locations = [
        "s3://bucket/mlruns/1",
        "mlflow-artifacts:/2",
        f"{tmp_path}/other/mlruns/3",
        "file:///gone/elsewhere/4",
    ]
    client = MlflowClient(store.uri(None))
    made = [client.create_experiment(str(number), location) for number, location in enumerate(locations)]
    moved_artifacts.follow(store.uri(None))
    assert [client.get_experiment(experiment).artifact_location for experiment in made] == locations
    moved_artifacts.follow("http://127.0.0.1:9")
    moved_artifacts.follow(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.usefixtures("fresh_store")
def test_artifacts_that_are_away_and_did_not_come_along_keep_their_addresses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    client = MlflowClient(store.uri(None))
    experiment = client.create_experiment("mine", "file:///drive/that/is/unplugged/mlruns/mine")
    client.create_run(experiment)
    moved_artifacts.follow(store.uri(None))
    assert client.get_experiment(experiment).artifact_location == "file:///drive/that/is/unplugged/mlruns/mine"
    assert not caplog.messages


@pytest.mark.usefixtures("fresh_store")
def test_a_store_that_cannot_be_corrected_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(uri: str) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(moved_artifacts, "follow", locked)
    with pytest.raises(StoreAwayError, match="does not answer: database is locked"):
        connect(store.uri(None))
