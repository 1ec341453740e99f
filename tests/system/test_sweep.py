"""The product as its user runs it: whole sweeps on real workers, into a real store."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from conf.schema import ConfigError, Engine, Job
from pipelines import sweep
from sweeps import driver, environment, journal
from sweeps.journal import Event, SweepEnded, SweepRecord
from sweeps.metrics import CURVES
from sweeps.search.oracle import Oracle
from sweeps.session import checks
from sweeps.session.session import places
from sweeps.tracking import store
from sweeps.tracking.tracker import Tracker
from sweeps.trials import gpus
from sweeps.trials.dask_engine import cluster
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.gpus import Gpus
from tests import records
from tests.conftest import ROOT
from tests.fakes import plan
from tests.records import BEFORE_FORMATS
from tests.servers import Start
from tests.system.conftest import Searched, run_job

TINY = (
    "model.space.embedding_dim=8",
    "model.space.lstm_units={kind: Choice, values: [4, 8], default: 8}",
    "batch_size=100",
    "trials=2",
    "epochs=2",
)
ARCHIVES = ROOT.parent / "shared" / "data"
IMDB = ("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=20")


@pytest.fixture
def fake_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers train nothing, where only what surrounds the trials is the subject."""
    submit = DaskEngine.submit
    monkeypatch.setattr(DaskEngine, "submit", lambda engine, _, spec: submit(engine, "tests.fakes.learn", spec))


@pytest.fixture
def on_cluster(cluster: str) -> tuple[str, str]:
    return ("engine=cluster", f"engine.scheduler={cluster}")


def assert_the_store_has(record: SweepRecord, uri: str) -> str:
    """Check the runs of a sweep on a stand-in; returns their experiment."""
    assert vars(record) == vars(SweepRecord.of(record.directory, journal.read(record.directory)))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"{record.started.dataset}-standin").experiment_id
    everything = client.search_runs([experiment])
    references = [run for run in everything if run.data.tags["kind"] == "reference"]
    runs = {run.data.tags.get("trial"): run for run in everything if run not in references}
    parent = runs.pop(None)
    assert {run.data.tags["reference"] for run in references} == record.references.keys()
    assert {run.data.tags["mlflow.parentRunId"] for run in references} <= {parent.info.run_id}
    assert set(runs) == set(map(str, range(record.budget)))
    assert parent.info.status == "FINISHED"
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["source"] == "standin"
        for metric in CURVES:
            points = client.get_metric_history(run.info.run_id, metric)
            assert [p.step for p in points] == list(range(1, int(run.data.metrics["cost/epochs"]) + 1))
        assert 0 <= run.data.metrics["test/accuracy"] <= 1
        assert 0 <= run.data.metrics["test/macro_f1"] <= 1
        assert "loss_curves.png" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
    return str(experiment)


def assert_the_user_reads(output: str, dataset: str, experiment: str) -> None:
    assert "STAND-IN" in output
    assert f"{dataset} trial 1 (stand-in): val/accuracy" in output
    assert f"{dataset} reference TF-IDF with a linear SVM, C=" in output
    assert "STAND-IN data: A linear model on counts of words (" in output
    link = f"http://127.0.0.1:5000/#/experiments/{experiment}/runs?"
    assert output.count(link) == 2  # as soon as there is something to compare, and at the end


