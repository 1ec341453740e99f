"""A shared server, as the README sets it up: MLflow on PostgreSQL, artifacts served, with and without passwords."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from conf.compose import Job
from conf.schema import ConfigError
from pipelines import ui
from sweeps import driver, journal
from sweeps.tracking import registration, store
from sweeps.driver import Search
from sweeps.search.oracle import Oracle
from sweeps.plan import Plan
from sweeps.metrics import CURVES
from sweeps.tracking.tracker import Tracker
from tests.fakes import FakeEngine, learn, plan
from tests.servers import mlflow_server, postgresql, postgresql_programs
from tests.system.test_registration import one, words  # noqa: F401  a sweep that has really trained

pytestmark = pytest.mark.skipif(postgresql_programs() is None, reason="PostgreSQL is not here (Debian: postgresql)")
PASSWORD = "a-secret"
ADMIN = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32, "MLFLOW_AUTH_ADMIN_PASSWORD": "a-long-password"}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql(PASSWORD) as uri:
        yield uri


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    options = ("--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts"))
    with mlflow_server(folder, *options) as address:
        yield address


def everything(address: str) -> list[Run]:
    client = MlflowClient(address)
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(everywhere, "tags.sweep = 'sweep/imdb'", order_by=["attributes.start_time"]))


def test_a_sweep_is_in_it_with_its_artifacts_once(
    server: str, composed: Callable[..., Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = composed("trials=3", "epochs=2")
    tracker = Tracker(server)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    driver.run([search], FakeEngine(learn))
    assert tracker.close()
    again = Tracker(server)  # as `python -m pipelines.sync` does
    again.recall(search.plan.directory, journal.read(search.plan.directory))
    assert again.close()
    assert capsys.readouterr().out == ""  # MLflow would print two lines for each run that ends
    parent, *trials = everything(server)
    assert [run.info.status for run in (parent, *trials)] == ["FINISHED"] * 4
    client = MlflowClient(server)
    for run in trials:
        trial = search.record.trials[int(run.data.tags["trial"])]
        for name in CURVES:
            points = client.get_metric_history(run.info.run_id, name)
            assert [(point.step, point.value) for point in points] == list(enumerate(trial.curves[name], start=1))
        artifact = f"{run.info.artifact_uri}/loss_curves.png"
        local = download_artifacts(artifact, dst_path=str(tmp_path / run.info.run_id), tracking_uri=server)
        assert Path(local).read_bytes()[:4] == b"\x89PNG"
    assert f"{server}/{ui.newest_comparison(server)}" == tracker.comparison("sweep/imdb")


def test_the_chosen_model_is_registered_through_it(server: str, one: Plan) -> None:  # noqa: F811
    past = journal.read(one.directory)
    tracker = Tracker(server)
    tracker.recall(one.directory, past)
    assert tracker.close()
    record = journal.SweepRecord(one.directory, past)
    assert record.best is not None
    version = registration.register(server, one, record, words)
    assert version == ("lstm-imdb", "1", "candidate", record.best.trial, True)
    assert registration.register(server, one, record, words) == version._replace(new=False)


def test_a_server_with_passwords_takes_it_from_those_who_have_one(
    database: str, composed: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--backend-store-uri", database, "--artifacts-destination", str(tmp_path / "artifacts"))
    with mlflow_server(tmp_path, *options, "--app-name", "basic-auth", environment=ADMIN) as address:
        job = composed("trials=1", "epochs=1", "tracking.experiment=guarded")
        guarded = plan(job, Path("outputs/guarded/imdb"))
        tracker = Tracker(address, "guarded")
        search = Search(guarded, Oracle(job.config, guarded.space), [tracker])
        driver.run([search], FakeEngine(learn))
        assert not tracker.close()  # and the sweep went on without
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN["MLFLOW_AUTH_ADMIN_PASSWORD"])
        tracker = Tracker(address, "guarded")
        tracker.recall(guarded.directory, journal.read(guarded.directory))
        assert tracker.close()
        runs = MlflowClient(address).search_runs(
            [MlflowClient(address).get_experiment_by_name("guarded-standin").experiment_id]
        )
        assert [run.info.status for run in runs] == ["FINISHED"] * 2
        assert f"{address}/{ui.newest_comparison(address)}" == tracker.comparison(guarded.sweep)
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        with pytest.raises(ConfigError, match="does not answer as MLflow does: HTTP Error 401"):
            ui.newest_comparison(address)


def test_the_database_itself_is_a_store_too_and_its_password_is_not_shown(
    database: str, composed: Callable[..., Job]
) -> None:
    job = composed("trials=1", "epochs=1")
    direct = plan(job, Path("outputs/direct/imdb"))._replace(store=store.without_password(database))
    tracker = Tracker(database, "direct")  # an experiment of its own: the artifacts of others are the server's
    search = Search(direct, Oracle(job.config, direct.space), [tracker])
    driver.run([search], FakeEngine(learn))
    assert tracker.close()
    assert PASSWORD not in (direct.directory / journal.FILE).read_text()
    assert PASSWORD not in str(tracker.ui_command())
