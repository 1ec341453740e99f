"""Sweeps read back from a store."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from conf.schema import ConfigError
from sweeps import journal
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.tracking.client import search_runs
from sweeps.tracking.extras import Extras
from sweeps.tracking.reader import StoredSweeps
from tests.tracked import fill_store, small


def report(record: SweepRecord, trial: TrialRecord | None) -> Extras:
    return Extras(files={"report.html": b"<html>"} if trial is None and record.ended else {})


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> str:
    return fill_store(tmp_path_factory.mktemp("store"), empty_store, small(2, 2), report)


def test_a_sweep_is_read_back_as_its_journal_had_it(uri: str) -> None:
    stored = StoredSweeps(uri)
    (sweep,) = stored.chosen("a/imdb", "sweep")
    record = stored.record(sweep)
    assert record.directory == Path("outputs/a/imdb")
    assert len(record.completed) == 2
    assert record.ended is not None
    assert stored.chosen(sweep.run, "sweep") == [sweep]
    assert {sweep.name for sweep in stored.chosen("outputs/a/", "sweep")} == {"a/imdb", "a/reuters"}
    assert stored.sweeps("sweep", "confirm")[0].name == "cut/imdb"  # the newest comes first


def test_an_interrupted_sweep_is_in_the_store_as_far_as_it_came(uri: str) -> None:
    stored = StoredSweeps(uri)
    record = stored.record(stored.chosen("cut", "sweep")[0])
    assert [trial.status for trial in record.trials.values()] == ["completed", "running"]
    assert record.ended is None


def test_only_an_ended_sweep_has_a_report_in_its_run_and_each_has_its_journal(uri: str) -> None:
    client = MlflowClient(uri)
    for sweep in StoredSweeps(uri).sweeps("sweep"):
        artifacts = {artifact.path for artifact in client.list_artifacts(sweep.run)}
        assert "journal.jsonl" in artifacts
        assert ("report.html" in artifacts) == (sweep.name != "cut/imdb")


def test_the_sweep_of_a_trials_run_is_found_and_of_other_runs_it_is_refused(uri: str) -> None:
    stored = StoredSweeps(uri)
    (run,) = search_runs(MlflowClient(uri), "tags.sweep = 'a/imdb' and tags.trial = '1'")
    record, trial = stored.trial(run.info.run_id)
    assert (record.started.sweep, trial) == ("a/imdb", 1)
    with pytest.raises(ConfigError, match="not the run of a trial, but sweep"):
        stored.trial(stored.chosen("a/imdb", "sweep")[0].run)
    with pytest.raises(ConfigError, match=r"^reproduce=0{32}: sqlite:///.* has no such run$"):
        stored.trial("0" * 32)


def test_a_name_that_is_wrong_is_answered_with_similar_ones(uri: str) -> None:
    stored = StoredSweeps(uri)
    with pytest.raises(ConfigError, match="did you mean 'a/reuters'"):
        stored.chosen("a/reuter", "sweep")
    with pytest.raises(ConfigError, match=r"it has .*a/imdb"):
        stored.chosen("xyz", "sweep")


def test_a_store_that_is_not_there_is_not_created() -> None:
    with pytest.raises(ConfigError, match="no such store"):
        StoredSweeps("sqlite:///absent.db")
    assert not Path("absent.db").exists()


def test_a_journal_that_is_empty_lost_or_damaged_is_named(uri: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(uri.removeprefix("sqlite:///"), copy)
    stored, client = StoredSweeps(f"sqlite:///{copy}"), MlflowClient(f"sqlite:///{copy}")
    run = client.create_run("0", tags={"kind": "sweep", "sweep": "lost/imdb"}).info.run_id
    (sweep,) = stored.chosen(run, "sweep")
    with pytest.raises(SweepError, match=rf"^lost/imdb: its run {run} has no readable journal\.jsonl$"):
        stored.record(sweep)
    for content, reason in (("", "its journal.jsonl is empty"), ("{\n", "line 1 is damaged")):
        client.log_text(run, content, journal.FILE)
        with pytest.raises(SweepError, match=reason):
            stored.record(sweep)
