"""Confirmations of fake trials: what is trained, what is concluded, and how they go on."""

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conf.schema import Job, Value
from sweeps import driver, journal
from sweeps.analysis import confirmation
from sweeps.driver import Search
from sweeps.errors import SweepError
from sweeps.finalists import FixedList, confirmation_of, directory_name, fresh_seeds
from sweeps.journal import SweepRecord
from sweeps.metrics import METRICS
from sweeps.trials.spec import Checkpoint, Cost, EpochReport, OnEpoch, Predictions, TrialResult, TrialSpec
from tests import records
from tests.fakes import FakeEngine, plan

EXAMPLES = 2000
FITTED = {"loss": 0.5, "accuracy": 0.9, "macro_f1": 0.9}  # on train


def retrain(gains: Mapping[int, float], noise: float = 0.002) -> Callable[[TrialSpec, OnEpoch], TrialResult]:
    """A final trial whose accuracy is 0.8, plus the gain of its configuration, plus noise of its seed."""

    def run(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        assert spec.final
        assert spec.origin is not None
        curves = {f"train/{name}": [value] * spec.epochs for name, value in FITTED.items()}
        for epoch in range(spec.epochs):
            on_epoch(EpochReport(spec.sweep, spec.trial, 1, epoch + 1, {name: c[epoch] for name, c in curves.items()}))
        own = np.random.default_rng(spec.seed * 100 + spec.origin).normal(0, noise)
        accuracy = 0.8 + gains.get(spec.origin, 0.0) + own
        labels = np.zeros(EXAMPLES, np.uint8)
        predicted = (np.arange(EXAMPLES) >= accuracy * EXAMPLES).astype(np.uint8)
        exact = float((predicted == labels).mean())
        test = {f"test/{metric.name}": 1.0 if metric.name == "loss" else exact for metric in METRICS}
        cost = Cost(1.0, spec.epochs, 10, 1.0, 0.1, 0.2)
        checkpoint = Checkpoint([np.zeros(1)], [np.zeros(1)], [np.zeros(1)], curves)
        result = TrialResult(curves, 0.9, spec.epochs, test, cost, "finished", checkpoint)
        return result._replace(predictions=Predictions(predicted, labels))

    return run


def by_units(values: dict[str, Value], rng: random.Random) -> float:
    """The baseline, in the middle of the range, is none of the best."""
    return 0.7 + float(values["lstm_units"]) / 2000 + rng.gauss(0, 0.001)


def searched(**options: object) -> SweepRecord:
    return records.record(**{"trials": 8, "accuracy": by_units, **options})  # type: ignore[arg-type]


def run(
    job: Job, tmp_path: Path, record: SweepRecord, *, seeds: int = 5, engine: FakeEngine | None = None
) -> SweepRecord:
    retraining = confirmation_of(record, 2, seeds)
    directory = tmp_path / "outputs" / "again" / "imdb"
    planned = plan(job, directory)._replace(
        confirmation=retraining, config=replace(job.config, trials=len(retraining.trials))
    )
    search = Search(planned, FixedList(retraining), [], journal.read(directory))
    try:
        driver.run([search], engine or FakeEngine(retrain({})))
    finally:
        search.close()
    return search.record


@pytest.fixture
def job(composed: Callable[..., Job]) -> Job:
    return composed("model=lstm", "trials=8")


def test_the_best_by_validation_and_the_baseline_are_trained_with_the_same_seeds() -> None:
    record = searched()
    retraining = confirmation_of(record, 3, 4)
    best = [trial.trial for trial in record.ranking()[:3]]
    assert [int(name) for name in retraining.finalists] == [*best, *([] if 0 in best else [0])]
    by_seed = itertools.groupby(retraining.trials, key=lambda trial: trial.seed)
    blocks = [[trial.origin for trial in block] for _, block in by_seed]
    assert len(blocks) == 4
    assert all(block == blocks[0] and block[0] == 0 for block in blocks)
    for trial in retraining.trials:
        assert trial.values == record.trials[trial.origin].values
        assert trial.epochs == record.trials[trial.origin].best_epoch


def test_a_confirmation_compares_by_the_searchs_own_metric_and_by_accuracy_for_its_loss(
    composed: Callable[..., Job], tmp_path: Path
) -> None:
    record = searched()
    for trial in record.trials.values():
        trial.curves["val/macro_f1"] = [value / 2 for value in trial.curves["val/accuracy"]]
    for objective, tested, validated in (
        ("val/macro_f1", "test/macro_f1", "val/macro_f1"),
        ("val/loss", "test/accuracy", "val/accuracy"),
    ):
        record.started = replace(record.started, objective=objective)
        retraining = confirmation_of(record, 2, 1)
        assert retraining.compared_by == tested
        assert retraining.finalists == {
            name: record.trials[int(name)].curves[validated][record.trials[int(name)].best_epoch - 1]
            for name in retraining.finalists
        }
        job = composed("model=lstm", "trials=8", f"objective={objective}")
        assert run(job, tmp_path / objective, record, seeds=1).started.compared_by == tested


def test_the_best_by_validation_is_trained_on_shuffled_words_too_and_its_weights_are_not_kept() -> None:
    record = searched()
    retraining = confirmation_of(record, 2, 3, order=True)
    assert [trial for trial in retraining.trials if not trial.shuffled] == [*confirmation_of(record, 2, 3).trials]
    mixed = [trial for trial in retraining.trials if trial.shuffled]
    assert {trial.origin for trial in mixed} == {record.ranking()[0].trial}
    assert len({trial.seed for trial in mixed}) == 3
    assert retraining.trials == confirmation_of(record, 2, 5, order=True).trials[: len(retraining.trials)]
    names = {directory_name([record], [confirmation_of(record, 2, 3, order=order)]) for order in (True, False)}
    assert len(names) == 2
    proposals = FixedList(retraining)
    while proposals.ask():
        pass
    assert not {number for number in proposals.candidates() if retraining.trials[number].shuffled}


def test_the_best_of_each_network_is_confirmed_and_what_order_is_worth_to_it() -> None:
    accuracy = {"bag": 0.8, "lstm": 0.7}
    record = records.several(trials=12, accuracy=lambda values, rng: accuracy[values["model"]] + rng.random() / 100)
    retraining = confirmation_of(record, "each", 2, order="each")
    best = {name: next(t for t in record.ranking() if t.values["model"] == name).trial for name in accuracy}
    assert [int(name) for name in retraining.finalists] == [*best.values(), *([] if best["bag"] == 0 else [0])]
    mixed = [trial.origin for trial in retraining.trials if trial.shuffled]
    assert mixed == [*best.values()] * 2
    first = confirmation_of(record, "each", 2, order=True)
    assert directory_name([record], [first]) != directory_name([record], [retraining])
    assert FixedList(first).description.endswith(", and the first on shuffled words")
    assert FixedList(retraining).description.endswith(", and on shuffled words")


def test_one_network_has_no_best_of_each() -> None:
    with pytest.raises(SweepError, match=r"top=each: it searched one network; the best three: top=3"):
        confirmation_of(searched(), "each", 5)


def test_no_seed_is_one_that_the_sweep_used() -> None:
    record = searched()
    first = list(itertools.islice(fresh_seeds(record), 5))
    record.trials[1].seed = first[2]
    fresh = list(itertools.islice(fresh_seeds(record), 5))
    assert first[2] not in fresh
    assert len(set(fresh)) == 5
    assert not set(fresh) & {trial.seed for trial in record.trials.values()}


def test_the_test_scores_choose_no_finalist() -> None:
    record = searched()
    before = confirmation_of(record, 3, 2)
    for trial in record.trials.values():
        trial.test = {name: 1 - value for name, value in trial.test.items()}
    assert confirmation_of(record, 3, 2) == before


def test_without_a_baseline_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(SweepError, match="baseline has not completed"):
        confirmation_of(searched(failing=lambda trial: trial == 0), 3, 5)
    with pytest.raises(SweepError, match="nothing to confirm"):
        confirmation_of(searched(trials=1), 3, 5)


def test_the_worth_of_word_order_to_the_baseline_can_be_measured_alone() -> None:
    retraining = confirmation_of(searched(trials=1), 1, 2, order=True)
    assert [(trial.origin, trial.shuffled) for trial in retraining.trials] == [(0, False), (0, True)] * 2


def test_an_interrupted_confirmation_goes_on_with_what_is_missing(job: Job, tmp_path: Path) -> None:
    done: list[int] = []

    def three_only(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(spec.trial)
        return retrain({})(spec, on_epoch)

    record = searched()
    with pytest.raises(KeyboardInterrupt):
        run(job, tmp_path, record, engine=FakeEngine(three_only, workers=1))
    engine = FakeEngine(retrain({}))
    whole = run(job, tmp_path, record, engine=engine)
    assert not {spec.trial for spec in engine.specs} & set(done)
    assert len(whole.completed) == whole.budget
    more = FakeEngine(retrain({}))
    longer = run(job, tmp_path, record, seeds=7, engine=more)
    assert len(more.specs) == longer.budget - whole.budget
    assert {outcome.gain.pairs for outcome in confirmation.outcomes(longer) if not outcome.baseline} == {7}


def test_the_weights_of_the_first_trial_that_did_not_fail_may_be_needed() -> None:
    retraining = confirmation_of(searched(), 1, 3)
    proposals = FixedList(retraining)
    for _ in range(4):
        proposals.ask()
    assert proposals.candidates() == {0, 1}
    proposals.tell(1, None)
    assert proposals.candidates() == {0, 3}


def test_the_predictions_of_every_trial_are_kept_in_little_space(job: Job, tmp_path: Path) -> None:
    record = run(job, tmp_path, searched(), seeds=3)
    files = sorted((record.directory / "predictions").iterdir())
    assert len(files) == record.budget
    assert sum(path.stat().st_size for path in files) < 2000 * record.budget
