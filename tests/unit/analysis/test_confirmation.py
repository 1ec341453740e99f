import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweeps.analysis import confirmation, paired
from sweeps.analysis.paired import NO_DIFFERENCE, Difference
from sweeps.analysis.statistics import Interval
from sweeps.journal import SweepRecord
from tests import confirmations, records


def test_a_better_configuration_is_confirmed_with_the_size_of_its_gain(tmp_path: Path) -> None:
    outcomes = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.03}))
    first, second, baseline = outcomes
    assert [outcome.name for outcome in outcomes] == ["trial 3", "trial 5", "baseline"]
    assert (first.gain.pairs, len(first.scores), baseline.gain.pairs) == (5, 5, 0)
    assert first.gain.mean == pytest.approx(0.03, abs=0.003)
    assert first.gain.half_width < 0.01
    assert first.gain.over_examples is not None
    assert first.gain.over_examples.low > 0
    assert first.lost_lead == pytest.approx(0.76 - 0.70 - first.gain.mean)
    assert confirmation.winner(outcomes) == first
    sentences = confirmation.conclusions(outcomes)
    assert sentences[0].startswith("Trial 3: better than the baseline by ")
    assert sentences[-3].startswith("The winner's curse: trial 3 led the baseline by +6.0 points")
    assert sentences[-2].startswith("5 seeds show a gain of 0.")
    assert sentences[-1] == "Confirmed: trial 3, the search's choice, is better than the baseline."
    assert not second.beats_baseline


def test_a_search_by_macro_f1_is_confirmed_by_macro_f1(tmp_path: Path) -> None:
    finalists = {"3": 0.58, "0": 0.55}
    record = confirmations.record(tmp_path, {3: 0.03}, finalists=finalists, compared_by="test/macro_f1")
    first, baseline = confirmation.outcomes(record)
    trials = paired.completed(record, 3)
    assert first.scores == tuple(trial.test["test/macro_f1"] for trial in trials.values())
    assert first.gain.mean == pytest.approx(first.mean - baseline.mean)
    gain_of_accuracy = np.mean([trial.test["test/accuracy"] for trial in trials.values()]) - 0.8
    assert abs(first.gain.mean - gain_of_accuracy) > 0.002
    assert first.gain.over_examples is not None
    assert first.gain.over_examples.low < first.gain.mean < first.gain.over_examples.high
    assert first.lost_lead == pytest.approx(0.03 - first.gain.mean)
    assert confirmation.conclusions([first, baseline])[0] == (
        "All points are hundredths of test/macro_f1, as the search chose by it."
    )
    assert confirmation.metrics([first, baseline])["test/macro_f1"] == first.mean
    assert "test/accuracy" not in confirmation.metrics([first, baseline])


def test_noise_is_no_difference(tmp_path: Path) -> None:
    outcomes = confirmation.outcomes(confirmations.record(tmp_path, {}, noise=0.01))
    assert "no difference that 5 seeds can show" in confirmation.comparison(outcomes[0])
    assert confirmation.winner(outcomes) is None
    assert confirmation.conclusions(outcomes)[-1].startswith("Not confirmed: ")


def test_the_test_set_does_not_choose_among_the_finalists(tmp_path: Path) -> None:
    outcomes = confirmation.outcomes(confirmations.record(tmp_path, {5: 0.05}))
    assert outcomes[1].beats_baseline
    assert confirmation.winner(outcomes) is None


def test_if_validation_chose_the_baseline_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    finalists = {"0": 0.76, "3": 0.75}
    outcomes = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.05}, finalists=finalists))
    assert confirmation.winner(outcomes) is None
    assert confirmation.conclusions(outcomes)[-1].startswith("The search's own choice was the baseline")
    assert not any("curse" in sentence for sentence in confirmation.conclusions(outcomes))


def test_only_seeds_that_both_completed_are_compared(tmp_path: Path) -> None:
    record = confirmations.record(
        tmp_path, {3: 0.03}, failed=(0, 4)
    )  # the baseline with one seed, trial 3 with another
    first = confirmation.outcomes(record)[0]
    assert (first.gain.pairs, len(first.scores)) == (3, 4)


def test_one_seed_and_no_pair_show_nothing() -> None:
    outcome = confirmation.Outcome(3, 0.8, (0.8,), math.inf, Difference(1, 0.02, math.inf, None), 0.0)
    assert "+2.0 points" in confirmation.comparison(outcome)
    assert "one seed cannot show" in confirmation.comparison(outcome)
    assert "nothing can be said" in confirmation.comparison(outcome._replace(gain=NO_DIFFERENCE))
    assert not outcome.beats_baseline


