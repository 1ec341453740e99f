import itertools
import random

import pytest
from matplotlib.figure import Figure

from conf.schema import Value
from sweeps.analysis import importance
from sweeps.report import write
from sweeps.report.figures import outcomes, style
from sweeps.report.html import Report
from tests import records


def by_first(values: dict[str, Value], rng: random.Random) -> float:
    return 0.6 + float(values["hyperparameter_0"]) / 5 + rng.gauss(0, 0.001)


@pytest.fixture(scope="module")
def every_figure() -> dict[str, Figure]:
    """All figures in the report of a large sweep whose names are not English."""
    drawn: list[Figure] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(style, "png", lambda figure: drawn.append(figure) or b"")
        patched.setattr(importance, "RESAMPLES", 2)
        space = records.many_hyperparameters(4)
        report = write.build(records.record(trials=24, space=space, model="한국어 모델", accuracy=by_first))
    for figure in drawn:
        figure.draw_without_rendering()  # a missing glyph warns, and warnings are errors
    return {figure.name: canvas for figure, canvas in zip(report.figures, drawn, strict=True)}


def names(report: Report) -> list[str]:
    return [figure.name for figure in report.figures]


def test_the_figures_stand_in_the_order_of_their_sections(every_figure: dict[str, Figure]) -> None:
    slices = [*(f"slice-hyperparameter_{number}" for number in range(4)), "slice-learning_rate"]
    assert list(every_figure) == [
        "best-by-trial", "best-by-time",
        "parallel", "importance", *slices,
        "val-loss", "train-loss", "validation-test", "cost-seconds", "cost-parameters",
    ]  # fmt: skip


def test_every_axis_of_a_report_has_its_unit(every_figure: dict[str, Figure]) -> None:
    for name, figure in every_figure.items():
        (axes,) = figure.axes
        assert axes.get_xlabel(), name
        if name not in ("parallel", "importance"):  # their rows have names
            assert "(" in axes.get_xlabel() or axes.get_xlabel() == "epoch", name
            assert "(" in axes.get_ylabel(), name


def test_nothing_overlaps_in_a_report(every_figure: dict[str, Figure]) -> None:
    for name, figure in every_figure.items():
        (axes,) = figure.axes
        for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            shown = [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
            boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: getattr(box, f"{side}0"))
            for before, after in itertools.pairwise(boxes):
                assert getattr(before, f"{side}1") <= getattr(after, f"{side}0") + 1, (name, side)
        legend = axes.get_legend()
        if legend is not None:
            assert legend.get_window_extent().y0 >= axes.get_window_extent().y1 - 1, name
            assert legend.get_window_extent().x1 <= figure.bbox.x1, name


def test_figures_without_data_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "png", lambda figure: b"")
    one = names(write.build(records.record(trials=1)))
    assert {"val-loss", "best-by-trial", "slice-lstm_units", "validation-test"} <= set(one)
    assert not {"parallel", "importance"} & set(one)
    assert names(write.build(records.record(trials=5, failing=lambda trial: True))) == []


@pytest.mark.parametrize(("objective", "unit"), [("val/loss", "cross-entropy, nats"), ("val/macro_f1", "mean F1")])
def test_the_best_so_far_never_gets_worse_whatever_the_objective(
    objective: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(style, "png", lambda figure: drawn.append(figure) or b"")
    write.build(records.record(trials=8, objective=objective))
    (axes,) = drawn[0].axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == "best so far"]
    best = [float(value) for value in line.get_ydata()]  # type: ignore[union-attr]
    assert best == sorted(best, reverse=objective == "val/loss")
    assert unit in axes.get_ylabel()


def test_the_pareto_front_is_what_nothing_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (3.0, 0.7), (4.0, 0.9)]
    assert outcomes.pareto(points) == [(1.0, 0.5), (2.0, 0.7), (4.0, 0.9)]


def test_marks_differ_in_more_than_colour() -> None:
    kinds = (style.BEST, style.BASELINE, style.TRIAL)
    assert len({kind["marker"] for kind in kinds}) == len({kind["color"] for kind in kinds}) == 3
