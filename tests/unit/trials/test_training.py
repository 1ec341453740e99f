import functools
import gc
import logging
import os
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src import backend
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from models import lstm
from sweeps import metrics
from sweeps.errors import TrialFailedError
from sweeps.metrics import CURVES, METRICS
from sweeps.trials import building, evaluation, training
from sweeps.trials.spec import Checkpoint, EpochReport, OnEpoch, Split, TrialResult
from tests import tiny
from tests.specs import MODELS, spec
from tests.unit.trials.eager import untraced

# Builders of this file, by their dotted names.
EXPLODING, STILL, DISTURBED = (f"{__name__}.{name}" for name in ("exploding", "still", "disturbed"))
# Every network, but in the quick run only the two that have most in common with the others.
EVERY_MODEL = [model if model in ("lstm", "bag") else pytest.param(model, marks=pytest.mark.long) for model in MODELS]
RESTLESS: dict[str, Any] = {"objective": "val/loss", "learning_rate": 0.6}  # the loss rises after two epochs


def exploding(*, learning_rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(learning_rate * float("inf"))


def still() -> keras.optimizers.Optimizer:
    """An optimizer that changes nothing, and takes none of the spec's values."""
    return keras.optimizers.SGD(0.0)


@functools.wraps(lstm.build)
def disturbed(**keywords: Any) -> keras.Model:
    """Build the model as if another thread had drawn from Python's global generator just before the first layer."""
    random.random()
    return lstm.build(**keywords)


def quiet(report: EpochReport) -> str | None:
    return None


def short(on_epoch: OnEpoch = quiet, *, batch_size: int = 64, **changes: Any) -> TrialResult:
    """Run a trial without tracing its network, with one batch an epoch."""
    with untraced():
        return training.run(spec(batch_size=batch_size, **changes), on_epoch)


def assert_same_state(a: Checkpoint, b: Checkpoint) -> None:
    """Check that two checkpoints are equal to the last bit."""
    for group in ("variables", "optimizer", "best_weights"):
        for one, other in zip(getattr(a, group), getattr(b, group), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module", autouse=True)
def small_batches_and_a_frozen_heap() -> Iterator[None]:
    """Validate and test in several batches, and leave TensorFlow's objects out of each trial's garbage collection."""
    gc.freeze()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, "BATCH", 16)
        yield
    gc.unfreeze()
    keras.backend.clear_session()


class Whole(NamedTuple):
    """A trial of three epochs as a worker runs it, and which of Keras's steps TensorFlow traced for it."""

    result: TrialResult
    reports: list[EpochReport]
    traced: list[str]


@functools.cache
def whole(model: str, class_weight: str = "none") -> Whole:
    traced, reports = [], list[EpochReport]()

    def counted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(network: keras.Model, data: object) -> Any:
            traced.append(name)
            return step(network, data)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for name in ("train_step", "test_step"):
            patched.setattr(keras.Model, name, counted(name, getattr(keras.Model, name)))
        return Whole(training.run(spec(model, class_weight=class_weight), reports.append), reports, traced)


@functools.cache
def first_epoch(model: str) -> Checkpoint:
    """The state of the same trial after one epoch."""
    return training.run(spec(model, epochs=1), quiet).checkpoint


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_every_epoch_is_reported_with_every_curve_and_the_network_is_traced_once(model: str) -> None:
    result, reports, traced = whole(model)
    assert [(r.sweep, r.trial, r.attempt, r.epoch) for r in reports] == [("s/tiny", 1, 1, n) for n in (1, 2, 3)]
    assert tuple(result.curves) == CURVES
    for name, curve in result.curves.items():
        assert curve == [r.metrics[name] for r in reports]
    assert result.cost.epochs == 3
    assert result.cost.seconds > 0
    assert result.cost.peak_rss_mb > 1
    assert result.predictions is None
    assert traced == ["train_step", "test_step"]


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_a_trial_that_goes_on_later_gives_what_it_would_have_given_without_the_pause(model: str) -> None:
    reports: list[EpochReport] = []
    rest = training.run(spec(model, initial_epoch=1, checkpoint=first_epoch(model)), reports.append)
    assert [r.epoch for r in reports] == [2, 3]
    uninterrupted = whole(model).result
    assert rest.curves == uninterrupted.curves  # the same seed gives the same numbers, to the last bit
    assert (rest.objective, rest.best_epoch) == (uninterrupted.objective, uninterrupted.best_epoch)
    assert (rest.test, rest.confusion) == (uninterrupted.test, uninterrupted.confusion)
    assert rest.cost.epochs == 2
    assert_same_state(rest.checkpoint, uninterrupted.checkpoint)


def test_a_trial_from_an_old_checkpoint_keeps_to_the_curves_that_the_checkpoint_has() -> None:
    uninterrupted, first = short(epochs=2), short(epochs=1).checkpoint
    old = {name: curve for name, curve in first.curves.items() if not name.endswith("macro_f1")}
    reports: list[EpochReport] = []
    result = short(reports.append, initial_epoch=1, epochs=2, checkpoint=first._replace(curves=old))
    assert result.curves == result.checkpoint.curves == {name: uninterrupted.curves[name] for name in old}
    assert [r.metrics.keys() for r in reports] == [old.keys()]
    assert result.test == uninterrupted.test


def test_another_seed_gives_other_numbers_other_threads_draws_do_not_and_each_trial_frees_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cleared: list[int] = []
    clear: Callable[[], None] = keras.backend.clear_session
    monkeypatch.setattr(keras.backend, "clear_session", lambda: (cleared.append(1), clear())[1])
    curves = short(epochs=1).curves
    assert short(epochs=1, build=DISTURBED).curves == curves
    assert short(epochs=1, seed=8).curves != curves
    assert len(cleared) == 3


def test_curves_of_a_confusion_matrix_are_those_of_its_part_of_the_data() -> None:
    """With weights that do not change, an epoch's answers can be computed again."""
    values = MODELS["lstm"] | {"dropout": 0.0}
    result = short(optimizer=STILL, values=values, epochs=1, batch_size=16)
    data, model = building.rebuild(spec(values=values), result.checkpoint.best_weights)
    for part, split in (("train", data.train), ("val", data.validation)):
        predicted = evaluation.predict(model, split).argmax(axis=1)
        assert result.curves[f"{part}/macro_f1"] == [f1_score(split.y, predicted, average="macro")]
        assert result.curves[f"{part}/accuracy"] == pytest.approx([(predicted == split.y).mean()], rel=1e-6)
    assert result.curves["train/macro_f1"] != result.curves["val/macro_f1"]


def test_a_new_row_of_the_table_becomes_a_curve_and_a_test_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    def missed(answers: metrics.Answers) -> float:
        return float(answers.counts[(answers.labels == 0) & (answers.predicted != 0)].sum())

    row = metrics.Metric("missed", "documents of class 0", "min", ("val", "test"), (), missed)
    for module in (metrics, evaluation):
        monkeypatch.setattr(module, "METRICS", (*METRICS, row))
    monkeypatch.setattr(training, "CURVES", (*CURVES, "val/missed"))
    result = short(epochs=1)
    data, model = building.rebuild(spec(), result.checkpoint.best_weights)
    for value, split in ((result.curves["val/missed"][0], data.validation), (result.test["test/missed"], data.test)):
        predicted = evaluation.predict(model, split).argmax(axis=1)
        assert value == ((split.y == 0) & (predicted != 0)).sum() != ((split.y != 0) & (predicted == 0)).sum()
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, row._replace(compute=None)))
    with pytest.raises(ValueError, match=r"^val/missed: neither Keras nor the table of metrics computes it$"):
        short(epochs=1)


