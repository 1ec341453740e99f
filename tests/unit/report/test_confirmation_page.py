import re
from dataclasses import replace
from pathlib import Path

from sweeps.analysis import against_reference
from sweeps.report import write
from tests import answered, confirmations, records
from tests.pages import Page


def test_the_page_says_in_plain_words_whether_the_gain_holds(tmp_path: Path) -> None:
    report = write.build(confirmations.record(tmp_path, {3: 0.03}, failed=(4,)))
    text = Page(report.html).text
    assert re.search(r"Trial 3: better than the baseline by (2\.\d|3\.\d) ± 0\.\d points\.", text)
    assert "The winner's curse: trial 3 led the baseline by +6.0 points" in text
    assert "Confirmed: trial 3" in text
    assert "trial 3 with seed 101: diverged" in text
    assert "14 of 15 trials completed; completed (all trials)" in text
    assert [figure.name for figure in report.figures] == ["confirmed"]


def test_every_configuration_stands_beside_the_linear_model_where_that_was_trained(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03}, shuffled=-0.2)
    assert "over the linear model" not in Page(write.build(record).html).text
    record.add(replace(records.reference("svm", 0.7), final={"test/accuracy": 0.81}))
    leads = against_reference.leads(record, against_reference.of(record))
    report = write.build(record)
    page = report.html
    assert report.figures[0].alt.endswith("linear model (TF-IDF with a linear SVM, C=0.3): 0.8100")
    assert b'"TF-IDF with a linear SVM, C=0.3",,0.81,,' in report.figures[0].csv
    assert re.search(r"over the linear model, over seeds \(points\)", page)
    shown = re.findall(r'"over linear, seeds">(?!–)([^<]*)<', page)
    measured = [f"{100 * leads[n].mean:+.1f} ± {100 * leads[n].half_width:.1f}" for n in (3, 5, 0)]
    assert shown == [*measured, ""]  # words in another order are no model's to exceed


def test_the_page_names_the_metric_by_which_the_search_chose(tmp_path: Path) -> None:
    report = write.build(confirmations.record(tmp_path, {3: 0.03}, compared_by="test/macro_f1"))
    assert "All points are hundredths of test/macro_f1" in Page(report.html).text
    assert re.search(r"<th[^>]*>search’s val/macro_f1</th><th[^>]*>test/macro_f1</th>", report.html)
    assert "accuracy" not in Page(report.html).text
    (figure,) = report.figures
    assert figure.title == "test/macro_f1, mean and 95 % interval"


def test_the_labels_are_those_of_the_searchs_choice_as_means_over_its_seeds(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03}, seeds=2)
    assert "not recorded label by label" in Page(write.build(record).html).text
    record.started = replace(record.started, audit=answered.audit(("spam", "ham")).as_dict())
    for trial in record.trials.values():
        trial.confusion = [[0, 1, 6], [1, 1, 3]] if trial.origin == 3 else [[0, 0, 6], [1, 1, 3]]
    report = write.build(record)
    text = Page(report.html).text
    assert "The answers of trial 3 to the test set, means of 2 seeds." in text
    assert "spam60.0000.0000.000" in "".join(text.split())
    assert [figure.name for figure in report.figures] == ["confirmed", "confusion"]


def test_a_confirmation_of_which_nothing_completed_has_a_page_without_numbers(tmp_path: Path) -> None:
    report = write.build(confirmations.record(tmp_path, {}, seeds=1, failed=(0, 1, 2)))
    text = Page(report.html).text
    assert "nothing can be said" in text
    assert "nan" not in text
    assert report.figures == ()
