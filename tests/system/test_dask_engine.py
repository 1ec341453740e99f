"""Real Dask: the embedded cluster, and a scheduler with two worker processes on loopback."""

import gc
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import dask
import psutil
import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm import CommClosedError
from distributed.security import Security

from conf.schema import ConfigError, Data
from conf.schema import Engine as EngineConfig
from pipelines.data import cache, dataset, whole
from sweeps import runtime
from sweeps.errors import SweepError
from sweeps.plan import CACHE, LOAD_WHOLE
from sweeps.trials import certificates, gpus, memory, references
from sweeps.trials.dask_engine import cluster as others
from sweeps.trials.dask_engine import engine as engines
from sweeps.trials.dask_engine import local as embedded
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.dask_engine.worker import THREADS
from sweeps.trials.engine import Failed, Finished, Message, Started
from sweeps.trials.gpus import Gpus
from sweeps.trials.identity import difference
from sweeps.trials.spec import Dataset, EpochReport, TrialSpec
from tests import specs
from tests.conftest import ROOT
from tests.specs import spec


def messages_until_idle(engine: DaskEngine) -> list[Message]:
    """Everything but `Started` until all trials have ended."""
    messages = []
    while engine.busy:
        message = engine.next(1)
        if message is not None and not isinstance(message, Started):
            messages.append(message)
    return messages


def results(engine: DaskEngine) -> list[Any]:
    """The results of the functions that finished, once all trials have ended."""
    return [message.result for message in messages_until_idle(engine) if isinstance(message, Finished)]


def failure(engine: DaskEngine) -> Failed:
    """The one failure, once all trials have ended."""
    (failed,) = [message for message in messages_until_idle(engine) if not isinstance(message, EpochReport)]
    assert isinstance(failed, Failed)
    return failed


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_start(engine: DaskEngine) -> None:
    wait_until(lambda: isinstance(engine.next(1), Started))


def embedded_workers() -> list[psutil.Process]:
    return [process for process in psutil.Process().children() if "spawn_main" in " ".join(process.cmdline())]


@pytest.fixture(scope="module")
def local() -> Iterator[DaskEngine]:
    with open_engine(EngineConfig("local", workers=2, threads=3)) as engine:
        yield engine


@pytest.fixture(params=["local", "cluster"])
def engine(request: pytest.FixtureRequest) -> Iterator[DaskEngine]:
    if request.param == "local":
        engine: DaskEngine = request.getfixturevalue("local")
        wait_until(lambda: engine.workers == 2)
        yield engine
        return
    with open_engine(EngineConfig("cluster", scheduler=request.getfixturevalue("cluster"))) as engine:
        yield engine


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


def test_no_worker_gets_two_trials_while_another_has_none(engine: DaskEngine) -> None:
    for start in range(0, 6, 2):
        for trial in (start, start + 1):
            engine.submit("tests.specs.slow", spec(trial=trial))
        assert len(set(results(engine))) == 2


def test_threads_are_set_before_tensorflow_could_load(local: DaskEngine) -> None:
    local.submit("tests.specs.environment", spec())
    (environment,) = results(local)
    assert [environment[name] for name in THREADS] == ["3", "3", "3"]
    assert "tensorflow" not in environment["loaded"].split()


def test_a_function_is_called_on_a_worker_and_here_if_that_dies(local: DaskEngine) -> None:
    local.call_when_idle("tests.specs.worker")
    assert local.next(0.1) is None
    assert local.call("tests.specs.worker") != os.getpid()
    with pytest.raises(ConfigError, match=r"^a=b: no$"):
        local.call("tests.specs.refuse", "a=b: no")
    assert local.call("tests.specs.die_on_a_worker", os.getpid()) == os.getpid()


MAIN = """
from conf.schema import Engine
from sweeps.trials.dask_engine.opening import open_engine
from tests.specs import spec

if __name__ == "__main__":
    with open_engine(Engine("local", workers=1)) as engine:
        for function in ("tests.specs.environment", "sweeps.trials.building.check", "tests.specs.environment"):
            engine.submit(function, spec())
            while engine.busy:
                message = engine.next(10)
        print(message.result["loaded"])
"""