def test_a_gain_that_other_test_examples_might_not_show_is_not_confirmed() -> None:
    uncertain = Difference(2, 0.01, 0.005, Interval(-0.001, 0.02))
    outcome = confirmation.Outcome(3, 0.8, (0.8, 0.8), 0.001, uncertain, 0.0)
    assert confirmation.comparison(outcome).endswith("; but other test examples might not show it")
    assert confirmation.winner([outcome]) is None
    over_seeds_only = outcome._replace(gain=uncertain._replace(over_examples=None))
    assert confirmation.winner([over_seeds_only]) == over_seeds_only


def test_a_lead_that_grew_lost_nothing(tmp_path: Path) -> None:
    first = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.1}))[0]
    assert confirmation.winners_curse(first).endswith("no lead was lost")


def test_no_lead_is_invented_or_lost_twice(tmp_path: Path) -> None:
    worse = {"3": 0.69, "0": 0.70}  # chosen by another objective than the accuracy
    sentences = confirmation.conclusions(confirmation.outcomes(confirmations.record(tmp_path, {}, finalists=worse)))
    assert not any("curse" in sentence for sentence in sentences)
    first = confirmation.outcomes(confirmations.record(tmp_path, {3: -0.03}))[0]
    assert confirmation.winners_curse(first).endswith("all of its lead was lost")
    exactly = first._replace(gain=first.gain._replace(mean=0.06), lost_lead=0.0002)
    assert confirmation.winners_curse(exactly).endswith("no lead was lost")


def test_the_model_of_a_confirmed_winner_is_one_that_completed(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03}, failed=(1,))
    choice = confirmation.choice(record)
    assert choice is not None
    assert (choice.trial.origin, choice.trial.seed, choice.trial.status) == (3, 101, "completed")


def test_altered_predictions_are_not_used(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {})
    assert all(outcome.gain.over_examples for outcome in confirmation.outcomes(record) if not outcome.baseline)
    first, second, *_ = sorted((tmp_path / "predictions").iterdir())
    first.write_bytes(second.read_bytes()[:-5])
    assert not any(outcome.gain.over_examples for outcome in confirmation.outcomes(record))


def test_a_run_has_the_metrics_that_are_finite(tmp_path: Path) -> None:
    first = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.03}))[0]
    expected = {
        "test/accuracy": first.mean,
        "confirm/gain": first.gain.mean,
        "confirm/half_width": first.gain.half_width,
    }
    assert confirmation.metrics([first]) == expected
    del expected["confirm/half_width"]
    assert confirmation.metrics([first._replace(gain=first.gain._replace(half_width=math.inf))]) == expected
    assert confirmation.metrics([first._replace(scores=())]) == confirmation.metrics([]) == {}


def test_the_choice_is_the_best_trial_of_a_sweep_or_the_first_seed_of_a_confirmed_winner(tmp_path: Path) -> None:
    sweep = records.record(trials=4)
    assert sweep.best is not None
    assert confirmation.choice(sweep) == (sweep.best, {})
    assert confirmation.choice(records.record(trials=2, failing=lambda trial: True)) is None
    record = confirmations.record(tmp_path, {3: 0.03})
    choice = confirmation.choice(record)
    assert choice is not None
    assert (choice.trial.origin, choice.trial.seed) == (3, 100)
    assert choice.why.keys() == {"confirms", "origin", "confirm/gain", "confirm/half_width"}
    assert (choice.why["confirms"], choice.why["origin"]) == (confirmations.SWEEP, "3")
    assert float(choice.why["confirm/gain"]) == pytest.approx(0.03, abs=0.003)
    assert confirmation.choice(confirmations.record(tmp_path, {}, noise=0.01)) is None


def test_word_order_is_worth_what_the_choice_loses_on_shuffled_words(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03}, shuffled=-0.02)
    outcomes = confirmation.outcomes(record)
    mixed = outcomes[-1]
    assert [outcome.name for outcome in outcomes] == ["trial 3", "trial 5", "baseline", "trial 3, words shuffled"]
    assert mixed.order is not None
    assert (mixed.order.pairs, mixed.order.mean) == (5, pytest.approx(0.05, abs=0.003))
    assert mixed.order.over_examples is not None
    assert mixed.mean == pytest.approx(0.78, abs=0.003)
    assert str(outcomes[:-1]) == str(confirmation.outcomes(confirmations.record(tmp_path, {3: 0.03})))  # with NaN
    assert confirmation.winner(outcomes) == outcomes[0]
    sentence = confirmation.conclusions(outcomes)[-1]
    assert sentence.startswith(f"Word order is worth {100 * mixed.order.mean:.1f} ± 0.")
    assert sentence.endswith(f"with the words of each document shuffled, it reaches {mixed.mean:.4f}.")
    assert confirmation.metrics(outcomes)["confirm/word_order"] == mixed.order.mean
    choice = confirmation.choice(record)
    assert choice is not None
    assert not choice.trial.shuffled


