"""A model that cannot be built is refused before anything is recorded."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.schema import ConfigError, Job
from sweeps.errors import TrialFailedError
from sweeps.session import first_build
from sweeps.trials.spec import OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, WorkerDiedError, learn, plan


def test_the_baseline_of_each_sweep_is_built(composed: Callable[..., Job]) -> None:
    job, engine = composed(), FakeEngine(learn)
    plans = [plan(job), plan(job, Path("outputs/sweep/reuters"), "reuters")]
    first_build.check(plans, engine)
    assert [dict(spec.values) for spec in engine.specs] == [one.space.defaults() for one in plans]


def test_a_model_that_fails_is_refused_and_a_worker_that_dies_is_not_its_fault(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise TrialFailedError("model.build=a.b: must return a keras.Model, not NoneType")

    def die(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise WorkerDiedError

    plans = [plan(composed())]
    with pytest.raises(
        ConfigError, match=r"^imdb: the model with the defaults \(.*lstm_units=100.*\) fails: model.build"
    ):
        first_build.check(plans, FakeEngine(fail))
    engine = FakeEngine(die)
    first_build.check(plans, engine)
    assert [spec.attempt for spec in engine.specs] == [1, 2, 3]


def test_a_host_that_cannot_build_a_model_is_not_the_models_fault(composed: Callable[..., Job]) -> None:
    def move(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if next(moved) < 5:
            raise WorkerDiedError("error: ImportError: libgomp.so.1", host="10.9.8.2")
        return learn(spec, on_epoch)

    moved, engine = itertools.count(), FakeEngine(move)
    first_build.check([plan(composed())], engine)
    assert [spec.attempt for spec in engine.specs] == [1] * 6


def test_a_model_whose_build_takes_too_much_memory_each_time_is_refused(composed: Callable[..., Job]) -> None:
    def die(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise WorkerDiedError("out of memory: the worker took 312 MB, more than engine.memory=300MB")

    with pytest.raises(ConfigError, match=r"fails: out of memory: the worker took 312 MB, more than engine\.memory="):
        first_build.check([plan(composed())], FakeEngine(die))


def test_each_of_several_networks_is_built(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.build == "models.cnn.build":
            raise TrialFailedError("too wide")
        return learn(spec, on_epoch)

    one, engine = plan(composed("model=[bag,cnn]")), FakeEngine(learn)
    first_build.check([one], engine)
    assert [(spec.build, dict(spec.values)) for spec in engine.specs] == [
        (f"models.{name}.build", own.defaults()) for name, own in one.space.networks.items()
    ]
    with pytest.raises(ConfigError, match=r"^imdb: the model with the defaults \(model=cnn, .*\) fails: too wide"):
        first_build.check([one], FakeEngine(fail))
