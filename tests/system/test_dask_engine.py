"""Real Dask: the embedded cluster, and one of a scheduler and two worker processes on loopback."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from distributed import LocalCluster

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.trials import gpus
from sweeps.trials.gpus import Gpus
from sweeps.trials.dask_engine import THREADS, DaskEngine, _import, _workers, open_engine
from sweeps.trials.engine import Failed, Finished, Message, Started
from sweeps.trials.spec import EpochReport
from sweeps.errors import SweepError
from tests.specs import spec


def results(engine: DaskEngine) -> list[Message]:
    """Everything until all trials have ended."""
    messages = []
    while engine.busy:
        message = engine.next(1)
        if message is not None and not isinstance(message, Started):
            messages.append(message)
    return messages


def wait_for_workers(engine: DaskEngine) -> None:
    deadline = time.monotonic() + 30
    while engine.workers < 2 and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def local() -> Iterator[DaskEngine]:
    with open_engine(EngineConfig("local", workers=2, threads=3)) as engine:
        yield engine


@pytest.fixture(params=["local", "cluster"])
def engine(request: pytest.FixtureRequest) -> Iterator[DaskEngine]:
    if request.param == "local":
        yield request.getfixturevalue("local")
        return
    with open_engine(EngineConfig("cluster", scheduler=request.getfixturevalue("cluster"))) as engine:
        yield engine


def test_trials_run_at_once_on_the_workers_and_report(engine: DaskEngine) -> None:
    assert (engine.workers, engine.free, engine.busy) == (2, 2, 0)
    for trial in range(2):
        engine.submit("tests.specs.environment", spec(trial=trial))
    assert (engine.free, engine.busy) == (0, 2)
    messages = results(engine)
    finished = [m for m in messages if isinstance(m, Finished)]
    assert sorted(m.spec.trial for m in finished) == [0, 1]
    assert all(int(m.result["pid"]) != os.getpid() for m in finished)
    deadline = time.monotonic() + 10
    reports = [m for m in messages if isinstance(m, EpochReport)]
    while len(reports) < 2 and time.monotonic() < deadline:  # they may come after the results
        message = engine.next(1)
        assert isinstance(message, EpochReport)
        reports.append(message)
    assert sorted(r.trial for r in reports) == [0, 1]
    assert reports[0]._replace(trial=0) == EpochReport("s/tiny", 0, 1, 1, {"val/accuracy": 0.5})


def test_no_worker_gets_two_trials_while_another_has_none(engine: DaskEngine) -> None:
    pids: dict[int, list[str]] = {}
    for start in range(0, 6, 2):
        for trial in (start, start + 1):
            engine.submit("tests.specs.slow", spec(trial=trial))
        pids[start] = [m.result for m in results(engine) if isinstance(m, Finished)]
    assert all(len(set(pair)) == 2 for pair in pids.values())


def test_threads_are_set_before_tensorflow_could_load(local: DaskEngine) -> None:
    local.submit("tests.specs.environment", spec())
    (finished,) = [m for m in results(local) if isinstance(m, Finished)]
    assert [finished.result[name] for name in THREADS] == ["3", "3", "3"]


def test_a_clusters_worker_uses_one_thread_unless_told_otherwise(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit("tests.specs.environment", spec())
        (finished,) = [m for m in results(engine) if isinstance(m, Finished)]
    assert [finished.result[name] for name in THREADS] == ["1", "1", "1"]
    for name in THREADS:
        monkeypatch.setenv(name, "4")
    _import("json")
    assert [os.environ[name] for name in THREADS] == ["4", "4", "4"]


def test_the_collector_leaves_alone_what_was_imported_and_nothing_that_a_trial_made(engine: DaskEngine) -> None:
    frozen: dict[int, list[int]] = {}
    for trial in range(6):
        engine.submit("tests.specs.frozen", spec(trial=trial))
        for message in results(engine):
            assert isinstance(message, Finished)
            frozen.setdefault(message.result[0], []).append(message.result[1])
    for counts in frozen.values():
        assert min(counts) > 10_000
        assert counts == sorted(counts, reverse=True)  # what nobody refers to any more still goes


def test_workers_that_still_import_are_given_their_share_of_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with open_engine(EngineConfig("local", workers=2)) as engine:
        engine.warm_up("slow_to_import")
        deadline = time.monotonic() + 30
        while not engine._warming_up[0].done() and time.monotonic() < deadline:
            time.sleep(0.1)
        for trial in range(2):
            engine.submit("tests.specs.slow", spec(trial=trial))
        assert len({m.result for m in results(engine) if isinstance(m, Finished)}) == 2


def test_a_trial_at_fault_is_told_from_one_whose_worker_died(local: DaskEngine) -> None:
    for trial, name in enumerate(("failing", "broken", "dying")):
        local.submit(f"tests.specs.{name}", spec(trial=trial))
        (failed,) = [m for m in results(local) if not isinstance(m, EpochReport)]
        assert isinstance(failed, Failed)
        assert failed.spec.trial == trial
        if name == "dying":
            assert (failed.reason, failed.lost) == ("worker died", True)
        else:
            assert not failed.lost
            assert f"in {name}" in failed.traceback
            expected = {"failing": "diverged: train/loss is nan in epoch 1", "broken": "error: ZeroDivisionError: a"}
            assert failed.reason == expected[name]


def test_a_worker_that_died_is_replaced(local: DaskEngine) -> None:
    local.submit("tests.specs.dying", spec())
    results(local)
    wait_for_workers(local)
    for trial in range(2):
        local.submit("tests.specs.slow", spec(trial=trial))
    assert len({m.result for m in results(local) if isinstance(m, Finished)}) == 2


def test_an_interrupt_from_the_terminal_is_the_drivers_alone(local: DaskEngine) -> None:
    for trial in range(2):
        local.submit("tests.specs.slow", spec(trial=trial))
    workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
    assert len(workers) == 2
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    assert all(isinstance(message, Finished) for message in results(local))


def test_everything_listens_on_loopback_only(local: DaskEngine) -> None:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [c.laddr.ip for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5  # a scheduler, two nannies, two workers
    assert set(listening) == {"127.0.0.1"}


def test_one_worker_per_core_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda: Gpus(()))
    with open_engine(EngineConfig("local")) as engine:
        assert engine.workers == os.cpu_count()


@pytest.mark.parametrize(
    ("gpus", "options", "workers"),
    [
        (0, {}, os.cpu_count()),
        (1, {}, 4),
        (2, {"workers_per_gpu": 3}, 6),
        (2, {"workers": 1, "workers_per_gpu": 3}, 1),
        (0, {"workers": 5}, 5),
    ],
)
def test_where_there_are_gpus_the_workers_are_so_many_for_each(
    gpus: int, options: dict[str, int], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda: Gpus(tuple(map(str, range(gpus)))))
    assert _workers(EngineConfig("local", **options)) == workers


def test_each_worker_sees_one_gpu_before_tensorflow_loads_and_so_does_what_replaces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_gpus(**options: Any) -> LocalCluster:
        with dask.config.set({"distributed.worker.preload": ["tests.two_gpus", "sweeps.trials.dask_engine"]}):
            return LocalCluster(**options)

    def seen() -> list[tuple[str, bool]]:
        for trial in range(2):
            engine.submit("tests.specs.environment", spec(trial=trial))
        found = [m.result for m in results(engine) if isinstance(m, Finished)]
        return sorted((f["CUDA_VISIBLE_DEVICES"], "tensorflow" in f["loaded"].split()) for f in found)

    monkeypatch.setattr("sweeps.engine.LocalCluster", with_gpus)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    with open_engine(EngineConfig("local", workers=2)) as engine:
        assert seen() == [("GPU-a", False), ("GPU-b", False)]
        engine.submit("tests.specs.dying", spec())
        results(engine)
        wait_for_workers(engine)
        assert seen() == [("GPU-a", False), ("GPU-b", False)]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before  # the driver's own


def test_the_workers_end_with_the_block() -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with open_engine(EngineConfig("local", workers=1)):
        workers = {p.pid for p in psutil.Process().children(recursive=True)} - before
        assert workers
    alive = [pid for pid in workers if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    resource_tracker = [pid for pid in alive if "resource_tracker" in " ".join(psutil.Process(pid).cmdline())]
    assert alive == resource_tracker


def test_a_worker_that_is_asked_to_leave_is_replaced(local: DaskEngine) -> None:
    for worker in [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]:
        worker.terminate()
        worker.wait(10)
    wait_for_workers(local)
    local.submit("tests.specs.slow", spec())
    assert [type(m) for m in results(local)] == [Finished]


def test_trials_that_are_stopped_end_with_their_epoch_and_no_others(engine: DaskEngine) -> None:
    engine.submit("tests.specs.until_stopped", spec(sweep="a"))
    engine.submit("tests.specs.until_stopped", spec(sweep="b"))
    while not isinstance(engine.next(1), EpochReport):
        pass
    engine.stop("a", "the time is up")
    first = next(m for m in iter(lambda: engine.next(5), None) if isinstance(m, Finished))
    assert (first.spec.sweep, first.result[1]) == ("a", "the time is up")
    engine.stop("b", "enough")
    (second,) = [m for m in results(engine) if isinstance(m, Finished)]
    assert second.result[0] > first.result[0]
    # The next trial of that sweep's name is not stopped where another driver began it.
    assert second.result[1] == "enough"


def test_a_trial_is_killed_whatever_it_does_and_its_worker_replaced(local: DaskEngine) -> None:
    local.submit("tests.specs.sleeping", spec())
    while not isinstance(local.next(1), Started):
        pass
    local.kill(spec(), "time limit")
    (failed,) = [m for m in results(local) if isinstance(m, Failed)]
    assert (failed.reason, failed.lost) == ("time limit", False)
    local.submit("tests.specs.slow", spec())
    assert [type(m) for m in results(local)] == [Finished]


def test_a_cluster_whose_scheduler_runs_a_killed_trial_again_is_told_again(
    cluster: str, start_worker: Callable[..., None]
) -> None:
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit("tests.specs.sleeping", spec())
        started = 0
        while started < 1:
            started += isinstance(engine.next(1), Started)
        engine.kill(spec(), "time limit")
        (failed,) = [m for m in results(engine) if isinstance(m, Failed)]
        assert (failed.reason, failed.lost) == ("time limit", False)


def test_a_worker_past_its_memory_is_replaced_and_that_is_said() -> None:
    with open_engine(EngineConfig("local", workers=1, memory="500MB")) as engine:
        engine.submit("tests.specs.greedy", spec())
        (failed,) = [m for m in results(engine) if isinstance(m, Failed)]
        assert (failed.reason, failed.lost) == ("out of memory", True)
        engine.submit("tests.specs.slow", spec(trial=2))
        assert [type(m) for m in results(engine)] == [Finished]


def test_without_any_worker_the_sweep_ends(local: DaskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local.next(0.01) is None
    monkeypatch.setattr("sweeps.engine.WAIT_FOR_WORKERS", 0.1)
    monkeypatch.setattr(DaskEngine, "workers", 0)
    with pytest.raises(SweepError, match="no worker is left"):
        local.next(0.2)


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with (
        pytest.raises(ConfigError, match=r"^engine\.scheduler=tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        open_engine(EngineConfig("cluster", scheduler="tcp://127.0.0.1:9")),
    ):
        pass


def test_workers_that_would_train_two_trials_at_once_are_refused(
    cluster: str, start_worker: Callable[..., None]
) -> None:
    start_worker("--nthreads", "2", "--name", "two-threads")
    with (
        pytest.raises(ConfigError, match=r"runs 2 tasks at once; .* start workers with --nthreads 1"),
        open_engine(EngineConfig("cluster", scheduler=cluster)),
    ):
        pass
