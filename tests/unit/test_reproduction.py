import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf.compose import Job
from conf.schema import ConfigError
from pipelines import reproduce, sweep
from sweeps import reproduction
from sweeps.tracking import store
from sweeps.trials.engine import Failed
from sweeps.journal import SweepRecord, SweepResumed, TrialRecord, TrialStarted
from sweeps.reproduction import Environment
from tests import records
from tests.fakes import plan, result
from tests.specs import spec as tiny


def recorded(status: str = "completed") -> TrialRecord:
    record = records.record(trials=1, failing=lambda trial: status == "failed")
    return record.trials[0]


def again(trial: TrialRecord) -> reproduction.TrialResult:
    outcome = result(tiny(), trial.curves["val/accuracy"])
    return outcome._replace(curves={name: list(curve) for name, curve in trial.curves.items()}, test=dict(trial.test))


def test_equal_numbers_are_reproduced() -> None:
    trial = recorded()
    equal, lines = reproduction.in_words(trial, again(trial))
    assert equal
    assert lines == [
        *(f"epoch {epoch}: equal to the last bit" for epoch in range(1, 5)),
        "test, after epoch 4: equal to the last bit",
    ]


def test_one_bit_is_a_difference_and_the_epoch_where_they_part_is_named() -> None:
    trial = recorded()
    other = again(trial)
    value = other.curves["val/loss"][2]
    other.curves["val/loss"][2] = float(np.nextafter(value, 2))
    equal, lines = reproduction.in_words(trial, other)
    assert not equal
    assert lines[1] == "epoch 2: equal to the last bit"
    assert lines[2].startswith(f"epoch 3: differs: val/loss {value!r} then, ")
    (difference,) = reproduction.differences(trial, other)
    assert (difference.epoch, difference.metric, difference.recorded) == (3, "val/loss", value)


def test_a_missing_epoch_and_another_test_score_are_differences() -> None:
    trial = recorded()
    other = again(trial)
    for curve in other.curves.values():
        curve.pop()
    other.test["test/accuracy"] += 0.001  # type: ignore[index]
    found = reproduction.differences(trial, other)
    assert {(d.epoch, d.metric) for d in found} == {
        *((4, name) for name in trial.curves),
        (0, "test/accuracy"),
    }
    assert "absent now" in reproduction.in_words(trial, other)[1][3]


def test_a_failure_is_reproduced_by_the_same_failure() -> None:
    trial = recorded("failed")
    failed = Failed(tiny(), trial.reason, "", lost=False)
    assert reproduction.in_words(trial, failed)[0]
    assert not reproduction.in_words(trial, failed._replace(reason="out of memory"))[0]
    assert not reproduction.in_words(trial, again(recorded()))[0]


def test_what_differs_in_the_environment_is_named_as_far_as_it_was_recorded() -> None:
    then = Environment({"keras": "3.1", "numpy": "2"}, {"cores": "2"}, "a", "+x\n+y")
    now = Environment({"keras": "3.2", "numpy": "2"}, {"cores": "64"}, "b", "")
    assert reproduction.environment_differences(then, now) == [
        "keras: 3.1 then, 3.2 now",
        "cores: 2 then, 64 now",
        "git commit: a then, b now",
        "uncommitted changes: 2 lines of diff then, 0 now",
    ]
    assert reproduction.environment_differences(then, then) == []
    older = then._replace(machine={}, git_diff="")
    assert not any("cores" in line for line in reproduction.environment_differences(older, now))


def test_the_environment_is_that_of_the_process_that_ran_the_trial() -> None:
    events = records.events(trials=2, end=False)
    later = events[-1].time + 100
    resumed = SweepResumed("", 3, {"keras": "4"}, git_commit="later", time=later)
    started = TrialStarted(2, 1, {}, 9, 0, 4, time=later + 1)
    record = SweepRecord(Path("x"), [*events, resumed, started])
    assert reproduction.recorded_environment(record, record.trials[1]).git_commit == "c0ffee"
    assert reproduction.recorded_environment(record, record.trials[2]) == Environment({"keras": "4"}, {}, "later", "")


def test_the_spec_is_the_recorded_one_whatever_stopped_the_trial(composed: Callable[..., Job]) -> None:
    job = composed("model=lstm", "trials=3", "epochs=9", "patience=1")
    record = records.record(trials=3)
    trial = replace(record.trials[2], seed=4242)
    spec = reproduction.spec(plan(job), record, trial)
    assert (spec.seed, spec.epochs, spec.initial_epoch, spec.patience) == (4242, 4, 0, None)
    assert {**spec.model_values, **spec.optimizer_values} == trial.values


@pytest.mark.parametrize(
    "argument", ["epochs=3", "model=lstm", "model.space.dropout=0.1", "seed=4", "engine.workers=2"]
)
def test_what_the_run_recorded_may_not_be_changed(argument: str) -> None:
    reproduce.refuse_changes(["reproduce=x", "tracking.uri=y", "engine.threads=2", "datasets.imdb.archive=/a"])
    with pytest.raises(ConfigError, match=f"{argument}: reproduce= trains what the run recorded"):
        reproduce.refuse_changes(["reproduce=x", argument])


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
    (record,) = sweep.run(job, sweep.check(job.config), Console(file=io.StringIO()))
    client = MlflowClient(store.uri(None))
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(everywhere, "tags.trial = '1'")
    (parent,) = client.search_runs(everywhere, "tags.kind = 'sweep'")
    monkeypatch.setattr(reproduce, "Engine", lambda *_: job.config.engine)  # the workers that are there

    def said(expected: bool) -> str:
        console = Console(file=io.StringIO(), width=200)
        asked = composed("data=imdb", f"reproduce={run.info.run_id}")
        assert reproduce.reproduce(asked.config, console) is expected
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert said(True).count("equal to the last bit") == record.trials[1].epochs_run + 1
    original = reproduction.spec
    monkeypatch.setattr(reproduction, "spec", lambda *given: original(*given)._replace(seed=5))
    assert "epoch 1: differs: " in said(False)
    with pytest.raises(ConfigError, match="not the run of a trial, but sweep"):
        reproduce.reproduce(composed(f"reproduce={parent.info.run_id}").config, Console())
