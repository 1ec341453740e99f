import random
from dataclasses import replace
from pathlib import Path

from conf.schema import Value
from sweeps.report import overview_page
from sweeps.report.overview_page import Overview
from tests import confirmations, records
from tests.pages import Page


def around(value: float) -> dict[str, object]:
    def accuracy(values: dict[str, Value], rng: random.Random) -> float:
        return value + rng.gauss(0, 0.001)

    return {"accuracy": accuracy}


def labels(overview: Overview) -> list[str]:
    return [overview.label(corpus) for corpus in overview.datasets]


def test_a_cell_has_the_best_trial_of_all_sweeps_by_validation_and_the_baseline_of_its_sweep() -> None:
    worse = records.record(trials=5, sweep="a/imdb", **around(0.6))
    better = records.record(trials=5, sweep="b/imdb", **around(0.8))
    for trial in better.trials.values():  # the test set chooses nothing
        trial.test = dict.fromkeys(trial.test, 0.1)
    (cell,) = overview_page.build([worse, better]).cells.values()
    assert (cell.sweep, cell.sweeps, cell.trials) == ("b/imdb", 2, 10)
    assert cell.best is better.best
    assert cell.baseline is better.trials[0]


def test_stand_ins_have_their_own_column_and_confirmations_and_validation_on_test_are_left_out() -> None:
    overview = overview_page.build(
        [
            records.record(trials=2),
            records.record(trials=2, source="standin"),
            records.record(trials=2, model="other", held_out="test"),
            records.record(trials=2, model="again", confirms="a/imdb"),
            records.record(trials=2, model="failed", failing=lambda trial: True),
        ]
    )
    assert (overview.models, labels(overview)) == (("lstm",), ["imdb", "imdb (stand-in)"])


def test_a_cell_says_what_the_newest_confirmation_of_its_sweep_found(tmp_path: Path) -> None:
    sweep = records.record(trials=5, sweep=confirmations.SWEEP)
    (cell,) = overview_page.build([sweep]).cells.values()
    assert cell.confirmed == ""
    older, newer = (confirmations.record(tmp_path / str(gain), {3: gain}) for gain in (0.0, 0.03))
    newer.started = replace(newer.started, time=older.started.time + 1)
    overview = overview_page.build([newer, older, sweep])
    (cell,) = overview.cells.values()
    assert cell.confirmed.endswith("Confirmed: trial 3, the search's choice, is better than the baseline.")
    assert cell.confirmed in Page(overview_page.render(overview, {})).text


def test_two_different_data_of_one_name_have_columns_of_their_own_with_a_short_digest() -> None:
    one, other = (records.record(trials=2, sweep=f"{digest}/imdb", digest=digest * 16) for digest in "ab")
    overview = overview_page.build([one, other, records.record(trials=2, source="standin", digest="c" * 16)])
    assert labels(overview) == ["imdb, data aaaaaaaa", "imdb, data bbbbbbbb", "imdb (stand-in)"]
    assert [cell.sweeps for cell in overview.cells.values()] == [1, 1, 1]
    text = Page(overview_page.render(overview, {})).text
    assert "imdb, data aaaaaaaa" in text
    assert "2 completed trials in 1 sweep;" in text


def test_a_sweep_in_which_no_trial_completed_hides_none_that_scored_nothing() -> None:
    failed = records.record(trials=2, failing=lambda trial: True)
    (cell,) = overview_page.build(
        [failed, records.record(trials=1, sweep="b/imdb", accuracy=lambda v, rng: 0.0)]
    ).cells.values()
    assert (cell.sweep, cell.sweeps) == ("b/imdb", 2)


def test_the_page_links_every_report_and_escapes_names() -> None:
    overview = overview_page.build([records.record(trials=2, model="<i>")])
    page = Page(overview_page.render(overview, {"a&b": "a%26b/report.html"}))
    assert "<i>" in page.text
    assert {"href": "a%26b/report.html"} in page.attributes("a")
    assert "No trial has completed" in Page(overview_page.render(overview_page.build([]), {})).text


def test_the_best_linear_model_on_each_data_has_a_line() -> None:
    with_it, without = records.record(trials=2), records.record(trials=2, source="standin")
    for reference in (records.reference("svm", 0.77), records.reference("nbsvm", 0.78)):
        with_it.add(reference)
    overview = overview_page.build([with_it, without])
    assert [(corpus.source, best.name) for corpus, best in overview.references.items()] == [("archive", "nbsvm")]
    text = Page(overview_page.render(overview, {})).text
    assert "val 0.7900, test 0.7800" in text
    assert "NB-SVM, C=0.3, 6 s" in text
    assert "linear model" not in Page(overview_page.render(overview_page.build([without]), {})).text


def test_each_network_of_several_has_a_row_with_the_sweeps_of_that_network_alone() -> None:
    alone = records.record(trials=3, sweep="b/imdb", **around(0.6))
    several = records.several(trials=6, **around(0.7))
    several.started = replace(several.started, digest=alone.started.digest)
    overview = overview_page.build([alone, several])
    assert overview.models == ("bag", "lstm")
    bag, lstm = (overview.cells[model, overview.datasets[0]] for model in overview.models)
    assert (bag.sweeps, bag.trials, bag.sweep) == (1, 3, several.started.sweep)
    assert (lstm.sweeps, lstm.trials) == (2, 6)
    assert (bag.baseline, lstm.baseline) == (several.trials[0], several.trials[1])
    assert bag.best.values["model"] == "bag"


def test_what_a_confirmation_found_stands_only_with_the_network_that_was_chosen() -> None:
    several = records.several(trials=6, **around(0.7))
    assert several.best is not None
    found = {several.started.sweep: "Confirmed."}
    cells = {name: overview_page._cell([each], found) for name, each in overview_page._searched(several)}
    said = {name: cell.confirmed for name, cell in cells.items() if cell is not None}
    assert said == {name: "Confirmed." if name == several.best.values["model"] else "" for name in ("bag", "lstm")}
