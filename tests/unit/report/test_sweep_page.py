import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.analysis.summary import SweepSummary
from sweeps.journal import SweepEnded, SweepRecord, SweepResumed
from sweeps.report import figures, sweep_page
from sweeps.report.figures.search import parallel, slices
from sweeps.report.html import Figure
from tests import answered, records
from tests.pages import Page

pytestmark = pytest.mark.usefixtures("no_figures")
TWELVE = records.many_hyperparameters(11)  # and the learning rate


def page(record: SweepRecord | None = None, **options: Any) -> Page:
    return Page(sweep_page.build(record or records.record(**options)).html)


def test_one_trial_is_a_report_too() -> None:
    text = page(trials=1).text
    assert re.search(r"The baseline has the best val/accuracy, \d\.\d{4}, of 1 completed trial\.", text)
    assert "Too few trials to say" in text
    assert "luckiest" not in text


def test_the_head_compares_the_best_trial_with_the_references_in_a_sentence_a_figure_and_a_table() -> None:
    facts = {**answered.audit(["earn", "acq"]).as_dict(), "floor": 0.36, "ceiling": 0.94}
    whole = records.record(trials=3, audit=facts)
    for reference in (records.reference("svm", 0.9, final={"test/accuracy": 0.9123}), records.reference("nbsvm", 0.8)):
        whole.add(reference)
    report = sweep_page.build(whole)
    text = Page(report.html).text
    assert re.search(r"has a test accuracy of 90\.0 %, \d+\.\d ± \d\.\d points above that of ", text)
    (figure,) = report.figures
    assert figure.alt.startswith("Test accuracy; always earn: 0.3600, TF-IDF with a linear SVM: 0.9000, NB-SVM: 0.8000")
    assert figure.alt.endswith("ceiling: 0.9400")
    assert "0.9123" in text
    assert text.index("points above") < text.index("Leaderboard")


def test_a_sweep_without_references_says_nothing_of_them() -> None:
    report = sweep_page.build(records.record(trials=3))
    assert "linear" not in Page(report.html).text.lower()
    assert report.figures == ()


def test_if_all_trials_failed_their_reasons_are_the_report() -> None:
    text = page(trials=5, failing=lambda trial: True).text
    assert "No trial completed" in text
    assert "5 of 5 trials were started: 5 failed" in text
    assert "5 failed: diverged: train/loss is nan in epoch 1" in text
    assert "Leaderboard" not in text


def test_a_sweep_that_has_only_begun_has_not_ended() -> None:
    assert "not ended" in page(trials=0, end=False).text


def test_a_large_sweep_is_folded_and_its_failures_are_listed() -> None:
    text = page(trials=40, space=TWELVE, failing=lambda trial: trial % 20 == 7).text
    assert "all 38 completed trials" in text
    assert "2 failed: diverged" in text
    assert "하이퍼볼릭" in text


def test_any_name_is_shown_as_text() -> None:
    name = "<script>alert(1)</script> $x^2 한국어 모델"
    shown = page(trials=2, model=name, dataset="a&b")
    assert "alert" not in shown.script
    assert len(shown.attributes("script")) == 1
    assert f"{name} on a&b" in shown.text


def test_validation_decides_which_trial_is_the_best_even_if_the_test_set_disagrees() -> None:
    record = records.record(trials=6)
    record.ranking()[-1].test = {"test/loss": 0.0, "test/accuracy": 1.0, "test/macro_f1": 1.0}
    best = record.best
    assert best is not None
    name = "The baseline" if best.baseline else f"Trial {best.trial}"
    assert f"{name} has the best val/accuracy, {best.objective:.4f}" in page(record).text


