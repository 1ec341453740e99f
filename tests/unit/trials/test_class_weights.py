from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from sweeps.errors import TrialFailedError
from sweeps.trials import building, class_weights, evaluation, training
from sweeps.trials.spec import TrialResult
from tests import tiny
from tests.specs import MODELS, spec
from tests.unit.trials.eager import STILL, quiet, untraced

# Keras looks the weights up in a function of tf.data, which is traced in any case, and TensorFlow says so.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly")


@pytest.fixture(autouse=True)
def without_graphs() -> Iterator[None]:
    with untraced():
        yield


def run(**changes: Any) -> TrialResult:
    return training.run(spec(**{"batch_size": 32, "epochs": 1, "class_weight": "balanced", **changes}), quiet)


def handed_to_keras(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """The class weights of a trial's first epoch, which is not trained."""
    handed: list[Any] = []

    def fit(model: keras.Model, *_: Any, class_weight: Any = None, **__: Any) -> None:
        handed.append(class_weight)
        raise MemoryError

    monkeypatch.setattr(keras.Model, "fit", fit)
    with suppress(TrialFailedError):
        run(**changes)
    return handed[0]


@pytest.mark.parametrize("labels", [[0, 1, 1, 2, 2, 2], [3, 3, 1], [5]])
def test_balanced_is_scikit_learns_rule_and_a_label_without_train_texts_has_no_weight(labels: list[int]) -> None:
    y: NDArray[np.int64] = np.array(labels)
    present = np.unique(y)
    expected = dict(zip(present.tolist(), compute_class_weight("balanced", classes=present, y=y), strict=True))
    assert class_weights.of("balanced", y) == expected
    assert class_weights.of("none", y) is None


def test_the_loss_that_is_minimised_is_weighted_and_no_other_number() -> None:
    """With weights of the network that do not change, an epoch's losses can be computed again."""
    still_network: dict[str, Any] = {"optimizer": STILL, "values": MODELS["lstm"] | {"dropout": 0.0}}
    plain, weighted = run(class_weight="none", **still_network), run(**still_network)
    data, model = building.rebuild(spec(**still_network), weighted.checkpoint.best_weights)
    of_label = evaluation.predict(model, data.train)[np.arange(tiny.TRAIN), data.train.y]
    weights = class_weights.of("balanced", data.train.y)
    assert weights is not None
    expected = np.mean([weights[label] for label in data.train.y.tolist()] * -np.log(of_label))
    assert weighted.curves["train/loss"] == pytest.approx([expected], rel=1e-5)
    assert weighted.curves["train/loss"] != pytest.approx(plain.curves["train/loss"], rel=1e-5)
    for name in weighted.curves.keys() - {"train/loss"}:
        assert weighted.curves[name] == plain.curves[name]
    assert (weighted.test, weighted.confusion) == (plain.test, plain.confusion)


def test_a_weighted_trial_that_goes_on_later_gives_what_it_would_have_given_without_the_pause() -> None:
    whole = run(epochs=2)
    rest = run(epochs=2, initial_epoch=1, checkpoint=run().checkpoint)
    assert rest.curves == whole.curves != run(epochs=2, class_weight="none").curves
    assert rest.test == whole.test
    for one, other in zip(rest.checkpoint.variables, whole.checkpoint.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_is_handed_no_weights_unless_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert handed_to_keras(monkeypatch, class_weight="none") is None
    assert handed_to_keras(monkeypatch) == class_weights.of("balanced", tiny.load().train.y)


def test_a_final_trial_is_weighted_by_train_and_validation_together(monkeypatch: pytest.MonkeyPatch) -> None:
    final: dict[str, Any] = {"final": True, "objective": "train/accuracy", "test_last_epoch": True}
    data = tiny.load()
    both = class_weights.of("balanced", np.concatenate([data.train.y, data.validation.y]))
    assert handed_to_keras(monkeypatch, **final) == both != class_weights.of("balanced", data.train.y)
