"""Sweeps read back from a store."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from conf.schema import ConfigError
from sweeps import journal
from sweeps.errors import SweepError
from sweeps.journal import RunLinks, SweepRecord, TrialRecord
from sweeps.tracking import reader
from sweeps.tracking.client import search_runs
from sweeps.tracking.extras import Extras
from sweeps.tracking.failures import StoreAwayError
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


def test_the_run_of_a_trial_is_found_by_the_sweeps_name(uri: str) -> None:
    stored = StoredSweeps(uri)
    record, number = stored.trial(stored.run_of("a/imdb", 1))
    assert (record.started.sweep, number) == ("a/imdb", 1)
    with pytest.raises(ConfigError, match=r"^trial=7: a/imdb has no run of such a trial$"):
        stored.run_of("a/imdb", 7)
    with pytest.raises(ConfigError, match=r"^sweep=a: there are a/imdb, a/reuters$"):
        stored.run_of("a", 1)
    links = stored.links(record)
    assert links.addresses.keys() == {0, 1}
    assert stored.links(SweepRecord(record.directory, replace(record.started, sweep="b/imdb"))) == RunLinks()


def test_the_sweep_of_a_trials_run_is_found_and_of_other_runs_it_is_refused(uri: str) -> None:
    stored = StoredSweeps(uri)
    (run,) = search_runs(MlflowClient(uri), "tags.sweep = 'a/imdb' and tags.trial = '1'")
    record, trial = stored.trial(run.info.run_id)
    assert (record.started.sweep, trial) == ("a/imdb", 1)
    with pytest.raises(ConfigError, match="not the run of a trial, but sweep"):
        stored.trial(stored.chosen("a/imdb", "sweep")[0].run)
    with pytest.raises(ConfigError, match=r"^reproduce=0{32}: sqlite:///.* has no such run$"):
        stored.trial("0" * 32)


def test_a_store_that_goes_away_is_not_said_to_have_no_such_run(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(client: MlflowClient, run: str) -> None:
        raise MlflowException("API request failed") from ConnectionRefusedError(111, "Connection refused")

    stored = StoredSweeps(uri)
    monkeypatch.setattr(MlflowClient, "get_run", away)
    with pytest.raises(StoreAwayError, match=rf"^{uri} does not answer: Connection refused$"):
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
    with pytest.raises(SweepError, match=rf"^lost/imdb: its run {run} has no readable journal\.jsonl: Failed"):
        stored.record(sweep)
    for content, reason in (("", "its journal.jsonl is empty"), ("{\n", "line 1 is damaged")):
        client.log_text(run, content, journal.FILE)
        with pytest.raises(SweepError, match=reason):
            stored.record(sweep)


@pytest.mark.parametrize("name", ["../../x/imdb", "/etc/imdb", "a/..", "imdb", "", "a/b/c", "./imdb", "a/\0"])
def test_a_name_that_leads_elsewhere_is_no_sweep(name: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not reader.is_name(name)
    stored = StoredSweeps(uri)
    (sweep,) = stored.chosen("a/imdb", "sweep")
    events = list(journal.read(Path(MlflowClient(uri).download_artifacts(sweep.run, journal.FILE)).parent))
    monkeypatch.setattr(reader.journal, "read", lambda _: [replace(events[0], sweep=name), *events[1:]])
    with pytest.raises(SweepError, match=r"^a/imdb: its journal\.jsonl names the sweep"):
        stored.record(sweep)


def test_runs_with_such_names_are_left_out(uri: str, tmp_path: Path) -> None:
    client, before = MlflowClient(uri), StoredSweeps(uri).sweeps("sweep")
    run = client.create_run("0", tags={"kind": "sweep", "sweep": "../../x/imdb"}).info.run_id
    trial = client.create_run("0", tags={"trial": "x", "mlflow.parentRunId": run, "sweep": "../../x/imdb"}).info.run_id
    assert StoredSweeps(uri).sweeps("sweep") == before
    with pytest.raises(ConfigError, match="not the run of a trial"):
        StoredSweeps(uri).trial(trial)
    own = StoredSweeps(uri).chosen("a/imdb", "sweep")[0].run
    for number in ("x", "77", "-1"):
        client.set_tag(trial, "sweep", "a/imdb")
        client.set_tag(trial, "trial", number)
        client.set_tag(trial, "mlflow.parentRunId", own)
        with pytest.raises(SweepError, match=f"has no trial {number}, which run {trial} names"):
            StoredSweeps(uri).trial(trial)


def test_a_journal_of_any_size_is_not_downloaded(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST", 100)
    monkeypatch.setattr(MlflowClient, "download_artifacts", None)
    stored = StoredSweeps(uri)
    with pytest.raises(SweepError, match=r"^a/imdb: its journal\.jsonl has [\d,]+ bytes, more than 100$"):
        stored.record(stored.chosen("a/imdb", "sweep")[0])


def test_the_trials_of_a_record_link_to_their_runs_both_when_it_is_read_and_when_its_page_is_made(
    tmp_path: Path, empty_store: Path
) -> None:
    made: dict[str, RunLinks] = {}

    def keep(record: SweepRecord, trial: TrialRecord | None) -> Extras:
        if trial is None and record.ended:
            made[record.started.sweep] = record.links
        return Extras()

    uri = fill_store(tmp_path, empty_store, small(2, 2), keep)
    stored = StoredSweeps(uri)
    (sweep,) = stored.chosen("a/imdb", "sweep")
    links = stored.record(sweep).links
    assert made["a/imdb"] == links
    assert links.command.endswith(f"ui tracking.uri={uri}")
    assert sorted(links.addresses) == [0, 1]
    for number, address in links.addresses.items():
        page, _, run = address.rpartition("/")
        found = MlflowClient(uri).get_run(run)
        assert page == f"http://127.0.0.1:5000/#/experiments/{found.info.experiment_id}/runs"
        assert (found.data.tags["trial"], found.data.tags["sweep"]) == (str(number), "a/imdb")