def test_it_is_tested_with_the_weights_of_the_best_epoch() -> None:
    result = short(epochs=4, **RESTLESS)
    curve = result.curves["val/loss"]
    assert (result.best_epoch, result.objective) == (int(np.argmin(curve)) + 1, min(curve))
    assert result.best_epoch < 4  # otherwise this shows nothing
    assert result.test == short(epochs=result.best_epoch, **RESTLESS).test
    last = short(epochs=4, test_last_epoch=True, **RESTLESS)
    assert last.curves == result.curves
    assert (last.best_epoch, last.objective) == (4, curve[-1])  # where validation is the test set, it must not choose
    assert last.test != result.test


@pytest.mark.parametrize("patience", [1, 2])
def test_a_trial_ends_when_patience_runs_out(patience: int) -> None:
    result = short(epochs=30, patience=patience, **RESTLESS)
    assert result.reason == "patience"
    assert len(result.curves["val/loss"]) == result.best_epoch + patience < 30


def test_a_trial_below_its_bar_is_stopped_and_tested() -> None:
    finished = short(bar=(0.0,) * 3)
    curve = finished.curves["val/accuracy"]
    assert (finished.reason, len(curve)) == ("finished", 3)
    stopped = short(bar=(None, max(curve) + 0.01, None))
    assert (stopped.reason, stopped.curves["val/accuracy"]) == ("stopped", curve[:2])
    assert stopped.test.keys() == finished.test.keys()