def test_a_sweep_from_command_line_to_store(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(searched.folder)
    assert [reference.completed for reference in searched.record.references.values()] == [True] * 4
    assert "imdb reference TF-IDF with a linear SVM on the whole texts, C=" in searched.output
    assert_the_user_reads(searched.output, "imdb", assert_the_store_has(searched.record, searched.uri))


@pytest.mark.long
@pytest.mark.parametrize(("model", "dataset"), [("lstm", "reuters"), ("lstm", "imdb"), ("conv_lstm", "reuters")])
def test_every_model_is_searched_on_every_dataset(
    model: str, dataset: str, composed: Callable[..., Job], on_cluster: tuple[str, str]
) -> None:
    data = (f"data={dataset}", f"datasets.{dataset}.source=standin", f"datasets.{dataset}.maxlen=20")
    filters = ("model.space.conv_filters=8",) if model == "conv_lstm" else ()
    (record,), output = run_job(composed(f"model={model}", *data, *TINY, *filters, *on_cluster))
    assert_the_user_reads(output, dataset, assert_the_store_has(record, store.uri(None)))


@pytest.mark.usefixtures("fake_trials", "fresh_store")
def test_both_datasets_are_one_job_and_two_sweeps_and_a_resume_begins_the_one_that_had_not_begun(
    composed: Callable[..., Job], on_cluster: tuple[str, str]
) -> None:
    standins = [f"datasets.{name}.{key}" for name in ("reuters", "imdb") for key in ("source=standin", "maxlen=20")]
    job = composed("model=lstm", *standins, *TINY, "trials=1", "epochs=1", *on_cluster)
    records, _ = run_job(job)
    assert [record.started.dataset for record in records] == ["reuters", "imdb"]
    assert len({record.directory.parent for record in records}) == 1
    assert [len(record.trials) for record in records] == [1, 1]
    directory = records[0].directory.parent
    assert (directory / "config.yaml").read_text() == job.yaml

    (directory / "imdb" / journal.FILE).write_bytes(b'{"event": "sweep_st')  # the power went off
    again, output = run_job(composed(f"resume={directory}", "trials=2"))
    assert "resumed reuters: 1 of 2 trials finished" in output
    assert "resumed imdb" not in output
    assert [len(record.trials) for record in again] == [2, 2]
    assert statuses("sweep") == ["FINISHED"] * 2
    assert statuses("trial") == ["FINISHED"] * 4


@pytest.mark.long
def test_hyperband_goes_on_with_its_own_weights_on_real_workers(
    composed: Callable[..., Job], on_cluster: tuple[str, str]
) -> None:
    job = composed(
        "model=lstm",
        *IMDB,
        *TINY,
        "tuner=hyperband",
        "trials=4",
        "epochs=3",
        "stopping=none",
        *on_cluster,
        "model.space.dropout={kind: Choice, values: [0.0, 0.1, 0.2, 0.3], default: 0.0}",
    )
    (record,), _ = run_job(job)
    epochs = {n: len(trial.curves["val/loss"]) for n, trial in record.trials.items()}
    assert epochs[0] == 3
    assert sorted(epochs.values()) == [1, 1, 3, 3]
    for trial in record.trials.values():  # a trial that started anew would show its first, steep epoch again
        assert trial.curves["train/loss"] == sorted(trial.curves["train/loss"], reverse=True)


def test_a_dry_run_says_what_would_run_and_leaves_nothing(
    composed: Callable[..., Job], on_cluster: tuple[str, str]
) -> None:
    records, output = run_job(composed(*IMDB, "dry_run=true", "trials=5", "epochs=3", *on_cluster))
    assert records == []
    assert "5 trials, 15 epochs" in output
    for size in ("smallest", "default", "largest"):
        assert size in output
    # Embedding, convolution, LSTM, dense of the largest: 200, 128, 200.
    largest = 5000 * 200 + (5 * 200 + 1) * 128 + 4 * 200 * (128 + 200 + 1) + 201 * 2
    assert f"{largest:,}" in output
    assert not Path("outputs").exists()
    assert not Path("mlflow.db").exists()


def test_a_model_that_the_data_are_too_short_for_is_found_by_a_dry_run(
    composed: Callable[..., Job], on_cluster: tuple[str, str]
) -> None:
    job = composed(*IMDB, "datasets.imdb.maxlen=6", "dry_run=true", *on_cluster)
    with pytest.raises(ConfigError, match=r"^model\.space: the \w+ model \(.*kernel_size=5.*\): error: ValueError"):
        run_job(job)


def test_the_test_set_cannot_be_searched_on(composed: Callable[..., Job]) -> None:
    job = composed("datasets.imdb.validation=test")
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.validation=test: the test set must never choose"):
        checks.check(job.config)


@pytest.mark.parametrize("experiment", ["article_reuters", "article_imdb"])
def test_the_articles_runs_are_one_trial_of_the_baseline(experiment: str, composed: Callable[..., Job]) -> None:
    config = composed(f"experiment={experiment}").config
    (space,) = checks.check(config).values()
    assert space.searched == ()
    assert (config.trials, config.batch_size, config.stopping.name, config.optimizer.name) == (1, 100, "none", "adam")
    (data,) = config.datasets.values()
    assert data.validation == "test"


@pytest.mark.long
@pytest.mark.skipif(not ARCHIVES.exists(), reason="the real archives are not here")
def test_a_sweep_on_a_real_archive(composed: Callable[..., Job], on_cluster: tuple[str, str]) -> None:
    reuters = ("data=reuters", f"datasets.reuters.archive={ARCHIVES / 'reuters.npz'}")
    (record,), output = run_job(composed("model=lstm", *reuters, *TINY, "epochs=1", "trials=1", *on_cluster))
    assert record.started.source == "archive"
    # The commonest topic is a third of all.
    assert record.trials[0].test["test/accuracy"] > 0.3
    assert "STAND-IN" not in output
    assert MlflowClient(store.uri(None)).get_experiment_by_name("reuters") is not None


SMALL = ("experiment=smoke", "stopping=none", "model.space.embedding_dim=8", "model.space.conv_filters=8", "epochs=3")


Command = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def command(start: Start) -> Command:
    """Starts `python -m pipelines.sweep` with these arguments."""
    return lambda *arguments: start([sys.executable, "-m", "pipelines.sweep", *arguments])


def until(process: subprocess.Popen[str], text: str) -> str:
    """Wait until a process prints this text, and return everything that it printed."""
    assert process.stdout is not None
    lines = ""
    while text not in lines:
        line = process.stdout.readline()
        assert line, f"it ended without {text!r}: {lines}"
        lines += line
    return lines


def statuses(kind: str) -> list[str]:
    client = MlflowClient(store.uri(None))
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run.info.status for run in client.search_runs(everywhere, f"tags.kind = '{kind}'")]