def test_a_worker_imports_neither_the_running_module_nor_what_keras_does_without(tmp_path: Path) -> None:
    (tmp_path / "own_main.py").write_text(f"import wave\n{MAIN}")
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    command = [sys.executable, "-m", "own_main"]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = set(ended.stdout.split())
    assert "keras" in loaded
    assert not loaded & {"wave", "own_main", "matplotlib", "pandas", "sklearn"}


def test_a_clusters_worker_uses_one_thread_unless_its_environment_says_otherwise(cluster: str) -> None:
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine, Client(cluster) as client:
        for threads in ("1", "4", "1"):
            engine.submit("tests.specs.environment", spec())
            (environment,) = results(engine)
            assert [environment[name] for name in THREADS] == [threads] * 3
            client.run(specs.set_environment, dict.fromkeys(THREADS, "4" if threads == "1" else "1"))


def test_a_workers_collector_runs_as_rarely_as_the_drivers(engine: DaskEngine) -> None:
    engine.submit("tests.specs.environment", spec())
    (environment,) = results(engine)
    assert environment["collect after"] == str(runtime.COLLECT_AFTER)


def test_the_collector_leaves_alone_what_was_imported_and_nothing_that_a_trial_made(engine: DaskEngine) -> None:
    counts: dict[int, list[int]] = {}
    for trial in range(6):
        engine.submit("tests.specs.frozen", spec(trial=trial))
        ((worker, count),) = results(engine)
        counts.setdefault(worker, []).append(count)
    for frozen in counts.values():
        assert min(frozen) > 10_000
        assert frozen == sorted(frozen, reverse=True)  # objects that nobody refers to any more are still freed


def test_every_worker_is_warmed_up_in_the_background(engine: DaskEngine) -> None:
    engine.warm_up("tests.specs.warm_up")
    for trial in range(2):
        engine.submit("tests.specs.environment", spec(trial=trial))
    environments = results(engine)
    assert len(environments) == 2
    assert all(environment["WARMED_UP"] == environment["pid"] for environment in environments)


def test_workers_that_still_warm_up_get_their_share_of_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import os, pathlib, time\n"
        "time.sleep(2)\n"
        f"def warm_up(): pathlib.Path('{tmp_path}', f'{{os.getpid()}}.warm').touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with open_engine(EngineConfig("local", workers=2)) as engine:
        engine.warm_up("slow_to_import.warm_up")
        wait_until(lambda: any(tmp_path.glob("*.warm")))
        for trial in range(2):
            engine.submit("tests.specs.slow", spec(trial=trial))
        assert len(set(results(engine))) == 2


def test_what_native_code_writes_in_a_worker_reaches_no_terminal_and_what_python_writes_does(local: DaskEngine) -> None:
    wait_until(lambda: local.workers == 2)
    local.submit("tests.specs.streams", spec())
    ((native, python),) = results(local)
    assert native == os.devnull
    assert python != 2


def test_a_trial_at_fault_is_distinguished_from_one_whose_worker_died(local: DaskEngine) -> None:
    reasons = {"failing": "diverged: train/loss is nan in epoch 1", "broken": "error: ZeroDivisionError: a"}
    for trial, (name, reason) in enumerate(reasons.items()):
        local.submit(f"tests.specs.{name}", spec(trial=trial))
        failed = failure(local)
        assert (failed.spec.trial, failed.reason, failed.lost) == (trial, reason, False)
        assert f"in {name}" in failed.traceback
    local.submit("tests.specs.dying", spec(trial=2))
    failed = failure(local)
    assert (failed.spec.trial, failed.reason, failed.lost) == (2, "worker died", True)
    wait_until(lambda: local.workers == 2)  # it is replaced
    for trial in range(2):
        local.submit("tests.specs.slow", spec(trial=trial))
    assert len(set(results(local))) == 2


