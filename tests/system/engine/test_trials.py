"""Trials on workers: an embedded cluster's, and two that a scheduler on loopback has."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Scheduler

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.dask_engine.worker import THREADS
from sweeps.trials.engine import Finished
from sweeps.trials.spec import EpochReport
from tests import specs
from tests.engines import failure, messages_until_idle, met, results, wait_for_start, wait_until, wait_until_whole
from tests.specs import spec


def test_trials_run_at_once_on_the_workers_and_report(engine: DaskEngine) -> None:
    assert (engine.workers, engine.free, engine.busy) == (2, 2, 0)
    for trial in range(2):
        engine.submit("tests.specs.environment", spec(trial=trial))
    assert (engine.free, engine.busy) == (0, 2)
    messages = messages_until_idle(engine)
    finished = [m for m in messages if isinstance(m, Finished)]
    assert sorted(m.spec.trial for m in finished) == [0, 1]
    assert all(int(m.result["pid"]) != os.getpid() for m in finished)
    reports = [m for m in messages if isinstance(m, EpochReport)]
    while len(reports) < 2:  # they may come after the results
        message = engine.next(10)
        assert isinstance(message, EpochReport)
        reports.append(message)
    assert sorted(reports) == [specs.report(spec(trial=trial)) for trial in range(2)]


def test_no_worker_gets_two_trials_while_another_has_none(engine: DaskEngine, tmp_path: Path) -> None:
    for time in "abc":
        (tmp_path / time).mkdir()
        assert met(engine, tmp_path / time) == 2


def test_threads_are_set_before_tensorflow_could_load(local: DaskEngine) -> None:
    local.submit("tests.specs.environment", spec())
    (environment,) = results(local)
    assert [environment[name] for name in THREADS] == ["3", "3", "3"]
    assert "tensorflow" not in environment["loaded"].split()


def test_a_function_is_called_on_a_worker_and_here_if_that_dies(local: DaskEngine) -> None:
    local.call_when_idle("tests.specs.worker")
    assert local.next(0.1) is None
    assert local.call("tests.specs.worker") != os.getpid()
    with pytest.raises(ConfigError, match=r"^a=b: no$") as refused:
        local.call("tests.specs.refuse", "a=b: no")
    # Dask would call it again on the other worker, however long it took, when the next call ends this one.
    wait_until(lambda: not local._client.run_on_scheduler(_answers))
    assert refused.traceback
    assert local.call("tests.specs.die_on_a_worker", os.getpid()) == os.getpid()


def _answers(dask_scheduler: Scheduler) -> list[str]:
    return [key for key in dask_scheduler.tasks if str(key).startswith("answer")]


def test_every_worker_is_warmed_up_in_the_background(engine: DaskEngine) -> None:
    engine.warm_up("tests.specs.warm_up")
    assert engine.warmed_up() == [None, None]  # a trial that is submitted before that may run before it
    for trial in range(2):
        engine.submit("tests.specs.environment", spec(trial=trial))
    environments = results(engine)
    assert len(environments) == 2
    assert all(environment["WARMED_UP"] == environment["pid"] for environment in environments)


@pytest.fixture
def slow_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of this name, which all processes but the first import in four seconds."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, pathlib, time\n"
        "try:\n"
        f"    open('{tmp_path}/first', 'x').close()\n"
        "except FileExistsError:\n"
        "    time.sleep(4)\n"
        f"def warm_up(): pathlib.Path('{tmp_path}', f'{{os.getpid()}}.warm').touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("slow_to_import")
def test_no_trial_waits_behind_another_for_a_worker_that_still_warms_up(tmp_path: Path) -> None:
    with open_engine(EngineConfig("local", workers=2)) as engine:
        wait_until_whole(engine)
        engine.warm_up("slow_to_import.warm_up")
        assert engine.free == 2  # both are as cold
        wait_until(lambda: engine.next(0.1) is None and any(tmp_path.glob("*.warm")))
        (tmp_path / "meeting").mkdir()
        for trial in range(2):
            wait_until(lambda: engine.next(0.1) is None and engine.free == 1)
            engine.submit("tests.specs.meeting", spec(trial=trial, values={"folder": str(tmp_path / "meeting")}))
            assert engine.free == 0
        assert len(set(results(engine))) == 2


@pytest.mark.usefixtures("slow_to_import")
def test_no_trial_waits_behind_another_for_a_worker_that_imports_while_it_is_idle(tmp_path: Path) -> None:
    (tmp_path / "first").touch()
    with open_engine(EngineConfig("local", workers=2)) as engine:
        wait_until_whole(engine)
        (tmp_path / "meeting").mkdir()
        meeting = {"folder": str(tmp_path / "meeting")}
        engine.submit("tests.specs.meeting", spec(trial=0, values=meeting))
        wait_for_start(engine)
        engine.call_when_idle("slow_to_import.warm_up")
        assert engine.next(0.1) is None
        assert engine.free == 0
        wait_until(lambda: engine.next(0.1) is None and engine.free == 1)
        assert any(tmp_path.glob("*.warm"))
        engine.submit("tests.specs.meeting", spec(trial=1, values=meeting))
        assert len(set(results(engine))) == 2


def test_a_trial_at_fault_is_distinguished_from_one_whose_worker_died(local: DaskEngine, tmp_path: Path) -> None:
    reasons = {"failing": "diverged: train/loss is nan in epoch 1", "broken": "error: ZeroDivisionError: a"}
    for trial, (name, reason) in enumerate(reasons.items()):
        local.submit(f"tests.specs.{name}", spec(trial=trial))
        failed = failure(local)
        assert (failed.spec.trial, failed.reason, failed.lost) == (trial, reason, False)
        assert f"in {name}" in failed.traceback
    local.submit("tests.specs.dying", spec(trial=2))
    failed = failure(local)
    assert (failed.spec.trial, failed.reason, failed.lost) == (2, "worker died", True)
    wait_until_whole(local)
    assert met(local, tmp_path) == 2


def test_an_error_of_more_frames_than_can_be_sent_is_the_trials_own(local: DaskEngine) -> None:
    local.submit("tests.specs.endless", spec())
    failed = failure(local)
    assert failed.reason.startswith("error: RecursionError: maximum recursion depth exceeded")
    assert not failed.lost
    assert "in endless" in failed.traceback


def test_an_error_that_cannot_be_sent_keeps_its_reason_and_its_cause(local: DaskEngine) -> None:
    local.submit("tests.specs.unsendable", spec())
    failed = failure(local)
    assert failed.reason == "error: UnsendableError: the pool is too large (ValueError: 17 words)"
    assert "17 words" in failed.traceback
    assert not failed.lost


def test_stopping_a_sweep_ends_its_trials_with_their_epoch_and_no_others(engine: DaskEngine) -> None:
    engine.submit("tests.specs.until_stopped", spec(sweep="a"))
    engine.submit("tests.specs.until_stopped", spec(sweep="b"))
    wait_until(lambda: isinstance(engine.next(1), EpochReport))
    engine.stop("a", "the time is up")
    first = next(m for m in iter(lambda: engine.next(5), None) if isinstance(m, Finished))
    assert (first.spec.sweep, first.result[1]) == ("a", "the time is up")
    engine.stop("b", "enough")
    ((_, reason),) = results(engine)
    # Another driver's sweep of the same name, on the same workers, was not stopped before.
    assert reason == "enough"


def test_a_trial_is_killed_whatever_it_does_and_its_worker_replaced(local: DaskEngine) -> None:
    local.submit("tests.specs.sleeping", spec())
    wait_for_start(local)
    local.kill(spec(), "time limit")
    failed = failure(local)
    assert (failed.reason, failed.lost) == ("time limit", False)
    local.submit("tests.specs.slow", spec())
    assert [type(message) for message in messages_until_idle(local)] == [Finished]


def test_a_killed_trial_is_killed_again_when_the_clusters_scheduler_repeats_it(
    cluster: str, start_worker: Callable[..., None]
) -> None:
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit("tests.specs.sleeping", spec())
        wait_for_start(engine)
        engine.kill(spec(), "time limit")
        failed = failure(engine)
        assert (failed.reason, failed.lost) == ("time limit", False)


def test_trials_whose_driver_has_left_make_room_for_those_of_the_next(cluster: str, tmp_path: Path) -> None:
    config = EngineConfig("cluster", scheduler=cluster)
    with open_engine(config) as engine:
        for trial in range(2):
            engine.submit("tests.specs.until_stopped", spec(trial=trial))
        for _ in range(2):
            wait_for_start(engine)
    with open_engine(config) as engine:
        assert met(engine, tmp_path) == 2
