"""Workers that cannot run trials as they are run here."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client
from distributed.comm import CommClosedError

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError
from sweeps.trials.dask_engine import engine as engines
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.identity import difference
from tests.engines import messages_until_idle, results
from tests.specs import spec


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


def test_a_worker_with_another_version_is_refused(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = engines.identity() | {"keras": "3.0.0"}
    monkeypatch.setattr(engines, "difference", lambda _, other: difference(own, other))
    with (
        pytest.raises(ConfigError, match=r"worker tcp://\S+ cannot run trials: keras 3\.\d+\.\d+ instead of 3\.0\.0; "),
        open_engine(EngineConfig("cluster", scheduler=cluster)),
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


def test_workers_that_would_train_two_trials_at_once_are_refused(
    cluster: str, start_worker: Callable[..., None]
) -> None:
    start_worker("--nthreads", "2", "--name", "two-threads")
    with (
        pytest.raises(ConfigError, match=r"runs 2 tasks at once; .* start workers with --nthreads 1"),
        open_engine(EngineConfig("cluster", scheduler=cluster)),
    ):
        pass