def test_an_interrupt_from_the_terminal_is_the_drivers_alone(local: DaskEngine) -> None:
    wait_until(lambda: local.workers == 2)
    for trial in range(2):
        local.submit("tests.specs.slow", spec(trial=trial))
    workers = embedded_workers()
    assert len(workers) == 2
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    assert all(isinstance(message, Finished) for message in messages_until_idle(local))


def test_nobody_without_the_certificate_is_let_in_and_no_page_is_served(
    local: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: local.workers == 2)
    family = [psutil.Process(), *embedded_workers()]
    ports = {c.laddr.port for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
    scheduler = local._client.scheduler.address
    assert scheduler.startswith("tls://127.0.0.1:")
    monkeypatch.setattr(others, "ANSWER", 0.5)
    for port in ports:
        with (
            pytest.raises(ConfigError, match="no Dask scheduler answers there"),
            open_engine(EngineConfig("cluster", scheduler=f"tcp://127.0.0.1:{port}")),
        ):
            pass
        for page in ("health", "metrics"):
            with pytest.raises(OSError, match=r"."):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=0.5)
    with pytest.raises(OSError, match=r"."):
        Client(scheduler, security=Security.temporary(), timeout=2)  # with another certificate
    local.submit("tests.specs.slow", spec())
    assert [type(message) for message in messages_until_idle(local)] == [Finished]


def test_the_certificate_is_never_readable_by_others_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = tmp_path / "temporary", []
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, certificate: str, key: str) -> None:
        seen.append(Path(key).parent.stat().st_mode & 0o077)
        load(context, certificate, key)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    with open_engine(EngineConfig("local", workers=1)):
        pass
    assert seen
    assert set(seen) == {0}
    assert [
        path for path in folder.rglob("*") if b"PRIVATE KEY" in (path.read_bytes() if path.is_file() else b"")
    ] == []


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