@pytest.mark.long
def test_interrupted_killed_and_resumed_a_sweep_is_one(command: Command) -> None:
    process = command(*SMALL, "trials=60")
    until(process, "imdb trial")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert "Traceback" not in output
    assert "interrupted" in output
    assert statuses("sweep") == ["KILLED"]
    assert "RUNNING" not in statuses("trial")
    (directory,) = Path("outputs").iterdir()
    assert f"python -m pipelines.sweep resume={directory}" in output

    process = command(f"resume={directory}")
    until(process, "imdb trial")
    rival = command(f"resume={directory}")
    announced, refusal = rival.communicate()[0].splitlines()
    assert (rival.returncode, announced.startswith(f"resuming {directory}, ")) == (1, True)
    assert refusal.startswith(f"error: {directory} is in use by process {process.pid} on ")
    process.kill()
    process.communicate()
    done = len([event for event in journal.read(directory / "imdb") if isinstance(event, journal.TrialEnded)])

    process = command(f"resume={directory}", f"trials={done + 2}", "engine.workers=1")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert f"resumed imdb: {done} of {done + 2} trials finished" in output
    assert statuses("sweep") == ["FINISHED"]
    assert statuses("trial") == ["FINISHED"] * (done + 2)


@pytest.mark.long
def test_a_second_signal_ends_a_sweep_at_once(command: Command) -> None:
    process = command(*SMALL)
    until(process, "journals in")
    began = time.monotonic()
    while process.poll() is None:  # the first is handled in order, the second finds it there
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert process.returncode == 130
    assert time.monotonic() - began < 3
    process.communicate()


