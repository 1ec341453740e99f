"""The end of a command whose sweeps the store does not have whole."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from conf.schema import ConfigError, Data, Engine
from pipelines import confirm, sweep
from sweeps import invocation, journal
from sweeps.errors import SweepError, TrialFailedError
from sweeps.search.oracle import Oracle
from sweeps.session.confirm import Request
from sweeps.session.session import ServingOf, Session, Sweep, places
from sweeps.tracking import registration
from sweeps.trials import gpus
from sweeps.trials.spec import OnEpoch, Serving, TrialResult, TrialSpec
from tests import fakes
from tests.conftest import ROOT, composed_job
from tests.fakes import FakeEngine
from tests.registered import TINY, logged, planned, serving, swept
from tests.servers import free_port

LINE = r"^not everything could be logged; to log the rest: .*python -m pipelines\.sync 'outputs/a b'$"


def unlogged(session: Session, *_: object) -> list[object]:
    session._unlogged.append(Path("outputs/a b"))
    return []


def test_a_sweep_that_could_not_be_logged_ends_with_the_command_that_logs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "search", unlogged)
    with pytest.raises(SweepError, match=LINE):
        sweep.run([composed_job("data=imdb")], Console())


def test_so_does_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.session.confirm.confirm", lambda request, session: unlogged(session))
    with pytest.raises(SweepError, match=LINE):
        confirm.run(Request("a"), Console())


@pytest.mark.usefixtures("fresh_store")
def test_a_model_that_could_not_be_registered_ends_the_command_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> registration.Version:
        raise registration.NotRegisteredError("the store is away")

    session = Session(Console(file=io.StringIO()), serving)
    plan = planned(Path("outputs/a b/imdb"), composed_job(*TINY))
    swept(plan)
    record = logged(plan)
    monkeypatch.setattr(registration, "register", refused)
    assert not session.register(plan.store, plan, record)
    with pytest.raises(SweepError, match=r"^not registered; to try again: .*python -m pipelines\.sync 'outputs/a b'$"):
        session.check_logged()


@pytest.mark.usefixtures("fresh_store")
def test_a_missing_word_index_is_told_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> registration.Version:
        raise ConfigError("datasets.imdb.text.words=null: it is nowhere")

    console = Console(file=io.StringIO(), width=200)
    session = Session(console, serving)
    plan = planned(Path("outputs/a/imdb"), composed_job(*TINY))
    swept(plan)
    monkeypatch.setattr(registration, "register", nowhere)
    assert not session.register(plan.store, plan, logged(plan))
    session.check_logged()
    assert isinstance(console.file, io.StringIO)
    then = f"then: {invocation.command('sync')} outputs/a\n"
    assert console.file.getvalue() == f"not registered: datasets.imdb.text.words=null: it is nowhere; {then}"


@pytest.mark.usefixtures("fresh_store")
def test_trying_again_is_only_offered_where_it_can_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> registration.Version:
        raise registration.NotRegisteredError("the weights of trial 0 are gone", lasting=True)

    console = Console(file=io.StringIO(), width=200)
    session = Session(console, serving)
    plan = planned(Path("outputs/a/imdb"), composed_job(*TINY))
    swept(plan)
    monkeypatch.setattr(registration, "register", lost)
    assert not session.register(plan.store, plan, logged(plan))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "not registered: the weights of trial 0 are gone\n"
    message = rf"^not registered: the models of {plan.sweep}; the reasons stand above$"
    with pytest.raises(SweepError, match=message):
        session.check_logged()


def test_what_a_registration_needs_is_checked_before_training() -> None:
    def nowhere(name: str, settings: Data) -> Serving:
        raise ConfigError("datasets.imdb.text.words=w.json: cannot be read")

    def checked(serving_of: ServingOf, *arguments: str, source: str = "archive", is_new: bool = True) -> str:
        console = Console(file=io.StringIO(), width=200)
        plan = planned(Path("outputs/a/imdb"), composed_job(*TINY, *arguments))._replace(source=source)
        Session(console, serving_of).check_serving(plan, is_new=is_new)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    named = "datasets.imdb.text.words=w.json"
    assert checked(serving) == checked(nowhere, source="standin") == ""
    with pytest.raises(ConfigError, match="cannot be read"):
        checked(nowhere, named)
    failure = "the model will not be registered: datasets.imdb.text.words=w.json: cannot be read\n"
    assert checked(nowhere) == checked(nowhere, named, is_new=False) == failure
    without = checked(serving, "datasets.imdb.text.url=null")
    assert without == "the model will not be registered: datasets.imdb.text names no word index\n"
    numbers = checked(serving, "datasets.imdb.text.labels=[]")
    assert numbers.startswith("datasets.imdb.text.labels names no labels, so the registered model will answer with ")


class LosingEngine(FakeEngine):
    """An engine one of whose workers did not come back."""

    workers, lost_workers, hosts = 1, 1, ""


def test_what_a_sweep_lost_is_told_and_no_password_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sweeps.tracking.tracker.LAST_TRIES", 0.1)
    address = f"127.0.0.1:{free_port()}"
    line = ("model=lstm", "data=imdb", "trials=1", "epochs=1", "references=none")
    job = composed_job(*line, f"tracking.uri=http://bob:geheim@{address}")
    console = Console(file=io.StringIO(), width=300)
    session, searched = Session(console, serving), fakes.plan(job)
    for past in ([], None):  # a sweep that goes on has nothing to run
        events = journal.read(searched.directory) if past is None else past
        one = Sweep(searched, Oracle(job.config, searched.space), events)
        _, _, logged = session.conduct([one], LosingEngine(workers=1), "random: 1 trial")  # type: ignore[arg-type]
        assert not logged
    assert isinstance(console.file, io.StringIO)
    output, recorded = console.file.getvalue(), (searched.directory / journal.FILE).read_text()
    assert "1 of the workers did not come back after they were lost; the others ran their trials\n" in output
    assert "lstm on imdb: nothing was run, 1 trials have ended; to go on, give more trials=\n" in output
    assert f"not everything could be logged to http://bob@{address}; to log the rest later:\n" in output
    assert f'"store": "http://bob@{address}"' in recorded
    assert f"http://bob@{address} does not answer: " in caplog.text
    assert "geheim" not in output + recorded + caplog.text
    with pytest.raises(SweepError, match=r"^not everything could be logged; to log the rest: .* outputs/sweep$"):
        session.check_logged()


def test_a_store_that_refuses_ends_a_sweep_before_its_first_trial(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    job, engine = composed_job("model=lstm", "data=imdb", "trials=1"), LosingEngine()
    searched = fakes.plan(job)
    one = Sweep(searched, Oracle(job.config, searched.space), [])
    with pytest.raises(ConfigError, match=r"^tracking\.uri=\S+/mlflow\.db: a folder; "):
        Session(Console(file=io.StringIO()), serving).conduct([one], engine, "random: 1 trial")  # type: ignore[arg-type]
    assert engine.specs == []
    assert not searched.directory.exists()


def test_a_model_that_fails_ends_a_sweep_before_anything_is_recorded() -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise TrialFailedError("model.build=a.b: must return a keras.Model")

    searched = fakes.plan(composed_job("model=lstm", "data=imdb", "trials=1", "references=none"))
    session = Session(Console(file=io.StringIO()), serving)
    with pytest.raises(ConfigError, match=r"^imdb: the model with the defaults .* fails: model\.build=a\.b: "):
        session._search([searched], [[]], LosingEngine(fail))  # type: ignore[arg-type]
    assert not searched.directory.exists()


def test_a_malformed_file_of_dasks_settings_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dask.yaml").write_text("distributed: [unclosed\n")
    code = "from rich.console import Console; from conf.schema import Engine; from sweeps.session import session"
    code += "; session.workers(Engine('local'), [], Console()).__enter__()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_CONFIG": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("conf.schema.ConfigError: A dask config file at ")
    assert str(tmp_path / "dask.yaml") in last


@pytest.mark.parametrize(("workers", "expected"), [(1, "1 worker"), (2, "2 workers")])
def test_workers_are_counted(workers: int, expected: str) -> None:
    assert places(Engine("cluster", scheduler="tcp://h:1"), workers) == (expected, "")


@pytest.mark.parametrize(
    ("workers", "on"), [(1, "1 worker on 1 GPU"), (2, "2 workers on 2 GPUs"), (9, "9 workers on 3 GPUs")]
)
def test_no_more_gpus_are_claimed_than_there_are_workers(
    workers: int, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda: gpus.Gpus(("0", "1", "2")))
    assert places(Engine("local"), workers) == (on, "")