def test_everything_listens_on_loopback_only(local: DaskEngine) -> None:
    wait_until(lambda: local.workers == 2)
    family = [psutil.Process(), *embedded_workers()]
    listening = [c.laddr.ip for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5  # a scheduler, two nannies, two workers
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("visible", "options", "workers"),
    [
        (0, {}, os.cpu_count()),
        (1, {}, 4),
        (2, {"workers_per_gpu": 3}, 6),
        (2, {"workers": 1, "workers_per_gpu": 3}, 1),
        (0, {"workers": 5}, 5),
    ],
)
def test_the_default_is_one_worker_per_core_or_several_for_each_gpu(
    visible: int, options: dict[str, int], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def cluster(*, n_workers: int, **_: Any) -> None:
        started.append(n_workers)
        raise SweepError("not started")

    monkeypatch.setattr(gpus, "gpus", lambda: Gpus(tuple(map(str, range(visible)))))
    monkeypatch.setattr(embedded, "LocalCluster", cluster)
    with pytest.raises(SweepError, match="not started"), open_engine(EngineConfig("local", **options)):
        pass
    assert started == [workers]


def test_each_worker_sees_one_gpu_before_tensorflow_loads_and_so_does_its_replacement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_gpus(**options: Any) -> LocalCluster:
        with dask.config.set({"distributed.worker.preload": ["tests.two_gpus", "sweeps.trials.dask_engine.worker"]}):
            return LocalCluster(**options)

    def visible_gpus() -> list[tuple[str, bool]]:
        for trial in range(2):
            engine.submit("tests.specs.environment", spec(trial=trial))
        return sorted((e["CUDA_VISIBLE_DEVICES"], "tensorflow" in e["loaded"].split()) for e in results(engine))

    monkeypatch.setattr(embedded, "LocalCluster", with_gpus)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    with open_engine(EngineConfig("local", workers=2)) as engine:
        assert visible_gpus() == [("GPU-a", False), ("GPU-b", False)]
        engine.submit("tests.specs.dying", spec())
        messages_until_idle(engine)
        wait_until(lambda: engine.workers == 2)
        assert visible_gpus() == [("GPU-a", False), ("GPU-b", False)]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before  # the driver's own


def test_a_worker_that_is_terminated_is_replaced(local: DaskEngine) -> None:
    for worker in embedded_workers():
        worker.terminate()
        worker.wait(120)
    wait_until(lambda: local.workers == 2)
    local.submit("tests.specs.slow", spec())
    assert [type(message) for message in messages_until_idle(local)] == [Finished]


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
    wait_until(lambda: local.workers == 2)
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


def test_a_worker_without_this_project_is_refused_when_it_is_there_and_costs_no_trial_when_it_comes(
    cluster: str, dask_command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    config = EngineConfig("cluster", scheduler=cluster)
    with open_engine(config) as engine, Client(cluster) as client:
        # No package: the parts of one, even of an empty one, would be found where this project is installed.
        (tmp_path / "sweeps.py").touch()
        arguments = ("--host", "127.0.0.1", "--nthreads", "1", "--name", "stranger")
        stranger = dask_command(
            "worker", cluster, *arguments, "--local-directory", str(tmp_path), PYTHONPATH=str(tmp_path)
        )
        client.wait_for_workers(3, timeout=240)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        (address,) = [address for address, worker in workers.items() if worker["name"] == "stranger"]
        with (
            pytest.raises(ConfigError, match=r"cannot run trials: ModuleNotFoundError.*as they are here"),
            open_engine(config),
        ):
            pass
        with dask.annotate(workers=[address], allow_other_workers=True):
            engine.submit("tests.specs.slow", spec())
        assert len(results(engine)) == 1
        assert stranger.wait(120) == 0  # such a worker leaves when it is given a task that it cannot read
        deadline = time.monotonic() + 60  # a client that has just lost a worker may know of none for a moment
        while (known := len(client.scheduler_info(n_workers=-1)["workers"])) != 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert known == 2


def test_a_worker_that_leaves_while_it_is_asked_refuses_no_sweep() -> None:
    class Left:
        def run(self, *_: Any, **__: Any) -> dict[str, Exception]:
            return {"tcp://10.9.8.2:1": CommClosedError("Address removed.")}

    assert engines.unlike_worker(Left(), ()) == ""  # type: ignore[arg-type]


def test_trials_whose_driver_has_left_make_room_for_those_of_the_next(cluster: str) -> None:
    config = EngineConfig("cluster", scheduler=cluster)
    with open_engine(config) as engine:
        for trial in range(2):
            engine.submit("tests.specs.until_stopped", spec(trial=trial))
        for _ in range(2):
            wait_for_start(engine)
    with open_engine(config) as engine:
        for trial in range(2):
            engine.submit("tests.specs.slow", spec(trial=trial))
        assert len(set(results(engine))) == 2


def test_a_worker_with_another_version_is_refused(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = engines.identity() | {"keras": "3.0.0"}
    monkeypatch.setattr(engines, "difference", lambda _, other: difference(own, other))
    with (
        pytest.raises(ConfigError, match=r"worker tcp://\S+ cannot run trials: keras 3\.\d+\.\d+ instead of 3\.0\.0; "),
        open_engine(EngineConfig("cluster", scheduler=cluster)),
    ):
        pass


@pytest.fixture(params=[dataset.load])
def of_the_driver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The data of a table that was encoded in the driver's own cache, and is no longer there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "driver"))
    monkeypatch.setattr(cache, "PIECE", 3000)  # of arrays of 4,000 bytes and more
    table = tmp_path / "reviews.csv"
    rows = [f"{tmp_path.name} text{n},{'ab'[n % 2]}" for n in range(200)]
    table.write_text("\n".join(["text,label", *rows]))
    loaded: Dataset = request.param(name="reviews", settings=Data(files=[str(table)], num_words=99, maxlen=20))
    table.unlink()
    return loaded


def reading(data: Dataset, trial: int) -> TrialSpec:
    arguments = {
        "name": "reviews",
        "settings": Data(files=["/elsewhere/reviews.csv"], num_words=99, maxlen=20),
        "digest": data.digest,
    }
    return spec(trial=trial, data=arguments, digest=data.digest, cache=CACHE)


def test_workers_without_the_file_and_the_cache_fetch_the_data_once_for_their_machine(
    cluster: str, of_the_driver: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, int]] = []
    piece = cache.piece
    monkeypatch.setattr(cache, "piece", lambda digest, *which: sent.append(which) or piece(digest, *which))
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        for trial in range(2):
            engine.submit("tests.specs.loading", reading(of_the_driver, trial))
        loaded = results(engine)
        assert len({process for process, *_ in loaded}) == 2
        for _, digest, labels, folder in loaded:
            assert (digest, labels) == (of_the_driver.digest, of_the_driver.test.y.tolist())
            assert folder != os.environ["XDG_CACHE_HOME"]
        assert len([file for file, start in sent if file == "train_y.npy" and start == 0]) == 1
        assert len([file for file, _ in sent if file == "train_x.npy"]) > 3
        sent.clear()
        engine.submit("tests.specs.loading", reading(of_the_driver, 2))
        assert len(results(engine)) == 1
        assert sent == []


@pytest.mark.parametrize("of_the_driver", [whole.load], indirect=True)
def test_a_reference_on_whole_texts_is_trained_where_nobody_has_the_file(cluster: str, of_the_driver: Dataset) -> None:
    assert of_the_driver.train.x.ndim == 1
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit(references.RUN, reading(of_the_driver, -2)._replace(load=LOAD_WHOLE, reference=True))
        ((found,),) = results(engine)
    assert (found.name, found.failure, found.documents) == (references.WHOLE, "", len(of_the_driver.train.y))
    assert found.predictions.labels.tolist() == of_the_driver.test.y.tolist()


def test_a_worker_refuses_data_that_arrive_with_another_digest(
    cluster: str, of_the_driver: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = cache.piece
    monkeypatch.setattr(
        cache, "piece", lambda digest, file, *where: piece(digest, file.replace("test", "train"), *where)
    )
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        for trial in range(2):
            engine.submit("tests.specs.loading", reading(of_the_driver, trial))
            reason = failure(engine).reason
            assert re.fullmatch(
                rf"the data that the driver sent have the digest \w+, not {of_the_driver.digest}", reason
            )


def test_data_that_the_driver_lacks_are_read_by_the_worker_itself(cluster: str, of_the_driver: Dataset) -> None:
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit("tests.specs.loading", reading(of_the_driver._replace(digest="0" * 16), 0))
        assert "/elsewhere/reviews.csv" in failure(engine).reason


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tls://127.0.0.1:9", "tls:// needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE"),
        ("tcp://127.0.0.1:notaport", "no Dask scheduler answers there"),
        ("tcp://", "no Dask scheduler answers there"),
        ("http://127.0.0.1:9", "no Dask scheduler answers there"),
        ("nonsense", "no Dask scheduler answers there"),
        ("", "no Dask scheduler answers there"),
        ("127.0.0.1:99999", "no Dask scheduler answers there"),
        ("tcp://no-such-host.invalid:8786", "no Dask scheduler answers there"),
        ("inproc://127.0.0.1/1/1", "no Dask scheduler answers there"),
        ("ucx://127.0.0.1:1", "no Dask scheduler answers there"),
        ("ws://127.0.0.1:9", "no Dask scheduler answers there"),
    ],
)
def test_a_wrong_address_is_named_in_one_line(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    with pytest.raises(ConfigError) as error, open_engine(EngineConfig("cluster", scheduler=address)):
        pass
    assert str(error.value).startswith(f"engine.scheduler={address}: {message}")


def test_another_process_than_a_scheduler_is_named(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 1)
    with Client(cluster) as client:
        worker = next(iter(client.scheduler_info()["workers"]))
    with (
        pytest.raises(ConfigError, match="it is a Dask worker"),
        open_engine(EngineConfig("cluster", scheduler=worker)),
    ):
        pass
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match="no Dask scheduler answers there"),
            open_engine(EngineConfig("cluster", scheduler=address)),
        ):
            pass