def test_an_answer_to_a_report_ends_the_trial_with_its_epoch_and_it_is_tested() -> None:
    reports: list[EpochReport] = []

    def stop_at_2(report: EpochReport) -> str | None:
        reports.append(report)
        return "enough" if report.epoch == 2 else None

    stopped = short(stop_at_2, epochs=5)
    assert [r.epoch for r in reports] == [1, 2]
    assert (stopped.reason, stopped.cost.epochs, len(stopped.curves["val/loss"])) == ("enough", 2, 2)
    in_its_last_epoch = short(stop_at_2, epochs=2)
    assert (in_its_last_epoch.reason, in_its_last_epoch.test) == ("finished", stopped.test)


def test_a_trial_out_of_patience_runs_no_further_when_it_is_promoted() -> None:
    first = short(optimizer=STILL, patience=1, epochs=4)
    assert first.reason == "patience"
    again = short(optimizer=STILL, patience=1, initial_epoch=4, epochs=9, checkpoint=first.checkpoint)
    assert (again.reason, again.cost.epochs) == ("patience", 0)
    assert (again.curves, again.objective, again.test) == (first.curves, first.objective, first.test)


def test_a_loss_that_is_not_finite_fails_the_trial_with_that_reason() -> None:
    reports: list[EpochReport] = []
    with pytest.raises(TrialFailedError, match=r"^diverged: train/loss is (nan|inf) in epoch 1$"):
        short(reports.append, optimizer=EXPLODING, batch_size=16)
    assert reports == []


def test_other_data_than_the_drivers_are_refused() -> None:
    with pytest.raises(TrialFailedError, match="data differ"):
        training.run(spec(digest="other"), quiet)


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")])
def test_a_trial_without_enough_memory_fails_with_that_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(keras.Model, "fit", exhausted)
    with pytest.raises(TrialFailedError, match=r"^out of memory$"):
        training.run(spec(), quiet)


