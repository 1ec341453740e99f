"""The product as its user runs it: whole sweeps on real workers, into a real store."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf.compose import Job
from conf.schema import ConfigError
from pipelines import sweep
from sweeps import journal, store
from sweeps.journal import SweepRecord

CURVES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
TINY = (
    "model.space.embedding_dim=8",
    "model.space.lstm_units={kind: Choice, values: [4, 8], default: 8}",
    "batch_size=100",
    "trials=2",
    "epochs=2",
)
ARCHIVES = Path(__file__).parent.parent.parent / "shared" / "data"


def run(job: Job) -> tuple[list[SweepRecord], str]:
    console = Console(file=io.StringIO(), width=120)
    records = sweep.run(job, sweep.check(job.config), console)
    assert isinstance(console.file, io.StringIO)
    return records, console.file.getvalue()


@pytest.mark.parametrize("model", ["lstm", "conv_lstm"])
@pytest.mark.parametrize("dataset", ["reuters", "imdb"])
def test_a_sweep_from_command_line_to_store(
    model: str, dataset: str, composed: Callable[..., Job], cluster: str
) -> None:
    data = (f"data={dataset}", f"datasets.{dataset}.source=standin", f"datasets.{dataset}.maxlen=20")
    filters = ("model.space.conv_filters=8",) if model == "conv_lstm" else ()
    job = composed(f"model={model}", *data, *TINY, *filters, "engine=cluster", f"engine.scheduler={cluster}")
    (record,), output = run(job)
    assert vars(record) == vars(SweepRecord(record.directory, journal.read(record.directory)))
    client = MlflowClient(store.uri(None))
    experiment = client.get_experiment_by_name(f"{dataset}-standin")
    runs = {run.data.tags.get("trial"): run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {None, "0", "1"}
    parent = runs.pop(None)
    assert parent.info.status == "FINISHED"
    for run_ in runs.values():
        assert run_.info.status == "FINISHED"
        assert run_.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run_.data.tags["source"] == "standin"
        for metric in CURVES:
            points = client.get_metric_history(run_.info.run_id, metric)
            assert [p.step for p in points] == list(range(1, int(run_.data.metrics["cost/epochs"]) + 1))
        assert 0 <= run_.data.metrics["test/accuracy"] <= 1
        assert 0 <= run_.data.metrics["test/macro_f1"] <= 1
        assert "loss_curves.png" in [artifact.path for artifact in client.list_artifacts(run_.info.run_id)]
    assert "STAND-IN" in output
    assert f"{dataset} trial 1: val/accuracy" in output
    assert "mlflow ui, then open" in output


def test_both_datasets_are_one_job_and_two_sweeps(composed: Callable[..., Job], cluster: str) -> None:
    standins = [f"datasets.{name}.{key}" for name in ("reuters", "imdb") for key in ("source=standin", "maxlen=20")]
    job = composed("model=lstm", *standins, *TINY, "trials=1", "engine=cluster", f"engine.scheduler={cluster}")
    records, _ = run(job)
    assert [r.started.dataset for r in records if r.started] == ["reuters", "imdb"]
    assert len({record.directory.parent for record in records}) == 1
    assert [len(record.trials) for record in records] == [1, 1]
    assert (records[0].directory.parent / "config.yaml").read_text() == job.yaml


def test_hyperband_goes_on_with_its_own_weights_on_real_workers(composed: Callable[..., Job], cluster: str) -> None:
    data = ("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=20")
    job = composed(
        "model=lstm",
        *data,
        *TINY,
        "tuner=hyperband",
        "trials=4",
        "epochs=3",
        "stopping=none",
        "engine=cluster",
        f"engine.scheduler={cluster}",
        "model.space.dropout={kind: Choice, values: [0.0, 0.1, 0.2, 0.3], default: 0.0}",
    )
    (record,), _ = run(job)
    epochs = {n: len(trial.curves["val/loss"]) for n, trial in record.trials.items()}
    assert epochs[0] == 3
    assert sorted(epochs.values()) == [1, 1, 3, 3]
    for trial in record.trials.values():  # a trial that started anew would show its first, steep epoch again
        assert trial.curves["train/loss"] == sorted(trial.curves["train/loss"], reverse=True)


def test_a_dry_run_says_what_would_run_and_leaves_nothing(composed: Callable[..., Job], cluster: str) -> None:
    data = ("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=20")
    job = composed(*data, "dry_run=true", "trials=5", "epochs=3", "engine=cluster", f"engine.scheduler={cluster}")
    records, output = run(job)
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
    composed: Callable[..., Job], cluster: str
) -> None:
    data = ("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=6")
    job = composed(*data, "dry_run=true", "engine=cluster", f"engine.scheduler={cluster}")
    with pytest.raises(ConfigError, match=r"^model\.space: the \w+ model \(.*kernel_size=5.*\): error: ValueError"):
        run(job)


def test_the_test_set_cannot_be_searched_on(composed: Callable[..., Job]) -> None:
    job = composed("datasets.imdb.validation=test")
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.validation=test: the test set must never choose"):
        sweep.check(job.config)


@pytest.mark.parametrize("experiment", ["article_reuters", "article_imdb"])
def test_the_articles_runs_are_one_trial_of_the_baseline(experiment: str, composed: Callable[..., Job]) -> None:
    config = composed(f"experiment={experiment}").config
    space = sweep.check(config)
    assert space.searched == ()
    assert (config.trials, config.batch_size, config.stopping.name, config.optimizer.name) == (1, 100, "none", "adam")
    (data,) = config.datasets.values()
    assert data.validation == "test"


@pytest.mark.skipif(not ARCHIVES.exists(), reason="the real archives are not here")
def test_a_sweep_on_a_real_archive(composed: Callable[..., Job], cluster: str) -> None:
    job = composed(
        "model=lstm",
        "data=reuters",
        f"datasets.reuters.archive={ARCHIVES / 'reuters.npz'}",
        *TINY,
        "epochs=1",
        "trials=1",
        "engine=cluster",
        f"engine.scheduler={cluster}",
    )
    (record,), output = run(job)
    assert record.started is not None
    assert record.started.source == "archive"
    # The commonest topic is a third of all.
    assert record.trials[0].test["test/accuracy"] > 0.3
    assert "STAND-IN" not in output
    assert MlflowClient(store.uri(None)).get_experiment_by_name("reuters") is not None


def test_the_exit_status_tells_whether_every_sweep_has_a_completed_trial(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = SweepRecord(Path())
    monkeypatch.setattr("sys.argv", ["sweep", "data=imdb"])
    for outcome, status in (([], 0), ([ended], 1)):
        monkeypatch.setattr(sweep, "run", lambda *_, outcome=outcome: outcome)
        ended.started = journal.SweepStarted(*[""] * 6, "val/accuracy", 1, 1, *[""] * 3, {}, None, None)  # type: ignore[arg-type]
        with pytest.raises(SystemExit) as exit_:
            sweep.main()
        assert exit_.value.code == status

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run", interrupt)
    with pytest.raises(SystemExit) as exit_:
        sweep.main()
    assert exit_.value.code == 130
