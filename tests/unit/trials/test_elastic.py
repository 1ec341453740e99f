"""The number of workers that an elastic engine asks for; Dask and the cluster are played."""

import builtins
import subprocess
import sys
from collections.abc import Collection
from typing import Any

import pytest

from conf.schema import ConfigError, Engine
from sweeps.trials.dask_engine import elastic, opening
from sweeps.trials.dask_engine.elastic import ElasticEngine
from tests.conftest import ROOT

CONFIG = Engine("slurm", memory="1GiB", min=2, max=5)


class Dask:
    """A client of a scheduler with workers `a`, `b`, …, of which some are `busy`."""

    status, scheduler_comm = "running", None

    def __init__(self, workers: str = "", busy: str = "") -> None:
        self.workers, self.busy = workers, busy

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {f"tls://{name}": {"name": name, "last_seen": 0.0} for name in self.workers}}

    def processing(self) -> dict[str, list[str]]:
        return {f"tls://{name}": ["trial"] if name in self.busy else [] for name in self.workers}

    def subscribe_topic(self, topic: str, handler: object) -> None:
        pass


class Asked:
    """A cluster that notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []

    def grow(self, count: int) -> None:
        self.calls.append((count, ""))

    def shrink(self, count: int, idle: Collection[str]) -> None:
        self.calls.append((count, "".join(sorted(idle))))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr(elastic, "LOOK", 0)
    return Asked()


def test_there_are_as_many_workers_as_trials_within_the_bounds(asked: Asked) -> None:
    engine = ElasticEngine(Dask("ab"), asked, CONFIG, ())
    for trials in (1, 4, 100):
        engine.expect(trials)
        engine.next(0)
    assert asked.calls == [(2, ""), (4, ""), (5, "")]


def test_only_workers_without_a_trial_go(asked: Asked) -> None:
    engine = ElasticEngine(dask := Dask("abcde", busy="ab"), asked, CONFIG, ())
    engine.expect(5)
    engine.next(0)
    dask.busy = "abd"
    engine.expect(2)
    engine.next(0)
    assert asked.calls[-1] == (3, "ce")  # though two trials are expected: d's worker has just got one
    dask.workers, dask.busy = "abd", "ab"
    engine.next(0)
    assert asked.calls[-1] == (2, "d")
    assert engine.lost_workers == 0


def test_lost_workers_are_asked_for_again_and_again(asked: Asked) -> None:
    engine = ElasticEngine(Dask(), asked, CONFIG, ())
    for _ in range(3):
        engine.next(0)
    assert asked.calls == [(2, "")] * 3


@pytest.mark.parametrize(("name", "package"), [("slurm", "dask_jobqueue"), ("kubernetes", "dask_kubernetes")])
def test_without_its_package_an_engine_names_the_extra(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(module: str, *arguments: Any, **options: Any) -> Any:
        if module.startswith(package):
            raise ModuleNotFoundError(module)
        return real(module, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    remedy = rf"^engine={name} needs .*: make install EXTRAS={name}, or pip install '\.\[{name}\]'$"
    config = Engine(name, memory="1GiB", image="x")
    with pytest.raises(ConfigError, match=remedy):
        opening.submission(config)
    with pytest.raises(ConfigError, match=remedy), opening.open_engine(config):
        pass


def test_dask_jobqueue_leaves_ctrl_c_to_the_command() -> None:
    pytest.importorskip("dask_jobqueue", reason="needs the extra slurm")
    code = (
        "import signal; from conf.schema import Engine; from sweeps.trials.dask_engine import opening; "
        "before = signal.getsignal(signal.SIGINT); opening.submission(Engine('slurm', memory='1GiB')); "
        "assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
