"""A trial that is repeated from its run in a real store, on real workers."""

import io
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf.schema import ConfigError, Job
from pipelines import reproduce, sweep
from sweeps import reproduction
from sweeps.session import reproduce as repeating
from sweeps.tracking import store


def test_a_trial_is_reproduced_to_the_last_bit_and_other_code_is_not(
    composed: Callable[..., Job], cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=20")
    small = (
        "model.space.embedding_dim=8",
        "model.space.lstm_units=4",
        "model.space.dropout=0.2",
        "trials=2",
        "epochs=2",
    )
    job = composed("model=lstm", *data, *small, "engine=cluster", f"engine.scheduler={cluster}")
    (record,) = sweep.run([job], Console(file=io.StringIO()))
    client = MlflowClient(store.uri(None))
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(everywhere, "tags.trial = '1'")
    (parent,) = client.search_runs(everywhere, "tags.kind = 'sweep'")
    monkeypatch.setattr(repeating, "Engine", lambda *_: job.config.engine)  # the workers of the cluster

    def repeat(expected: bool) -> str:
        console = Console(file=io.StringIO(), width=200)
        asked = composed("data=imdb", f"reproduce={run.info.run_id}")
        assert repeating.reproduce(asked.config, console) is expected
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert repeat(True).count("equal to the last bit") == record.trials[1].epochs_run + 1
    original = reproduction.spec
    monkeypatch.setattr(reproduction, "spec", lambda *arguments: original(*arguments)._replace(seed=5))
    assert "epoch 1: differs: " in repeat(False)
    with pytest.raises(ConfigError, match="not the run of a trial, but sweep"):
        repeating.reproduce(composed(f"reproduce={parent.info.run_id}").config, Console())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no run: one run's id is needed"),
        (("a", "b"), "a b: one run's id is needed"),
        (("x",), "reproduce=x: must be a run's id, 32 digits"),
        (("0" * 32, "seed=3"), "seed=3: reproduce= trains what the run recorded"),
    ],
)
def test_a_mistake_ends_in_one_line(arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["reproduce", *arguments])
    with pytest.raises(ConfigError, match=f"^{message}"):
        reproduce.reproduce(Console())


def test_the_command_repeats_the_run_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(repeating, "reproduce", lambda config, console: asked.append(config) or True)
    monkeypatch.setattr("sys.argv", ["reproduce", "ab" * 16, "engine.threads=2"])
    assert reproduce.reproduce(Console())
    assert (asked[0].reproduce, asked[0].engine.threads) == ("ab" * 16, 2)