@pytest.mark.parametrize(
    ("gain", "words"),
    [(0.03, "Word order: no worth that 5 seeds can show"), (0.06, "Word order costs the search's choice 3.")],
)
def test_word_order_that_is_worth_nothing_is_not_praised(gain: float, words: str, tmp_path: Path) -> None:
    outcomes = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.03}, shuffled=gain))
    assert confirmation.conclusions(outcomes)[-1].startswith(words)


def test_one_seed_does_not_show_what_word_order_is_worth(tmp_path: Path) -> None:
    outcomes = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.03}, shuffled=-0.1, seeds=1))
    assert confirmation.conclusions(outcomes)[-1].startswith("Word order: too few seeds to say what it is worth")
    assert "confirm/word_order_half_width" not in confirmation.metrics(outcomes)


def test_what_order_is_worth_to_each_finalist_is_said_by_its_name(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03, 5: 0.02}, shuffled=-0.02, order_of_each=True)
    outcomes = confirmation.outcomes(record)
    assert [each.name for each in outcomes if each.order] == [
        f"{name}, words shuffled" for name in ("trial 3", "trial 5", "baseline")
    ]
    first, second, third = confirmation.conclusions(outcomes)[-3:]
    assert " points to the search's choice; " in first
    assert " points to trial 5; " in second
    assert " points to the baseline; " in third
    first_order, second_order, _ = [each.order for each in outcomes if each.order]
    assert confirmation.metrics(outcomes)["confirm/word_order"] == first_order.mean
    assert second_order.half_width > 1.2 * paired_half_width(record, 5)


def test_a_finalist_of_several_networks_is_named_with_its_own(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03}, shuffled=-0.02)
    several = records.several(trials=2, accuracy=lambda values, rng: 0.5).started.config
    record.started = replace(record.started, config=several)
    for trial in record.trials.values():
        trial.values = {"model": "lstm" if trial.origin == 3 else "bag"}
    assert [each.name for each in confirmation.outcomes(record)] == [
        "trial 3 (lstm)", "trial 5 (bag)", "baseline (bag)", "trial 3 (lstm), words shuffled",
    ]  # fmt: skip


def paired_half_width(record: SweepRecord, origin: int) -> float:
    ordered, mixed = (paired.completed(record, origin, shuffled=each) for each in (False, True))
    return paired.difference(record, ordered, mixed).half_width


def test_a_baseline_on_shuffled_words_is_no_baseline(tmp_path: Path) -> None:
    finalists = {"0": 0.76, "3": 0.75}
    record = confirmations.record(tmp_path, {3: 0.01}, finalists=finalists, shuffled=-0.3)
    baseline, other, mixed = confirmation.outcomes(record)
    assert (baseline.baseline, other.baseline, mixed.baseline) == (True, False, False)
    assert other.gain.mean == pytest.approx(0.01, abs=0.003)
    assert mixed.name == "baseline, words shuffled"


def test_the_gains_of_the_other_finalists_hold_together_and_that_of_the_first_for_itself(tmp_path: Path) -> None:
    two, three = {"3": 0.76, "5": 0.75, "0": 0.70}, {"3": 0.76, "5": 0.75, "6": 0.74, "0": 0.70}
    few = confirmation.outcomes(confirmations.record(tmp_path / "few", {}, finalists=two))
    many = confirmation.outcomes(confirmations.record(tmp_path / "many", {}, finalists=three))
    assert many[0].gain.half_width == few[0].gain.half_width
    assert many[1].gain.half_width > 1.1 * few[1].gain.half_width
    assert many[1].gain.over_examples is not None
    assert few[1].gain.over_examples is not None
    assert many[1].gain.over_examples.high > few[1].gain.over_examples.high


def test_more_seeds_are_advised_only_where_they_help(tmp_path: Path) -> None:
    first = confirmation.outcomes(confirmations.record(tmp_path, {3: 0.03}, noise=0.02))[0]
    assert confirmation.what_seeds_can_show(first).endswith("takes about seeds=13")
    by_examples = first._replace(gain=first.gain._replace(over_examples=Interval(-0.5, 0.5)))
    assert confirmation.what_seeds_can_show(by_examples).endswith(
        "the choice of test examples alone leaves ± 50.0 points"
    )
    certain = first._replace(gain=first.gain._replace(half_width=0.0))
    assert not any("seeds show" in sentence for sentence in confirmation.conclusions([certain]))