@pytest.mark.usefixtures("fresh_store")
def test_every_way_to_fail_is_told_apart_and_the_sweep_goes_on(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("trial_minutes=30", "retries=1", "max_failures=9", "engine.workers=2", "engine.memory=500MB")
    job = composed("data=imdb", "trials=8", "epochs=2", *options)
    one = plan(job)._replace(function="tests.specs.one_of_each")
    tracker = Tracker(store.uri(None))
    search = driver.Search(one, Oracle(job.config, one.space), [tracker])

    def clock() -> float:
        """An hour later once the trial that sleeps is the last; the others take the time that the machine needs."""
        asleep = len(search.record.trials) == 8 and set(search._out) == set(search._on_worker) == {5}
        return time.monotonic() + 3600 * asleep

    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=clock))
    with open_engine(job.config.engine) as engine:
        driver.run([search], engine)
    assert tracker.close()
    expected = {
        1: "diverged: train/loss is nan in epoch 2",
        2: "error: ZeroDivisionError: a",
        3: "worker died",
        4: "out of memory",
        5: "time limit",
    }
    client = MlflowClient(store.uri(None))
    experiment = client.get_experiment_by_name("imdb-standin").experiment_id
    runs = client.search_runs([experiment], "tags.kind = 'trial'")
    assert len(runs) == 8
    for run in runs:
        trial = int(run.data.tags["trial"])
        assert run.info.status == ("FAILED" if trial in expected else "FINISHED")
        assert re.sub(": the worker took .*", "", run.data.tags["status.reason"]) == expected.get(trial, "finished")
        assert run.data.tags["attempt"] == ("2" if trial in (3, 4) else "1")
        artifacts = [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
        assert ("traceback.txt" in artifacts) == (trial in expected)
    assert search.record.ended is not None
    assert search.record.ended.status == "completed"


def test_a_sweep_on_other_data_or_with_another_keras_tuner_is_not_the_same(
    searched_here: SweepRecord, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, digest = searched_here.directory.parent, searched_here.started.digest
    job = composed(f"resume={directory}", "trials=4")
    before = (searched_here.directory / journal.FILE).read_bytes()
    with monkeypatch.context() as patched:
        versions = environment.versions()
        patched.setattr(environment, "versions", lambda: {**versions, "keras-tuner": "1.4.7"})
        with pytest.raises(
            ConfigError, match=rf"^keras-tuner=1\.4\.7: {directory} was started with keras-tuner=1\.4\.8"
        ):
            run_job(job)
    path = searched_here.directory / journal.FILE
    path.write_bytes(before.replace(digest.encode(), b"0123456789abcdef"))
    with pytest.raises(
        ConfigError, match=rf"^datasets\.imdb: the digest of the data is {digest}, {directory} was .*0123"
    ):
        run_job(job)
    path.write_bytes(before.replace(b"seed: 1\\n", b"seed: 2\\n"))
    with pytest.raises(ConfigError, match=rf"^seed=1: {directory} was started with seed=2; on resume only trials, "):
        run_job(job)


def test_a_new_sweep_that_cannot_begin_leaves_no_directory(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with pytest.raises(ConfigError, match=r"^engine\.scheduler=tcp://127\.0\.0\.1:9: "):
        run_job(composed(*IMDB, *TINY, "engine=cluster", "engine.scheduler=tcp://127.0.0.1:9"))
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("outcomes", "status"), [((), 0), (("completed",), 0), (("completed", "failed"), 1), (("",), 1)]
)
def test_the_exit_status_tells_whether_every_sweep_has_a_completed_trial(
    outcomes: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for outcome in outcomes:
        found.append(SweepRecord(Path(), records.started()))
        found[-1].ended = SweepEnded(outcome, None) if outcome else None
    monkeypatch.setattr(sweep, "run", lambda jobs, console: found)
    assert exit_status(monkeypatch) == status


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run", interrupt)
    assert exit_status(monkeypatch) == 130


def exit_status(monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own
    monkeypatch.setattr("sys.argv", ["sweep", "data=imdb"])
    with pytest.raises(SystemExit) as exit_:
        sweep.main()
    return exit_.value.code


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (Gpus(()), ("4 workers", "")),
        (Gpus(("0",)), ("4 workers on 1 GPU", "")),
        (Gpus(("0", "1")), ("4 workers on 2 GPUs", "")),
        (Gpus((), "1 GPU not used"), ("4 workers", "1 GPU not used")),
    ],
)
def test_the_user_reads_where_trials_run(
    available: Gpus, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda: available)
    assert places(Engine("local"), 4) == expected
    assert places(Engine("cluster", scheduler="tcp://host:8786"), 4) == ("4 workers", "")


@pytest.fixture
def old_sweep() -> Path:
    """The directory of a Hyperband sweep that an earlier version left after 8 of 12 trials."""
    directory = Path("outputs/old")
    shutil.copytree(BEFORE_FORMATS, directory)
    return directory


LOCAL_STORE = "tracking.uri=sqlite:///mlflow.db"  # not the store that the old journal names


@pytest.mark.usefixtures("fake_trials", "fresh_store")
def test_a_sweep_from_before_journals_had_a_format_is_interrupted_and_goes_on_to_its_end(
    old_sweep: Path, command: Command, composed: Callable[..., Job], on_cluster: tuple[str, str]
) -> None:
    past = journal.read(old_sweep / "imdb")
    process = command(f"resume={old_sweep}", LOCAL_STORE, "engine.workers=1")
    until(process, "comparison of conv_lstm-")  # the store has it
    rival = command(f"resume={old_sweep}")
    announced, refusal = rival.communicate()[0].splitlines()
    assert (rival.returncode, announced.startswith(f"resuming {old_sweep}, ")) == (1, True)
    assert refusal.startswith(f"error: {old_sweep} is in use by process {process.pid} on ")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate()[0]
    assert (process.returncode, "Traceback" in output) == (130, False)
    assert time.monotonic() - began < 10
    assert "interrupted" in output
    assert f"python -m pipelines.sweep resume={old_sweep}" in output
    assert statuses("sweep") == ["KILLED"]
    assert "RUNNING" not in statuses("trial")

    _, output = run_job(composed(f"resume={old_sweep}", LOCAL_STORE, *on_cluster))
    assert "resumed imdb: " in output
    assert_the_old_sweep_is_whole(old_sweep, past)
    assert statuses("sweep") == ["FINISHED"]
    assert statuses("trial") == ["FINISHED"] * 12


@pytest.mark.long
@pytest.mark.usefixtures("fresh_store")
def test_a_sweep_from_before_journals_had_a_format_trains_on_from_its_weights(
    old_sweep: Path, command: Command
) -> None:
    past = journal.read(old_sweep / "imdb")
    process = command(f"resume={old_sweep}", LOCAL_STORE)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "resumed imdb: 8 of 12 trials finished" in output
    assert_the_old_sweep_is_whole(old_sweep, past)


def assert_the_old_sweep_is_whole(directory: Path, past: Sequence[Event]) -> None:
    events = journal.read(directory / "imdb")
    assert events[: len(past)] == past
    record = SweepRecord.of(directory / "imdb", events)
    assert (len(record.trials), record.finished, len(record.completed)) == (12, 12, 12)
    assert all(trial.epochs_run in (1, 3, 9) or trial.reason == "patience" for trial in record.trials.values())
    assert all({len(curve) for curve in t.curves.values()} == {t.epochs_run} for t in record.trials.values())
