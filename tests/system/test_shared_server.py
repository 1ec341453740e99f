"""A shared server, as docs/mlflow.md sets it up: MLflow on PostgreSQL, artifacts served, with and without passwords."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from conf.schema import ConfigError, Job
from sweeps import driver, journal
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.plan import Plan
from sweeps.tracking import store
from sweeps.tracking.client import search_runs
from sweeps.tracking.database import check
from sweeps.tracking.extras import Extras
from sweeps.tracking.failures import StoreRefusesError
from sweeps.tracking.reader import StoredSweeps
from sweeps.tracking.registration import register
from sweeps.tracking.server import newest_comparison
from sweeps.tracking.tracker import Tracker
from tests.fakes import FakeEngine
from tests.registered import candidate, logged
from tests.servers import PASSWORD, mlflow_server
from tests.tracked import assert_curves_logged_once, catch_up, search_of

ADMIN = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32, "MLFLOW_AUTH_ADMIN_PASSWORD": "a-long-password"}


def extras(record: SweepRecord, trial: TrialRecord | None) -> Extras:
    return Extras(files={"loss_curves.png": b"\x89PNG"} if trial is not None else {})


@pytest.mark.usefixtures("database")
def test_a_sweep_is_in_it_with_its_artifacts_once(
    server: str, composed: Callable[..., Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = Tracker(server, extras=extras)
    search = search_of(composed("trials=3", "epochs=2"), tracker, directory=Path("outputs/shared/imdb"))
    driver.run([search], FakeEngine())
    assert tracker.close()
    catch_up(Tracker(server, extras=extras), search.plan.directory)
    assert capsys.readouterr().out == ""  # MLflow would print two lines for each run that ends
    runs = search_runs(MlflowClient(server), "tags.sweep = 'shared/imdb'")
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert len(trials) == 3
    for run in trials:
        assert_curves_logged_once(run, search.record.trials[int(run.data.tags["trial"])], server)
        artifact = f"{run.info.artifact_uri}/loss_curves.png"
        local = download_artifacts(artifact, dst_path=str(tmp_path / run.info.run_id), tracking_uri=server)
        assert Path(local).read_bytes() == b"\x89PNG"
    assert f"{server}/{newest_comparison(server)}" == tracker.comparison("shared/imdb")


@pytest.mark.usefixtures("database")
def test_the_chosen_model_is_registered_through_it(server: str, trained: Plan) -> None:
    record = logged(trained, server)
    assert record.best is not None
    version = register(server, record, candidate(trained, record))
    assert version[:5] == ("lstm-imdb", "1", "candidate", record.best.trial, True)
    assert register(server, record, candidate(trained, record)) == version._replace(new=False)


@pytest.mark.long
def test_a_server_with_passwords_takes_a_sweep_only_from_those_who_have_one(
    database: str, composed: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--backend-store-uri", database, "--artifacts-destination", str(tmp_path / "artifacts"))
    with mlflow_server(tmp_path, *options, "--app-name", "basic-auth", environment=ADMIN) as address:
        search = search_of(composed("trials=1", "epochs=1"), directory=Path("outputs/guarded/imdb"))
        driver.run([search], FakeEngine())
        tracker = Tracker(address, "guarded")
        with pytest.raises(ConfigError, match=r"the server takes no such user or password \(HTTP 401\)"):
            tracker.wait_until_opened()
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN["MLFLOW_AUTH_ADMIN_PASSWORD"])
        tracker = Tracker(address, "guarded")
        catch_up(tracker, search.plan.directory)
        runs = MlflowClient(address).search_runs(
            [MlflowClient(address).get_experiment_by_name("guarded-standin").experiment_id]
        )
        assert [run.info.status for run in runs] == ["FINISHED"] * 2
        assert f"{address}/{newest_comparison(address)}" == tracker.comparison(search.plan.sweep)
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        with pytest.raises(ConfigError, match="HTTP 401"):
            newest_comparison(address)


def test_the_database_itself_is_a_store_too_and_its_password_is_not_shown(
    database: str, server: str, composed: Callable[..., Job]
) -> None:
    # An experiment of its own: the artifacts of the others are the server's.
    tracker = Tracker(database, "direct")
    search = search_of(composed("trials=1", "epochs=1"), tracker, directory=Path("outputs/direct/imdb"))
    search.plan = search.plan._replace(store=store.without_password(database))
    driver.run([search], FakeEngine())
    assert tracker.close()
    text = (search.plan.directory / journal.FILE).read_text()
    assert "postgresql" in text
    assert PASSWORD not in text
    assert PASSWORD not in str(tracker.ui_command())


def test_a_database_that_refuses_is_named_at_once_in_the_same_line_everywhere(database: str) -> None:
    for uri, reason in (
        (database.replace(PASSWORD, "wrong"), 'password authentication failed for user "mlflow"'),
        (database.replace("//mlflow:", "//nobody:"), 'password authentication failed for user "nobody"'),
        (database.removesuffix("postgres") + "absent", 'database "absent" does not exist'),
    ):
        began = time.monotonic()
        tracker = Tracker(uri)
        with pytest.raises(StoreRefusesError) as error:
            tracker.wait_until_opened()
        tracker.close()
        for opening in (StoredSweeps, check):
            with pytest.raises(StoreRefusesError) as other:
                opening(uri)
            assert str(other.value) == str(error.value)
        assert time.monotonic() - began < 20
        assert str(error.value).startswith(f"tracking.uri={store.without_password(uri)}: connection failed: ")
        assert reason in str(error.value)
