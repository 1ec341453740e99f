"""The figures of a dataset: numbers on their axes, and nothing for a sweep whose data were not audited."""

from __future__ import annotations

import pytest

from sweeps.analysis.summary import SweepSummary
from sweeps.report.figures import data
from tests import records
from tests.unit.analysis.test_data_findings import example


@pytest.mark.parametrize("draw", [data.lengths, data.labels])
def test_axes_have_numbers_and_no_formulas(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(data.style, "png", lambda figure: drawn.append(figure) or b"")
    lengths = (25, 28, 32, 34, 36, 37, 38)  # less than a decade, in which Matplotlib would label minor ticks
    audit = example(of_label={"train": (5000, 3), "test": (900, 1)}, lengths=lengths, maxlen=40).as_dict()
    (figure,) = draw(SweepSummary.of(records.record(trials=1, audit=audit)))
    drawn[0].draw_without_rendering()
    labels = [label.get_text() for label in drawn[0].axes[0].get_xticklabels(which="both")]
    assert any(label.replace(",", "").isdecimal() for label in labels)
    assert not any("$" in label for label in labels)
    assert figure.alt


@pytest.mark.parametrize("draw", [data.lengths, data.labels])
def test_a_sweep_of_an_earlier_version_has_no_figure_of_its_data(draw) -> None:
    assert list(draw(SweepSummary.of(records.record(trials=1)))) == []
