from sweeps.report import overview_page
from tests import records
from tests.unit.report.test_report import Page


def test_each_model_on_each_dataset_has_the_best_of_its_sweeps_and_that_sweeps_baseline() -> None:
    worse = records.record(trials=5, sweep="a/imdb", accuracy=lambda values, rng: 0.6 + rng.gauss(0, 0.001))
    better = records.record(trials=5, sweep="b/imdb", accuracy=lambda values, rng: 0.8 + rng.gauss(0, 0.001))
    for trial in better.trials.values():  # what the test set says chooses nothing
        trial.test = dict.fromkeys(trial.test, 0.1)
    found = overview_page.of([worse, better])
    cell = found.cells["lstm", "imdb"]
    assert (cell.sweep, cell.sweeps, cell.trials) == ("b/imdb", 2, 10)
    assert cell.best is better.best
    assert cell.baseline is better.trials[0]


def test_stand_ins_stand_apart_and_what_validates_on_test_or_confirms_has_no_place() -> None:
    found = overview_page.of(
        [
            records.record(trials=2),
            records.record(trials=2, source="standin"),
            records.record(trials=2, model="other", held_out="test"),
            records.record(trials=2, model="again", confirms="a/imdb"),
            records.record(trials=2, model="failed", failing=lambda trial: True),
        ]
    )
    assert (found.models, found.datasets) == (("lstm",), ("imdb", "imdb (stand-in)"))


def test_the_page_links_every_report_and_escapes() -> None:
    page = Page(overview_page.render(overview_page.of([records.record(trials=2, model="<i>")]), {"a&b": "a%26b/report.html"}))
    assert "<i>" in page.text
    assert ("a", {"href": "a%26b/report.html"}) in page.tags
    assert page.open == []