def test_certificates_that_are_no_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    tls = {"distributed.comm.tls.ca-file": "missing.pem", "distributed.comm.tls.client.cert": "missing.pem"}
    with (
        dask.config.set(tls),
        pytest.raises(ConfigError, match=r"^engine\.scheduler=tls://127\.0\.0\.1:9: .*No such file"),
        open_engine(EngineConfig("cluster", scheduler="tls://127.0.0.1:9")),
    ):
        pass


def test_settings_of_dasks_that_forbid_a_connection_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    one, other = certificates.new(), certificates.new()
    (tmp_path / "certificate.pem").write_text(one.certificate)
    (tmp_path / "key.pem").write_text(other.key)
    files = {"ca-file": "certificate.pem", "client.cert": "certificate.pem", "client.key": "key.pem"}
    tls = {f"distributed.comm.tls.{name}": str(tmp_path / file) for name, file in files.items()}
    for address, settings, reason in (
        (
            "tcp://127.0.0.1:9",
            {"distributed.comm.require-encryption": True},
            "encryption required by Dask configuration",
        ),
        ("tls://127.0.0.1:9", tls, "key values mismatch"),
    ):
        line = rf"^engine\.scheduler={address}: Dask's settings allow no connection to it \(.*{reason}"
        with (
            dask.config.set(settings),
            pytest.raises(ConfigError, match=line),
            open_engine(EngineConfig("cluster", scheduler=address)),
        ):
            pass


