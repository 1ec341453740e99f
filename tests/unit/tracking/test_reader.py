"""Sweeps read back from a store, and the command that reports them."""

import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf.compose import Job
from conf.schema import ConfigError
from pipelines import confirm, report, sync
from sweeps import driver, journal
from sweeps.tracking import store
from sweeps.driver import Search
from sweeps.search.oracle import Oracle
from sweeps.tracking.reader import Recorded
from sweeps.tracking.tracker import Tracker
from tests.fakes import FakeEngine, plan


@pytest.fixture(scope="module")
def kept_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded")


@pytest.fixture
def uri(kept_store: Path, composed: Callable[..., Job]) -> str:
    """A store with a finished sweep on each dataset and one that was interrupted; made once."""
    uri = f"sqlite:///{kept_store / 'mlflow.db'}"
    if not (kept_store / "mlflow.db").exists():
        tracker = Tracker(uri)
        job = composed("trials=4", "epochs=2")
        searches = [search(job, kept_store / "outputs" / "a" / name, name, tracker) for name in ("imdb", "reuters")]
        driver.run(searches, FakeEngine())
        cut = search(job, kept_store / "outputs" / "cut" / "imdb", "imdb", tracker)
        engine = FakeEngine(workers=1)
        spec = cut.propose()
        assert spec is not None
        engine.submit("", spec)
        while engine.busy:
            message = engine.next(0)
            assert message is not None
            cut.handle(message)
        assert cut.propose() is not None
        cut.close()
        assert tracker.close()
        shutil.rmtree(kept_store / "outputs")  # the store alone
    return uri


def search(job: Job, directory: Path, dataset: str, tracker: Tracker) -> Search:
    planned = plan(job, directory, dataset)
    return Search(planned, Oracle(job.config, planned.space), [tracker])


def said(*arguments: str) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=200)
    complete = report.report(report.read_arguments(arguments), console)
    assert isinstance(console.file, io.StringIO)
    return complete, console.file.getvalue()


def test_a_sweep_is_read_back_as_its_journal_had_it(uri: str) -> None:
    recorded = Recorded(uri)
    (entry,) = recorded.chosen("a/imdb", "sweep")
    record = recorded.record(entry)
    assert len(record.completed) == 4
    assert record.ended is not None
    assert recorded.chosen(entry.run, "sweep") == [entry]
    assert {entry.name for entry in recorded.chosen("outputs/a/", "sweep")} == {"a/imdb", "a/reuters"}


def test_an_interrupted_sweep_is_in_the_store_as_far_as_it_came(uri: str) -> None:
    recorded = Recorded(uri)
    record = recorded.record(recorded.chosen("cut", "sweep")[0])
    assert [trial.status for trial in record.trials.values()] == ["completed", "running"]
    assert record.ended is None


def test_all_sweeps_have_pages_and_an_overview(uri: str) -> None:
    complete, output = said(f"tracking.uri={uri}")
    assert complete
    for name in ("a/imdb", "a/reuters", "cut/imdb"):
        assert (Path("reports") / name / "report.html").is_file()
        assert (Path("reports") / name / "val-loss.png").is_file()
        assert f"reports/{name}/report.html" in output
    overview = Path("reports/index.html").read_text(encoding="utf-8")
    assert "imdb (stand-in)" in overview
    assert 'href="a/reuters/report.html"' in overview
    assert "best: val" in overview
    assert "baseline: val" in overview


def test_a_name_that_is_wrong_is_answered_with_those_that_are_near(uri: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'a/reuters'"):
        said("sweep=a/reuter", f"tracking.uri={uri}")
    with pytest.raises(ConfigError, match=r"it has .*a/imdb"):
        said("sweep=xyz", f"tracking.uri={uri}")
    assert not Path("reports").exists()


def test_a_store_that_is_not_there_is_not_made() -> None:
    with pytest.raises(ConfigError, match="no such store"):
        said("tracking.uri=sqlite:///absent.db")
    assert not Path("absent.db").exists()


@pytest.mark.parametrize("argument", ["sweep", "sweep=", "sweeps=a", "--all"])
def test_another_argument_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed: sweep=…, tracking\.uri=…"):
        report.read_arguments([argument])


def test_a_run_whose_journal_is_lost_is_told_and_the_others_are_reported(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = journal.read

    def damaged(directory: Path) -> list[journal.Event]:
        events = original(directory)
        if len(events) < 12:  # the interrupted one
            raise journal.JournalError("line 3 is damaged")
        return events

    monkeypatch.setattr(journal, "read", damaged)
    complete, output = said(f"tracking.uri={uri}")
    assert not complete
    assert "line 3 is damaged" in output
    assert Path("reports/a/imdb/report.html").is_file()


def test_an_ended_sweep_has_its_report_in_its_run(uri: str) -> None:
    client = MlflowClient(uri)
    for entry in Recorded(uri).entries("sweep"):
        artifacts = {artifact.path for artifact in client.list_artifacts(entry.run)}
        assert "journal.jsonl" in artifacts
        assert ("report.html" in artifacts) == (entry.name != "cut/imdb")


def test_a_report_that_a_store_missed_comes_with_the_sync(composed: Callable[..., Job], tmp_path: Path) -> None:
    job = composed("trials=2", "epochs=2")
    directory = tmp_path / "outputs" / "later"
    planned = plan(job, directory / "imdb")
    driver.run([Search(planned, Oracle(job.config, planned.space))], FakeEngine())
    journal.write_whole(directory / "config.yaml", job.yaml)
    assert sync.sync(directory, store.local(), Console(file=io.StringIO()))
    assert (directory / "imdb" / "report.html").stat().st_mtime <= time.time()
    (entry,) = Recorded(store.local()).entries("sweep")
    assert "report.html" in {a.path for a in MlflowClient(store.local()).list_artifacts(entry.run)}


def test_a_sweep_is_confirmed_from_the_store_alone(uri: str) -> None:
    (record,) = confirm._sweeps(confirm.Arguments("a/imdb", uri=uri))
    assert len(record.completed) == 4
    assert {r.started.dataset for r in confirm._sweeps(confirm.Arguments("a", uri=uri)) if r.started} == {
        "imdb",
        "reuters",
    }
