import logging
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src import backend

from models import lstm
from sweeps.trials import training
from sweeps.trials.spec import Dataset, EpochReport, Report, Split
from sweeps.errors import TrialFailedError
from tests.specs import MODELS, spec

MAXLEN, WORDS, CLASSES = 12, 20, 3


def tiny(**_: Any) -> Dataset:
    """Three classes, told by the first of two words that both occur."""
    generator = np.random.default_rng(0)

    def split(n: int) -> Split:
        x = generator.integers(1, WORDS, (n, MAXLEN), dtype=np.int32)
        return Split(x, (x[:, 0] % CLASSES).astype(np.int64))

    return Dataset(split(60), split(30), split(40), WORDS, MAXLEN, CLASSES, "tiny", "archive")


def exploding(*, learning_rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(learning_rate * float("inf"))


def still(*, learning_rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.0)


def while_others_draw(**keywords: Any) -> keras.Model:
    """As if another thread had drawn from Python's global generator just before the first layer."""
    random.random()
    return lstm.build(**keywords)


def quiet(ended: EpochReport) -> str | None:
    return None


def recorder(reports: list[EpochReport], stop_at: int | None = None) -> Report:
    """Keeps what is reported; from epoch `stop_at` on the answer is to stop."""

    def report(ended: EpochReport) -> str | None:
        reports.append(ended)
        return "enough" if ended.epoch == stop_at else None

    return report


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(trial, "EVALUATION_BATCH", 16)
    yield
    keras.backend.clear_session()


@pytest.mark.parametrize("model", MODELS)
def test_every_epoch_is_reported_with_all_four_metrics(model: str) -> None:
    reports: list[EpochReport] = []
    result = training.run(spec(model), recorder(reports))
    assert [r.epoch for r in reports] == [1, 2, 3]
    assert all((r.sweep, r.trial, r.attempt) == ("s/tiny", 1, 1) for r in reports)
    assert set(result.curves) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
    for name, curve in result.curves.items():
        assert curve == [r.metrics[name] for r in reports]
    assert result.cost.epochs == 3
    assert result.cost.seconds > 0
    assert result.cost.peak_rss_mb > 1


@pytest.mark.parametrize("model", MODELS)
def test_the_same_spec_gives_the_same_result_to_the_last_bit_and_another_seed_another(model: str) -> None:
    first, again = training.run(spec(model), quiet), training.run(spec(model), quiet)
    assert again.curves == first.curves
    assert again.test == first.test
    for a, b in zip(first.checkpoint.variables, again.checkpoint.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert training.run(spec(model, seed=8), quiet).curves != first.curves


def test_what_other_threads_draw_makes_no_difference() -> None:
    alone = training.run(spec(), quiet)
    beside = training.run(spec(build="tests.unit.trials.test_training.while_others_draw"), quiet)
    assert alone.curves == beside.curves


@pytest.mark.parametrize("model", MODELS)
def test_a_trial_that_goes_on_later_gives_what_it_would_have_given_without_the_pause(model: str) -> None:
    whole = training.run(spec(model, epochs=4), quiet)
    first = training.run(spec(model, epochs=2), quiet)
    reports: list[EpochReport] = []
    rest = training.run(spec(model, initial_epoch=2, epochs=4, checkpoint=first.checkpoint), recorder(reports))
    assert [r.epoch for r in reports] == [3, 4]
    assert rest.curves == whole.curves
    assert (rest.objective, rest.best_epoch, rest.test) == (whole.objective, whole.best_epoch, whole.test)
    assert rest.cost.epochs == 2
    for group in ("variables", "optimizer", "best_weights"):
        for a, b in zip(getattr(rest.checkpoint, group), getattr(whole.checkpoint, group), strict=True):
            np.testing.assert_array_equal(a, b)


def test_it_is_tested_with_the_weights_of_the_best_epoch() -> None:
    result = training.run(spec(epochs=6, objective="val/loss", optimizer_values={"learning_rate": 0.3}), quiet)
    curve = result.curves["val/loss"]
    assert result.best_epoch == int(np.argmin(curve)) + 1
    assert result.objective == min(curve)
    assert result.best_epoch < 6  # or this shows nothing
    shorter = training.run(
        spec(epochs=result.best_epoch, objective="val/loss", optimizer_values={"learning_rate": 0.3}), quiet
    )
    assert result.test == shorter.test


def test_where_validation_is_the_test_set_the_last_epoch_is_taken_not_the_best() -> None:
    changes: dict[str, Any] = {"epochs": 6, "objective": "val/loss", "optimizer_values": {"learning_rate": 0.3}}
    best, last = training.run(spec(**changes), quiet), training.run(spec(**changes, test_last_epoch=True), quiet)
    assert last.curves == best.curves
    assert last.best_epoch == 6
    assert last.objective == last.curves["val/loss"][-1]
    assert last.test != best.test


@pytest.mark.parametrize("patience", [1, 2])
def test_a_trial_ends_when_patience_runs_out(patience: int) -> None:
    result = training.run(
        spec(epochs=30, patience=patience, objective="val/loss", optimizer_values={"learning_rate": 0.3}), quiet
    )
    assert result.reason == "patience"
    assert len(result.curves["val/loss"]) == result.best_epoch + patience < 30


def test_a_loss_that_is_not_finite_fails_the_trial_with_that_reason() -> None:
    reports: list[EpochReport] = []
    with pytest.raises(TrialFailedError, match=r"^diverged: train/loss is (nan|inf) in epoch 1$"):
        training.run(spec(optimizer="tests.unit.trials.test_training.exploding"), recorder(reports))
    assert reports == []


def test_other_data_than_the_drivers_are_refused() -> None:
    with pytest.raises(TrialFailedError, match="data differ"):
        training.run(spec(digest="other"), quiet)


def test_test_metrics_are_what_keras_and_their_definitions_say() -> None:
    data, model = training._prepared(spec())
    metrics = training.evaluate(model, data.test)
    loss, accuracy = model.evaluate(*data.test, verbose=0)
    assert metrics["test/loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["test/accuracy"] == pytest.approx(accuracy, rel=1e-6)
    predicted = model.predict(data.test.x, verbose=0).argmax(axis=1)
    f1 = []
    for label in sorted({*predicted, *data.test.y}):
        hits = int(((predicted == label) & (data.test.y == label)).sum())
        f1.append(2 * hits / ((predicted == label).sum() + (data.test.y == label).sum()))
    assert metrics["test/macro_f1"] == pytest.approx(np.mean(f1))


def parameters(model: str, values: dict[str, Any]) -> int:
    """By the layers' formulas."""
    e, units = values["embedding_dim"], values["lstm_units"]
    words = WORDS * e
    into, conv = e, 0
    if model == "conv_lstm":
        into = values["conv_filters"]
        conv = values["kernel_size"] * e * into + into
    return words + conv + 4 * units * (into + units + 1) + (units + 1) * CLASSES


@pytest.mark.parametrize("model", MODELS)
def test_parameters_and_time_are_measured_without_training_a_trial(model: str) -> None:
    timing = training.measure(spec(model), quiet)
    assert timing.parameters == parameters(model, dict(MODELS[model]))
    assert timing.seconds_per_epoch > 0


def test_memory_is_given_back_between_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[int] = []
    clear: Callable[[], None] = keras.backend.clear_session
    monkeypatch.setattr(keras.backend, "clear_session", lambda: (cleared.append(1), clear())[1])
    for _ in range(2):
        training.run(spec(epochs=1), quiet)
    assert len(cleared) == 2


def test_a_report_that_is_answered_ends_the_trial_with_its_epoch_and_it_is_tested() -> None:
    reports: list[EpochReport] = []
    stopped = training.run(spec(epochs=5), recorder(reports, stop_at=2))
    assert [r.epoch for r in reports] == [1, 2]
    assert (stopped.reason, stopped.cost.epochs, len(stopped.curves["val/loss"])) == ("enough", 2, 2)
    assert stopped.test == training.run(spec(epochs=2), quiet).test


def test_a_trial_that_is_stopped_in_its_last_epoch_has_finished() -> None:
    assert training.run(spec(epochs=2), recorder([], stop_at=2)).reason == "finished"


def test_a_trial_out_of_patience_runs_no_further_when_it_is_promoted() -> None:
    first = training.run(spec(optimizer="tests.unit.trials.test_training.still", patience=1, epochs=4), quiet)
    assert first.reason == "patience"
    again = training.run(
        spec(optimizer="tests.unit.trials.test_training.still", patience=1, initial_epoch=4, epochs=9, checkpoint=first.checkpoint),
        quiet,
    )
    assert (again.reason, again.cost.epochs) == ("patience", 0)
    assert (again.curves, again.objective, again.test) == (first.curves, first.objective, first.test)


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")])
def test_a_trial_without_enough_memory_fails_with_that_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise error

    monkeypatch.setattr(training, "_fit_epoch", exhausted)
    with pytest.raises(TrialFailedError, match=r"^out of memory$"):
        training.run(spec(), quiet)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("steps", [3, 4, 32], ids=["one left over", "no one left over", "more than there are"])
def test_several_steps_an_execution_change_nothing_of_what_is_trained(
    model: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = training.run(spec(model), quiet)  # an epoch is 4 steps, the last of them with 12 of 16 examples
    monkeypatch.setattr(training, "_steps_per_execution", lambda: steps)
    reports: list[EpochReport] = []
    several = training.run(spec(model), recorder(reports))
    assert [r.epoch for r in reports] == [1, 2, 3]
    assert (several.curves, several.test) == (one.curves, one.test)
    for group in ("variables", "optimizer"):
        for a, b in zip(getattr(one.checkpoint, group), getattr(several.checkpoint, group), strict=True):
            np.testing.assert_array_equal(a, b)


def test_executions_are_timed_whole_and_no_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []
    original = training.batches
    monkeypatch.setattr(training, "batches", lambda split, size: timed.append(len(split.y)) or original(split, size))
    monkeypatch.setattr(trial, "TIMED", 1)
    for steps in (1, 3, 32):
        monkeypatch.setattr(training, "_steps_per_execution", lambda steps=steps: steps)
        assert training.measure(spec(), quiet).seconds_per_epoch > 0
    assert timed[2::4] == [16, 48, 60]


def test_the_network_is_not_traced_for_each_step_of_an_execution_to_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []
    monkeypatch.setattr(training, "_steps_per_execution", lambda: 8)
    monkeypatch.setattr(trial, "EVALUATION_BATCH", 5)  # 8 of the test set
    data, model = training._prepared(spec())
    lstm_of_backend = backend.lstm
    monkeypatch.setattr(backend, "lstm", lambda *a, **k: traced.append(1) or lstm_of_backend(*a, **k))
    assert training.predict(model, data.test).shape == (40, CLASSES)
    assert 1 <= len(traced) <= 2


@pytest.mark.parametrize("gpus", [[], ["GPU:0"]], ids=["processor", "GPU"])
def test_only_a_gpu_takes_several_steps_an_execution_and_has_to_be_made_deterministic(
    gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[bool] = []
    for kind in ("list_logical_devices", "list_physical_devices"):
        monkeypatch.setattr(tf.config, kind, {"GPU": gpus}.__getitem__)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: enabled.append(True))
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "")
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    training.use_gpus()
    assert enabled == [True] * len(gpus)
    assert (training._steps_per_execution() > 1) == bool(gpus)
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"  # the user's


@pytest.mark.parametrize("model", ["lstm", "conv_lstm"])
def test_a_trial_is_traced_once_for_training_and_once_for_validation(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []

    def counted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(model: keras.Model, data: object) -> Any:
            traced.append(name)
            return step(model, data)

        return call

    for name in ("train_step", "test_step"):
        monkeypatch.setattr(keras.Model, name, counted(name, getattr(keras.Model, name)))
    training.run(spec(model, epochs=2), quiet)
    assert traced == ["train_step", "test_step"]


def test_trials_do_not_warn_of_being_traced() -> None:
    assert logging.getLogger("tensorflow").getEffectiveLevel() >= logging.ERROR


def test_a_trial_below_its_bar_is_stopped_and_tested() -> None:
    whole = training.run(spec(epochs=5), quiet)
    curve = whole.curves["val/accuracy"]
    bar = (None, None, max(curve) + 0.01, None, None)
    stopped = training.run(spec(epochs=5, bar=bar), quiet)
    assert stopped.reason == "stopped"
    assert stopped.curves["val/accuracy"] == curve[:3]
    assert training.run(spec(epochs=5, bar=(min(curve[0], 0.0),) * 5), quiet).reason == "finished"


def test_a_final_trial_learns_from_train_and_validation_holds_nothing_out_and_is_tested_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    tested: list[int] = []
    original, predict = training.batches, training.predict
    monkeypatch.setattr(training, "batches", lambda split, size: seen.append(len(split.y)) or original(split, size))
    monkeypatch.setattr(training, "predict", lambda model, split: tested.append(len(split.y)) or predict(model, split))
    final = spec("lstm", objective="train/accuracy", test_last_epoch=True, final=True, origin=3, epochs=2)
    result = training.run(final, quiet)
    assert seen == [90, 90, 40]  # 60 of train and 30 of validation, twice; the test set once
    assert tested == [40]
    assert {name: len(curve) for name, curve in result.curves.items()} == {"train/loss": 2, "train/accuracy": 2}
    assert (result.best_epoch, result.objective) == (2, result.curves["train/accuracy"][-1])
    assert result.predictions is not None
    predicted, labels = result.predictions
    assert predicted.dtype == labels.dtype == np.uint8
    assert float((predicted == labels).mean()) == result.test["test/accuracy"]
    assert training.run(spec("lstm", epochs=1), quiet).predictions is None