def test_too_few_open_files_are_allowed_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    limits = iter([(64, 64), (64, 4096), (1024, 4096)])
    monkeypatch.setattr("resource.getrlimit", lambda _: next(limits))
    monkeypatch.setattr("resource.setrlimit", lambda _, pair: raised.append(pair))
    with (
        pytest.raises(SweepError, match=r"^ulimit -n 64: 2 workers need at least 112 open files"),
        open_engine(EngineConfig("local", workers=2)),
    ):
        pass
    for _ in range(2):
        embedded.allow_open_files(112, 2)
    assert raised == [(112, 4096)]


@pytest.fixture
def unopened() -> Iterator[None]:
    """Collect the clusters that a test could not open: Dask cannot close them, and warns of them later otherwise."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.mark.usefixtures("unopened")
def test_workers_that_cannot_be_started_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device", "temporary")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with (
        pytest.raises(
            SweepError,
            match=r"^the workers cannot be started: RuntimeError: Cluster failed to start: .*No space left on device",
        ),
        open_engine(EngineConfig("local", workers=1)),
    ):
        pass


def test_what_the_system_lacks_for_workers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    def full() -> IO[bytes]:
        return open("/dev/full", "wb")

    for name, replacement, message in (
        ("tempfile.TemporaryFile", refused, rf"^the temporary folder {tempfile.gettempdir()}: No space .* set TMPDIR"),
        ("tempfile.TemporaryFile", full, rf"^the temporary folder {tempfile.gettempdir()}: No space .* set TMPDIR"),
        (
            "multiprocessing.context.BaseContext.Lock",
            refused,
            r"^/dev/shm: No space left on device; workers need semaphores",
        ),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, replacement)
            with pytest.raises(SweepError, match=message), open_engine(EngineConfig("local", workers=1)):
                pass


@pytest.mark.usefixtures("unopened")
def test_a_setting_of_dasks_that_is_none_is_one_line() -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "soon"}),
        pytest.raises(SweepError, match=r"^the workers cannot be started: KeyError: Invalid time unit: soon"),
        open_engine(EngineConfig("local", workers=1)),
    ):
        pass


@pytest.mark.long
def test_a_worker_that_comes_back_to_changed_code_costs_no_trial(
    local: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(local._terms.software, "text-sweeps", "01234567")
    local.submit("tests.specs.slow", spec())
    with pytest.raises(SweepError, match=r"other code of this project.*while this command ran"):
        messages_until_idle(local)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
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
