from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from conf.schema import Job
from sweeps import reproduction
from sweeps.journal import Environment, SweepRecord, SweepResumed, TrialRecord, TrialStarted
from sweeps.trials.engine import Failed
from sweeps.trials.spec import TrialResult
from tests import records
from tests.fakes import plan, result
from tests.specs import spec as tiny


def recorded(status: str = "completed") -> TrialRecord:
    record = records.record(trials=1, failing=lambda trial: status == "failed")
    return record.trials[0]


def again(trial: TrialRecord) -> TrialResult:
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
    differences = reproduction.differences(trial, other)
    assert {(d.epoch, d.metric) for d in differences} == {
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
    then = Environment({"keras": "3.1", "numpy": "2"}, "a", True, "+x\n+y", {"cores": "2"})
    now = Environment({"keras": "3.2", "numpy": "2"}, "b", False, "", {"cores": "64"})
    assert reproduction.environment_differences(then, now) == [
        "keras: 3.1 then, 3.2 now",
        "cores: 2 then, 64 now",
        "git commit: a then, b now",
        "uncommitted changes: 2 lines of diff then, 0 now",
    ]
    assert reproduction.environment_differences(then, then) == []
    older = replace(then, machine={}, git_diff="")
    assert not any("cores" in line for line in reproduction.environment_differences(older, now))


def test_a_file_of_the_code_that_differs_is_named() -> None:
    then = Environment(code={"models/gru.py": "1", "models/lstm.py": "2", "models/gone.py": "3"})
    now = Environment(code={"models/gru.py": "9", "models/lstm.py": "2", "conf/new.yaml": "4"})
    assert reproduction.environment_differences(then, now) == [
        "models/gru.py differs from the one that trained",
        "models/gone.py is missing, it was there when the trial was trained",
        "conf/new.yaml is new, it was not there when the trial was trained",
    ]
    assert reproduction.environment_differences(Environment(), now) == []  # journals of earlier versions lack it
    many = Environment(code={f"{number}.py": "1" for number in range(30)})
    lines = reproduction.environment_differences(many, Environment(code=dict.fromkeys(many.code, "2")))
    assert len(lines) == 11
    assert lines[-1] == "20 more files differ"


def test_the_environment_is_that_of_the_process_that_ran_the_trial() -> None:
    events = records.events(trials=2, end=False)
    later = events[-1].time + 100
    resumed = SweepResumed("", 3, Environment({"keras": "4"}, git_commit="later"), time=later)
    started = TrialStarted(2, 1, {}, 9, 0, 4, time=later + 1)
    record = SweepRecord.of(Path("x"), [*events, resumed, started])
    assert reproduction.recorded_environment(record, record.trials[1]).git_commit == "c0ffee"
    assert reproduction.recorded_environment(record, record.trials[2]) == resumed.environment


def test_the_spec_is_the_recorded_one_whatever_stopped_the_trial(composed: Callable[..., Job]) -> None:
    job = composed("model=lstm", "trials=3", "epochs=9", "patience=1")
    record = records.record(trials=3)
    trial = replace(record.trials[2], seed=4242)
    spec = reproduction.spec(plan(job), record, trial)
    assert (spec.seed, spec.epochs, spec.initial_epoch, spec.patience) == (4242, 4, 0, None)
    assert spec.values == trial.values


def test_metrics_that_were_not_recorded_are_not_compared() -> None:
    trial = recorded()
    newer = again(trial)
    del trial.curves["val/macro_f1"]
    trial.test = {name: value for name, value in trial.test.items() if name != "test/balanced_accuracy"}
    assert reproduction.in_words(trial, newer)[0]
