"""A trial that is repeated from its run in a real store, on real workers."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf import stored
from conf.schema import ConfigError, Engine, Job
from pipelines import reproduce
from sweeps import environment, reproduction
from sweeps.journal.events import Environment
from sweeps.session import reproduce as repeating
from sweeps.tracking.client import search_runs
from tests.system.conftest import Searched


def test_a_trial_is_reproduced_to_the_last_bit_and_other_code_is_not(
    searched: Searched, cluster: str, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(searched.uri)
    trial = next(trial for trial in searched.record.trials.values() if trial.values["dropout"])  # has random numbers
    (run,) = search_runs(client, f"tags.trial = '{trial.trial}'")
    (parent,) = search_runs(client, "tags.kind = 'sweep'")
    monkeypatch.setattr(repeating, "Engine", lambda *_: Engine("cluster", scheduler=cluster))

    def repeat(expected: bool) -> str:
        console = Console(file=io.StringIO(), width=200)
        asked = composed("data=imdb", f"reproduce={run.info.run_id}", f"tracking.uri={searched.uri}")
        assert repeating.reproduce(asked.config, console, {}) is expected
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert repeat(True).count("equal to the last bit") == trial.epochs_run + 1
    original = reproduction.spec
    monkeypatch.setattr(reproduction, "spec", lambda *arguments: original(*arguments)._replace(seed=5))
    as_recorded = "the environment is the recorded one, as far as it was recorded\n"
    unlike = repeat(False)
    assert "epoch 1: differs: " in unlike
    assert unlike.endswith(f"NOT reproduced\n{as_recorded}")
    here, asked_for = environment.here, []

    def elsewhere(functions: tuple[str, ...]) -> Environment:
        asked_for.append(functions)
        now = here(functions)
        return replace(now, code={**now.code, "models/new.py": "0"})

    monkeypatch.setattr(environment, "here", elsewhere)
    unlike = repeat(False)
    assert "another environment: models/new.py is new, it was not there when the trial was trained\n" in unlike
    assert as_recorded not in unlike
    config = stored.parsed(searched.record.config)
    data = config.datasets["imdb"]
    assert asked_for == [(config.model.build, config.optimizer.build, data.read, config.tuner["oracle"])]
    asked = composed(f"reproduce={parent.info.run_id}", f"tracking.uri={searched.uri}")
    with pytest.raises(ConfigError, match="not the run of a trial, but sweep"):
        repeating.reproduce(asked.config, Console(), {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no run: one trial is needed"),
        (("a", "b"), "a b: one trial is needed"),
        (("sweep=a",), "sweep=a: one trial is needed"),
        (("sweep=a", "trial=1", "b"), "sweep=a trial=1 b: one trial is needed"),
        (("sweep=a", "trial=one"), "trial=one: must be a trial's number"),
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
    monkeypatch.setattr(repeating, "reproduce", lambda config, console, named: asked.append(config) or True)
    monkeypatch.setattr("sys.argv", ["reproduce", "ab" * 16, "engine.threads=2"])
    assert reproduce.reproduce(Console())
    assert (asked[0].reproduce, asked[0].engine.threads) == ("ab" * 16, 2)
