"""The processes that run trials: what they import, see and write, how many there are, and their GPUs."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from conf.schema import Engine as EngineConfig
from sweeps import runtime
from sweeps.errors import SweepError
from sweeps.trials import gpus
from sweeps.trials.dask_engine import local as embedded
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.dask_engine.worker import THREADS
from sweeps.trials.engine import Finished
from sweeps.trials.gpus import Gpus
from tests import specs
from tests.conftest import ROOT
from tests.engines import embedded_workers, messages_until_idle, results, wait_until_whole
from tests.specs import spec

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


def test_what_native_code_writes_in_a_worker_reaches_no_terminal_and_what_python_writes_does(local: DaskEngine) -> None:
    local.submit("tests.specs.streams", spec())
    ((native, python),) = results(local)
    assert native == os.devnull
    assert python != 2


def test_an_interrupt_from_the_terminal_is_the_drivers_alone(local: DaskEngine) -> None:
    for trial in range(2):
        local.submit("tests.specs.slow", spec(trial=trial))
    workers = embedded_workers()
    assert len(workers) == 2
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    assert all(isinstance(message, Finished) for message in messages_until_idle(local))


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
        wait_until_whole(engine)
        assert visible_gpus() == [("GPU-a", False), ("GPU-b", False)]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before  # the driver's own
