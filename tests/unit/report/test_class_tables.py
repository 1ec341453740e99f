import itertools

import pytest
from matplotlib.figure import Figure

from sweeps.report import sweep_page, write
from sweeps.report.figures import classes as figures
from sweeps.report.figures import style
from tests import answered, records
from tests.pages import Page

TOPICS = [f"주제 {number} with a long name" for number in range(46)]


def page(labels: list[str], cells: answered.Cells) -> Page:
    return Page(sweep_page.build(answered.record(records.events(trials=1), labels, {0: cells})).html)


@pytest.mark.usefixtures("no_figures")
def test_two_labels_are_a_table_without_a_list_of_confusions() -> None:
    shown = page(["negative", "positive"], [[0, 0, 900], [0, 1, 100], [1, 1, 1000]])
    for row in ("negative1,0001.0000.9000.947", "positive1,0000.9091.0000.952"):
        assert row in "".join(shown.text.split())
    assert "confusions" not in shown.text


@pytest.mark.usefixtures("no_figures")
def test_many_labels_are_folded_and_the_most_frequent_confusions_named() -> None:
    shown = page(TOPICS, answered.drawn(46))
    assert "all 46 labels" in shown.text
    assert shown.text.count(" taken for ") == 10
    assert all(name in shown.text for name in TOPICS)


@pytest.mark.usefixtures("no_figures")
def test_names_are_text_and_what_was_not_recorded_is_said() -> None:
    shown = page(["<script>", "a&b"], [[0, 1, 3], [1, 1, 1]])
    assert len(shown.attributes("script")) == 1  # the page's own
    assert "<script>" in shown.text
    assert "not recorded label by label" in Page(sweep_page.build(records.record(trials=1)).html).text


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    found: list[Figure] = []
    monkeypatch.setattr(style, "png", lambda figure: found.append(figure) or b"")
    return found


def matrix(drawn: list[Figure], labels: list[str], cells: answered.Cells) -> Figure:
    write.build(answered.record(records.events(trials=1), labels, {0: cells}))
    (figure,) = [each for each in drawn if each.axes[0].get_xlabel() == "answer"]
    figure.draw_without_rendering()  # a missing glyph warns, and warnings are errors
    return figure


def test_the_matrix_of_few_labels_has_numbers(drawn: list[Figure]) -> None:
    axes = matrix(drawn, ["a", "b"], [[0, 0, 900], [0, 1, 100], [1, 1, 1000]]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["900", "100", "0", "1,000"]


def test_the_matrix_of_many_labels_has_the_most_frequent_ones_and_names_that_do_not_overlap(
    drawn: list[Figure],
) -> None:
    axes = matrix(drawn, TOPICS, answered.drawn(46)).axes[0]
    assert not axes.texts
    names = axes.get_yticklabels()
    assert len(names) == figures.DRAWN < len(TOPICS)
    boxes = [name.get_window_extent() for name in reversed(names)]
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in itertools.pairwise(boxes))