def probabilities_and_labels(seed: int, classes: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Random answers, some of them quite certain and wrong; with many classes some have no example."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.05), n).astype(np.float32)
    return probabilities, np.minimum(generator.geometric(0.3, n) - 1, classes - 1)


@pytest.mark.parametrize(("classes", "n"), [(2, 1), (2, 999), (3, 40), (46, 30), (46, 2246), (300, 500)])
def test_test_metrics_equal_their_definitions_on_the_documents_to_the_last_bit(classes: int, n: int) -> None:
    for seed in range(5):
        probabilities, labels = probabilities_and_labels(seed, classes, n)
        predicted = probabilities.argmax(axis=1)
        of_label = probabilities[np.arange(n), labels]
        scores = evaluation.scores(probabilities, labels)
        assert list(scores) == [f"test/{metric.name}" for metric in METRICS if "test" in metric.parts]
        assert scores["test/loss"] == float(-np.log(np.clip(of_label, keras.config.epsilon(), None)).mean())
        assert scores["test/accuracy"] == float((predicted == labels).mean())
        assert scores["test/macro_f1"] == float(f1_score(labels, predicted, average="macro", zero_division=0))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("warnings.warn", lambda *_, **__: None)  # scikit-learn warns of classes without examples
            assert scores["test/balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_test_metrics_are_those_of_keras_and_of_the_textbook() -> None:
    result = whole("lstm").result
    data, model = building.rebuild(spec(), result.checkpoint.best_weights)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    loss, accuracy = model.evaluate(*data.test, verbose=0)
    assert result.test["test/loss"] == pytest.approx(loss, rel=1e-5)
    assert result.test["test/accuracy"] == pytest.approx(accuracy, rel=1e-6)
    predicted = model.predict(data.test.x, verbose=0).argmax(axis=1)
    f1 = []
    for label in sorted({*predicted, *data.test.y}):
        hits = int(((predicted == label) & (data.test.y == label)).sum())
        f1.append(2 * hits / ((predicted == label).sum() + (data.test.y == label).sum()))
    assert result.test["test/macro_f1"] == pytest.approx(np.mean(f1))
    counted = np.zeros((tiny.CLASSES, tiny.CLASSES))
    for label, answer, count in result.confusion:
        counted[label, answer] = count
    np.testing.assert_array_equal(counted, confusion_matrix(data.test.y, predicted, labels=range(tiny.CLASSES)))


def parameters(model: str, values: dict[str, Any]) -> int:
    """The number of parameters by the layers' formulas."""
    size, units = values["embedding_dim"], values["lstm_units"]
    features, convolution = size, 0
    if model == "conv_lstm":
        features = values["conv_filters"]
        convolution = values["kernel_size"] * size * features + features
    dense = (units + 1) * tiny.CLASSES
    return tiny.WORDS * size + convolution + 4 * units * (features + units + 1) + dense


@pytest.mark.parametrize("model", ["lstm", "conv_lstm"])
def test_parameters_and_time_are_measured_without_training_a_trial(model: str) -> None:
    with untraced():
        timing = training.measure(spec(model), quiet)
    assert timing.parameters == parameters(model, dict(MODELS[model]))
    assert timing.seconds_per_epoch > 0


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes Keras run several steps at a time, as on a GPU."""

    def configure(steps: int) -> None:
        monkeypatch.setattr(building, "STEPS_PER_EXECUTION", steps)
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"])

    monkeypatch.setattr(backend, "lstm", backend.lstm)  # restored afterwards
    building.prepare()
    fused: Callable[..., Any] = backend.lstm

    def on_the_processor(*arguments: Any, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(tf.config, "list_logical_devices", lambda kind=None: [])
            return fused(*arguments, **options)

    backend.lstm = on_the_processor
    return configure


@pytest.mark.parametrize(
    ("model", "steps", "class_weight"),
    [
        pytest.param("lstm", 3, "none", id="one left over"),
        pytest.param("conv_lstm", 4, "none", id="all", marks=pytest.mark.long),
        pytest.param("lstm", 32, "none", id="more than all", marks=pytest.mark.long),
        pytest.param("lstm", 3, "balanced", id="weighted", marks=pytest.mark.long),
    ],
)
def test_several_steps_an_execution_change_no_number(
    model: str, steps: int, class_weight: str, as_on_a_gpu: Callable[[int], None]
) -> None:
    one = whole(model, class_weight).result
    as_on_a_gpu(steps)
    reports: list[EpochReport] = []
    several = training.run(spec(model, class_weight=class_weight), reports.append)
    assert [r.epoch for r in reports] == [1, 2, 3]
    assert (several.curves, several.test) == (one.curves, one.test)
    assert_same_state(several.checkpoint, one.checkpoint)


@pytest.mark.parametrize("trained", [False, pytest.param(True, marks=pytest.mark.long)])
def test_whole_executions_are_timed_but_no_more_data_than_there_are(
    trained: bool, as_on_a_gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    batches = evaluation.batches
    monkeypatch.setattr(training, "batches", lambda split, *more: sizes.append(len(split.y)) or batches(split, *more))
    monkeypatch.setattr(training, "TIMED", 1)
    for method in () if trained else ("fit", "evaluate"):
        monkeypatch.setattr(keras.Model, method, lambda *_, **__: None)
    for steps in (1, 3, 32):
        as_on_a_gpu(steps)
        assert training.measure(spec(), quiet).seconds_per_epoch > 0
    assert sizes[2::4] == [16, 48, 60]


@pytest.mark.parametrize("texts", [30, 2000])
def test_the_time_of_a_thousand_answers_has_what_a_call_takes_but_once(
    monkeypatch: pytest.MonkeyPatch, texts: int
) -> None:
    now = [0.0]

    def predict(model: keras.Model, split: Split) -> NDArray[np.float32]:
        now[0] += 0.2 + 0.001 * len(split.y)
        return np.full((len(split.y), tiny.CLASSES), 1 / tiny.CLASSES, np.float32)

    monkeypatch.setattr(evaluation, "predict", predict)
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
    data = building.load(spec())
    data = data._replace(test=Split(np.resize(data.test.x, (texts, data.maxlen)), np.resize(data.test.y, texts)))
    _, _, seconds = training._test(spec(), data, keras.Sequential())
    assert seconds == pytest.approx(1.2 if texts == 30 else 1.1)


def test_the_network_is_not_traced_for_each_step_of_an_execution_to_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = building.rebuild(spec(), whole("lstm").result.checkpoint.best_weights)
    monkeypatch.setattr(evaluation, "BATCH", 5)  # the test set has 8 of them
    model.compile(steps_per_execution=8)
    traced: list[int] = []
    lstm_of_backend = backend.lstm
    monkeypatch.setattr(backend, "lstm", lambda *a, **k: traced.append(1) or lstm_of_backend(*a, **k))
    assert evaluation.predict(model, data.test).shape == (tiny.TEST, tiny.CLASSES)
    assert 1 <= len(traced) <= 2


@pytest.mark.parametrize("devices", [[], ["GPU:0"]], ids=["processor", "GPU"])
def test_only_a_gpu_runs_several_steps_an_execution_and_is_made_deterministic(
    devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[bool] = []
    steps: list[int] = []

    def compile_(model: keras.Model, *_: Any, steps_per_execution: int, **__: Any) -> None:
        steps.append(steps_per_execution)
        raise MemoryError

    for kind in ("list_logical_devices", "list_physical_devices"):
        monkeypatch.setattr(tf.config, kind, {"GPU": devices}.__getitem__)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: enabled.append(True))
    monkeypatch.setattr(keras.Model, "compile", compile_)
    monkeypatch.setattr(
        "models.lstm.build",
        lambda *, maxlen, num_classes, **_: keras.Sequential([keras.Input((maxlen,)), keras.layers.Dense(num_classes)]),
    )
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    building.prepare.cache_clear()
    with pytest.raises(TrialFailedError, match="out of memory"):
        training.run(spec(), quiet)
    assert enabled == [True] * len(devices)
    assert (steps[0] > 1) == bool(devices)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"  # the user's


def test_trials_do_not_warn_of_being_traced() -> None:
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    building.prepare.cache_clear()
    building.prepare()
    assert logging.getLogger("tensorflow").getEffectiveLevel() >= logging.ERROR


def test_a_final_trial_learns_from_train_and_validation_holds_nothing_out_and_is_tested_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    batches = evaluation.batches
    for module in (training, evaluation):
        monkeypatch.setattr(module, "batches", lambda split, *more: sizes.append(len(split.y)) or batches(split, *more))
    result = short(objective="train/accuracy", test_last_epoch=True, final=True, origin=3, epochs=2)
    # The 60 of train and 30 of validation twice, a batch of them that traces the answers, the test set
    # once, and a thousand of its texts for their time.
    assert sizes == [90, 90, evaluation.BATCH, 40, training.TEXTS]
    assert tuple(result.curves) == tuple(name for name in CURVES if name.startswith("train/"))
    assert {len(curve) for curve in result.curves.values()} == {2}
    assert (result.best_epoch, result.objective) == (2, result.curves["train/accuracy"][-1])
    assert result.predictions is not None
    predicted, labels = result.predictions
    assert predicted.dtype == labels.dtype == np.uint8
    assert float((predicted == labels).mean()) == result.test["test/accuracy"]


@pytest.mark.filterwarnings("ignore:Even though:UserWarning")  # tf.data traces its functions in any case
@pytest.mark.parametrize("final", [False, True])
def test_a_corpus_that_is_read_in_blocks_gives_what_one_in_memory_gives(
    final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained() -> TrialResult:
        objective = "train/accuracy" if final else "val/accuracy"
        return short(batch_size=16, epochs=2, final=final, test_last_epoch=final, objective=objective)

    in_memory = trained()
    monkeypatch.setattr(evaluation, "IN_MEMORY", 0)
    monkeypatch.setattr(evaluation, "READ", 40 * tiny.MAXLEN * 4)
    in_blocks = trained()
    assert (in_blocks.curves, in_blocks.test) == (in_memory.curves, in_memory.test)
    assert_same_state(in_blocks.checkpoint, in_memory.checkpoint)
