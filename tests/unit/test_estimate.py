from collections.abc import Callable
from pathlib import Path

import pytest

from conf.schema import ConfigError, Job
from sweeps import estimate
from sweeps.errors import TrialFailedError
from sweeps.search import bayesian, space
from sweeps.trials.spec import OnEpoch, Timing, TrialSpec
from tests.fakes import FakeEngine, plan
from tests.searches import SMALL_SPACE


def measured(spec: TrialSpec, on_epoch: OnEpoch) -> Timing:
    """An epoch of a model with twice as many units takes twice as long."""
    units = int(spec.values["lstm_units"])
    return Timing(parameters=100 * units, seconds_per_epoch=float(units), seconds_besides=units / 2)


def test_the_smallest_the_default_and_the_largest_model_are_timed(composed: Callable[..., Job]) -> None:
    job = composed(*SMALL_SPACE, "trials=3", "epochs=4")
    plans = [plan(job), plan(job, Path("outputs/sweep/reuters"), dataset="reuters")]
    engine = FakeEngine(measured, workers=2)
    first, second = estimate.estimates(plans, engine)
    assert [spec.sweep for spec in engine.specs] == ["sweep/imdb"] * 3 + ["sweep/reuters"] * 3
    assert all((spec.initial_epoch, spec.epochs) == (0, 1) for spec in engine.specs)
    assert first == second
    assert {size: (values["lstm_units"], timing.parameters) for size, (values, timing) in first.sizes.items()} == {
        "smallest": (8, 800),
        "default": (16, 1600),
        "largest": (32, 3200),
    }
    assert (first.trials, first.epochs) == (3, 12)
    assert first.seconds == pytest.approx((12 + 3 / 2) * (8 + 16 + 32) / 3 / 2)  # on two workers


def test_a_model_that_cannot_be_built_is_named_with_its_values(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> Timing:
        if spec.values["lstm_units"] == 32:
            raise TrialFailedError("out of memory")
        return measured(spec, on_epoch)

    with pytest.raises(ConfigError, match=r"model\.space: the largest model \(.*lstm_units=32.*\): out of memory"):
        estimate.estimates([plan(composed(*SMALL_SPACE))], FakeEngine(fail))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tuner=random", "trials=7", "epochs=3"], (7, 21)),
        (["tuner=grid", "trials=50", "epochs=3", *SMALL_SPACE], (3, 9)),
        (["tuner=bayesian", "trials=30", "epochs=3"], (30, 90)),
        (["tuner=bayesian", "trials=50", "epochs=3", *SMALL_SPACE], (3, 9)),
        (["tuner=hyperband", "trials=13", "epochs=10"], (13, 10 + 12 * 2 + 4 * 2 + 2 * 6)),
    ],
)
def test_the_trials_and_epochs_are_those_that_the_tuner_would_run(
    arguments: list[str], expected: tuple[int, int], composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bayesian.BayesianOracle, "most_promising", lambda _: pytest.fail("a dry run models nothing"))
    config = composed(*arguments).config
    assert estimate.planned(config, space.read(config.parts("imdb"))) == expected


def test_the_sizes_of_each_of_several_networks_are_timed(composed: Callable[..., Job]) -> None:
    def time(spec: TrialSpec, on_epoch: OnEpoch) -> Timing:
        if spec.build == "models.lstm.build" and spec.values["lstm_units"] == 200:
            raise TrialFailedError("out of memory")
        seconds = 2.0 if spec.build == "models.cnn.build" else 1.0
        return Timing(parameters=1, seconds_per_epoch=seconds, seconds_besides=0.0)

    (both,) = estimate.estimates([plan(composed("model=[bag,cnn]", "trials=4", "epochs=2"))], FakeEngine(time))
    assert list(both.sizes) == [
        f"{name} {size}" for name in ("bag", "cnn") for size in ("smallest", "default", "largest")
    ]
    assert both.seconds == pytest.approx(4 * 2 * 1.5 / 2)
    with pytest.raises(ConfigError, match=r"^networks\.lstm\.space: the lstm largest model \(model=lstm,"):
        estimate.estimates([plan(composed("model=[bag,lstm]"))], FakeEngine(time))
