"""Workers that die, take too much memory, or stay away."""

import re
import threading
import time

import dask
import psutil
import pytest
from distributed import KilledWorker

from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError
from sweeps.trials import memory
from sweeps.trials.dask_engine import engine as engines
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.engine import Finished
from tests.engines import embedded_workers, failure, messages_until_idle, wait_until, wait_until_whole
from tests.specs import spec


def test_a_death_for_memory_is_named_before_the_first_report_and_where_the_system_is_its_cause(
    local: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = memory.kills()
    monkeypatch.setattr(memory, "kills", lambda: kills + 1)
    local.submit("tests.specs.dying", spec())
    failed = failure(local)
    assert re.fullmatch(r"out of memory: the system, which has \d+ [MG]B, ended the worker", failed.reason)
    assert failed.lost
    monkeypatch.undo()
    local._kills = memory.kills()
    monkeypatch.setattr(local, "_limit", "300MB")
    key = "s/tiny-1-before-it-started"
    address = next(iter(local._client.scheduler_info(n_workers=-1)["workers"]))

    class Dead:
        def result(self) -> None:
            worker = type("Worker", (), {"address": address})()
            threading.Timer(0.2, local._on_memory, [(0.0, {"worker": address, "pid": 1, "rss": 312_000_000})]).start()
            raise KilledWorker(key, worker, 0)

        def release(self) -> None:
            """Do nothing: Dask knows no such task."""

    dead = Dead()
    dead.key = key  # type: ignore[attr-defined]
    local._out[key], local._futures[key] = spec(), dead  # type: ignore[assignment]
    failed = local._ended(dead)  # type: ignore[arg-type, assignment]
    assert failed.reason == "out of memory: the worker took 312 MB, more than engine.memory=300MB"


def test_a_worker_that_is_terminated_is_replaced(local: DaskEngine) -> None:
    for worker in embedded_workers():
        worker.terminate()
        worker.wait(120)
    wait_until_whole(local)
    local.submit("tests.specs.slow", spec())
    assert [type(message) for message in messages_until_idle(local)] == [Finished]


def test_a_worker_past_its_memory_is_replaced_and_named_as_the_reason_and_all_end_with_the_block() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with open_engine(EngineConfig("local", workers=1, memory="500MB")) as engine:
        engine.submit("tests.specs.greedy", spec())
        failed = failure(engine)
        assert re.fullmatch(r"out of memory: the worker took \d+ MB, more than engine\.memory=500MB", failed.reason)
        assert failed.lost
        engine.submit("tests.specs.slow", spec(trial=2))
        assert [type(message) for message in messages_until_idle(engine)] == [Finished]
        workers = {process.pid for process in psutil.Process().children(recursive=True)} - before
        assert workers
    alive = [pid for pid in workers if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert [pid for pid in alive if "resource_tracker" not in " ".join(psutil.Process(pid).cmdline())] == []


def test_a_limit_in_which_no_worker_can_begin_is_told_at_once() -> None:
    line = r"^engine\.memory=50MB: too little, a worker takes \d+ MB before it can"
    with (
        open_engine(EngineConfig("local", workers=1, memory="50MB")) as engine,
        pytest.raises(SweepError, match=line),
    ):
        wait_until(lambda: engine.next(1) is not None)


def test_only_workers_that_have_begun_nothing_count_as_ended_in_vain(local: DaskEngine) -> None:
    event = {"worker": "tls://127.0.0.1:1", "pid": 7, "rss": 52_000_000}
    local._in_vain.clear()
    local._where["s/tiny-1"] = str(event["worker"])
    local._on_memory((0.0, event))
    assert local._in_vain == {}
    del local._where["s/tiny-1"]
    local._on_memory((0.0, event))
    local._on_memory((0.0, event | {"pid": 8}))
    assert local._in_vain == {7: 52_000_000, 8: 52_000_000}
    local._on_message((0.0, {"started": "s/tiny-1", "worker": "tls://127.0.0.1:2"}))
    assert local._in_vain == {}
    local.next(0.1)
    local._where.clear()
    local._over_memory.clear()


def test_a_worker_that_is_lost_again_and_again_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each replacement is lost just when Dask looks whether the worker before it was replaced.
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "1s")
    dask.config.refresh()
    with open_engine(EngineConfig("local", workers=1)) as engine:
        for _ in range(3):
            wait_until(lambda: engine.workers == 1)
            engine.submit("tests.specs.dying", spec())
            assert failure(engine).reason == "worker died"
            time.sleep(1)
        wait_until(lambda: engine.workers == 1)
        engine.submit("tests.specs.slow", spec())
        assert [type(message) for message in messages_until_idle(engine)] == [Finished]
    monkeypatch.undo()
    dask.config.refresh()


def test_a_worker_that_stays_away_is_counted_as_lost(local: DaskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    local.next(0.01)
    monkeypatch.setattr(engines, "WAIT_FOR_WORKERS", 0.05)
    assert local.lost_workers == 0
    monkeypatch.setattr(DaskEngine, "workers", 1)
    time.sleep(0.1)
    assert local.next(0.01) is None
    assert local.lost_workers == 1


def test_the_sweep_goes_on_while_its_only_worker_is_starting(
    local: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "WAIT_FOR_WORKERS", 0.1)
    monkeypatch.setattr(DaskEngine, "workers", 0)
    time.sleep(0.2)
    assert local.next(0.01) is None  # the processes of both workers are there


def test_without_any_worker_the_sweep_ends(local: DaskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local.next(0.01) is None
    monkeypatch.setattr(engines, "WAIT_FOR_WORKERS", 0.1)
    monkeypatch.setattr(DaskEngine, "workers", 0)
    monkeypatch.setattr(local, "_starting", lambda: False)
    with pytest.raises(SweepError, match=r"no worker is left, and none came within 0\.1 s"):
        local.next(0.2)
