from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sweeps.trials import building, evaluation, training
from sweeps.trials.spec import TrialResult
from tests import tiny
from tests.specs import MODELS, spec
from tests.unit.trials.eager import STILL, quiet, untraced


@pytest.fixture(autouse=True)
def without_graphs() -> Iterator[None]:
    with untraced():
        yield


def run(**changes: Any) -> TrialResult:
    return training.run(spec(**{"batch_size": 32, "epochs": 1, **changes}), quiet)


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly")
def test_the_loss_that_is_minimised_is_smoothed_and_no_other_number(class_weight: str) -> None:
    """With weights of the network that do not change, an epoch's losses can be computed again."""
    options: dict[str, Any] = {
        "optimizer": STILL,
        "values": MODELS["lstm"] | {"dropout": 0.0},
        "class_weight": class_weight,
    }
    plain, smoothed = run(**options), run(**options, label_smoothing=0.3)
    if class_weight == "none":
        data, model = building.rebuild(spec(**options), smoothed.checkpoint.best_weights)
        logs = np.log(evaluation.predict(model, data.train))
        of_label = logs[np.arange(tiny.TRAIN), data.train.y]
        expected = -np.mean(0.7 * of_label + 0.3 * logs.mean(axis=1))
        assert smoothed.curves["train/loss"] == pytest.approx([expected], rel=1e-5)
    assert smoothed.curves["train/loss"] != pytest.approx(plain.curves["train/loss"], rel=1e-5)
    for name in smoothed.curves.keys() - {"train/loss", "val/loss"}:
        assert smoothed.curves[name] == plain.curves[name]
    assert smoothed.curves["val/loss"] == pytest.approx(plain.curves["val/loss"], rel=1e-6)
    assert (smoothed.test, smoothed.confusion) == (plain.test, plain.confusion)


def test_a_smoothed_and_scheduled_trial_that_goes_on_later_is_the_one_without_the_pause() -> None:
    values = MODELS["bag"] | {"learning_rate": 0.02, "schedule": "cosine", "warmup": 0.2, "weight_decay": 0.01}
    options: dict[str, Any] = {"model": "bag", "label_smoothing": 0.1, "most_epochs": 4, "values": values}
    whole = run(epochs=2, **options)
    rest = run(epochs=2, initial_epoch=1, checkpoint=run(**options).checkpoint, **options)
    assert rest.curves == whole.curves != run(epochs=2, **{**options, "most_epochs": 2}).curves
    assert rest.test == whole.test


def test_a_final_trial_has_the_rates_of_the_search_in_each_epoch() -> None:
    values = MODELS["lstm"] | {"learning_rate": 0.02, "schedule": "cosine"}
    for final, documents in ((False, tiny.TRAIN), (True, tiny.TRAIN + tiny.VALIDATION)):
        data, model = building.compiled(spec(values=values, epochs=2, most_epochs=10, final=final, batch_size=8))
        steps = -(-documents // 8)
        assert len(data.train.y) == documents
        model.optimizer.iterations.assign(5 * steps)
        assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