def test_standard_errors_and_the_winners_curse_are_stated_if_the_sizes_are_known() -> None:
    text = page(trials=12).text
    assert "the luckiest of 12 (the winner's curse)" in text
    accuracies = r"its accuracy is 0\.\d{4} and the baseline's is 0\.\d{4}"
    assert re.search(accuracies + r": \+\d+\.\d ± 1\.\d points\b", text)  # 1.96 sqrt(2 * 0.7 * 0.3 / 5000)
    assert "5,000 validation" in text
    older = page(trials=12, sizes={}).text
    assert "±" not in older
    assert "not recorded" in older


def test_a_warning_names_stand_in_data_and_a_test_set_that_validates() -> None:
    assert "Stand-in data" in page(trials=2, source="standin").text
    text = page(trials=2, held_out="test").text
    assert "The val/ metrics are the test set's" in text
    assert "pipelines.confirm" not in text


def test_the_pauses_between_sessions_are_not_counted_as_running() -> None:
    record = SweepRecord.of(Path("x"), records.events(trials=4)[:-1])
    later = records.BEGAN + 86_400.0
    record.add(SweepResumed("", 4, time=later))
    record.add(SweepEnded("completed", 0, time=later + 1))
    assert "in 3 min" in page(record).text


def test_a_metric_that_an_old_journal_lacks_is_a_dash() -> None:
    record = records.record(trials=3)
    for trial in record.trials.values():
        trial.test = {name: trial.test[name] for name in ("test/loss", "test/accuracy")}
    shown = page(record)
    assert "test/ balanced_accuracy" in shown.text
    assert shown.text.count("–") == 6  # macro_f1 and balanced_accuracy of three trials
    assert "nan" not in shown.text


@pytest.mark.parametrize("objective", ["val/macro_f1", "val/loss"])
def test_only_an_accuracy_has_a_standard_error(objective: str) -> None:
    record = records.record(trials=3, objective=objective)
    assert record.best is not None
    sweep = SweepSummary.of(record)
    for metric, has_error in (("val/accuracy", True), ("test/accuracy", True), ("test/balanced_accuracy", False)):
        score = sweep.score(record.best, metric)
        assert score is not None
        assert (score.error is not None) == has_error
    score = sweep.score(record.best, objective)
    assert score is not None
    assert score.error is None
    assert f"has the best {objective}" in page(record).text


def test_a_figure_that_no_template_names_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def added(sweep: SweepSummary) -> Iterator[Figure]:
        yield Figure("added", "Added by a test", f"{len(sweep.ranking)} trials", b"a png")

    def without_data(sweep: SweepSummary) -> Iterator[Figure]:
        yield from ()

    first, second, third, *_ = (section._replace(figures=()) for section in figures.SWEEP_SECTIONS)
    sections = (first._replace(figures=(without_data,)), second, third._replace(figures=(without_data, added)))
    monkeypatch.setattr(figures, "SWEEP_SECTIONS", sections)
    report = sweep_page.build(records.record(trials=2))
    shown = Page(report.html)
    assert [figure.name for figure in report.figures] == ["added"]
    assert shown.attributes("img") == [{"src": "data:image/png;base64,YSBwbmc=", "alt": "2 trials"}]
    assert shown.text.index(third.title) < shown.text.index("Added by a test") < shown.text.index("How trials ended")
    assert first.title not in shown.text  # a section without figures and introduction


def test_settings_of_the_dataset_are_shown_like_other_hyperparameters() -> None:
    entry = "{kind: Choice, values: [characters, words], default: words}"
    data = f"datasets: {{imdb: {{tokens: words, space: {{tokens: {entry}}}}}}}\n"
    record = records.record(trials=6, config=records.configuration() + data)
    for trial in record.trials.values():
        trial.values = {**trial.values, "tokens": ("words", "characters")[trial.trial % 2]}
    summary = SweepSummary.of(record)
    assert [hp.name for hp in summary.searched][-2:] == ["learning_rate", "tokens"]
    assert "tokens=characters" in page(record).text
    names = [figure.name for draw in (slices, parallel) for figure in draw(summary)]
    assert {"slice-tokens", "parallel"} <= set(names)
