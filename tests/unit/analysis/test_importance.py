import random

from conf import stored
from conf.schema import Value
from sweeps.analysis.importance import EPOCHS, importances
from sweeps.journal import SweepRecord
from sweeps.search import space
from tests import records

SEARCHED = space.recorded(stored.parts(records.configuration(), "imdb"))


def by_units(values: dict[str, Value], rng: random.Random) -> float:
    return 0.6 + float(values["lstm_units"]) / 1000 + rng.gauss(0, 0.01)


def noise(values: dict[str, Value], rng: random.Random) -> float:
    return 0.7 + rng.gauss(0, 0.01)


def test_the_hyperparameter_that_the_objective_depends_on_is_first_and_the_others_are_near_zero() -> None:
    ranking = records.record(trials=60, accuracy=by_units).ranking()
    result = importances(ranking, SEARCHED)
    first, *others = result.ranked
    assert first.name == "lstm_units"
    assert first.low > 0.3
    assert all(other.low <= 0.05 and other.mean < first.low for other in others)
    assert all(i.low <= i.mean <= i.high for i in result.ranked)
    assert 0.5 < result.skill <= 1
    assert importances(ranking, SEARCHED) == result  # the same record gives the same numbers


def test_nothing_is_said_of_pure_noise() -> None:
    result = importances(records.record(trials=60, accuracy=noise).ranking(), SEARCHED)
    assert result.ranked == ()
    assert "from 60 trials a random forest cannot predict" in result.unknown


def test_too_few_trials_are_too_few() -> None:
    result = importances(records.record(trials=11, accuracy=by_units).ranking(), SEARCHED)
    assert result.ranked == ()
    assert result.unknown == "too few trials to say: 11 completed, 4 hyperparameters need 12"


def test_nothing_searched_and_nothing_varied_have_no_importance() -> None:
    record = records.record(trials=20, accuracy=lambda values, rng: 0.5)
    assert "same objective" in importances(record.ranking(), SEARCHED).unknown
    assert "nothing was searched" in importances(record.ranking(), []).unknown


def test_the_effect_of_hyperbands_epochs_is_not_credited_to_a_hyperparameter() -> None:
    record: SweepRecord = records.record(trials=60, accuracy=noise)
    for trial in record.trials.values():  # the more epochs the better, and nothing else
        trial.epochs = 2 + 8 * (trial.trial % 2)
        trial.objective = 0.5 + trial.epochs / 100 + (trial.trial % 7) / 5000
    assert importances(record.ranking(), SEARCHED).ranked[0].name == EPOCHS
