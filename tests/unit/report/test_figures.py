import importlib
import itertools
import struct
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from sweeps.report import write
from sweeps.report.figures import style
from sweeps.report.figures import trial as figures
from sweeps.trials.spec import Curves
from tests import records

# Highest on the right, where the legend nonetheless belongs.
CURVES = {"train/loss": [0.2, 0.4, 0.7, 0.9], "val/loss": [0.3, 0.5, 0.8, 1.0], "val/accuracy": [0.0] * 4}


def drawn(monkeypatch: pytest.MonkeyPatch, curves: Curves, **options: str) -> Axes:
    """The axes of the figure that would have been written."""
    written: list[Figure] = []
    with monkeypatch.context() as patched:
        patched.setattr(figures.Figure, "savefig", lambda figure, *_, **__: written.append(figure))
        figures.LossCurves(**options).write(curves, "the title", Path("x.png"))
    (figure,) = written
    (axes,) = figure.axes
    figure.draw_without_rendering()
    return axes


def line_named(axes: Axes, name: str) -> Any:
    (line,) = [line for line in axes.get_lines() if line.get_label() == name]
    return line


def test_a_png_of_the_expected_size_is_written(tmp_path: Path) -> None:
    figures.LossCurves().write(CURVES, "title", tmp_path / "loss.png")
    content = (tmp_path / "loss.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (768, 504)
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]


def test_the_held_out_loss_is_red_the_train_loss_blue_and_both_are_dotted(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn(monkeypatch, CURVES)
    assert len(axes.get_lines()) == 2
    for label, color, curve in (("validation loss", "red", "val/loss"), ("train loss", "blue", "train/loss")):
        line = line_named(axes, label)
        assert same_color(line.get_color(), color)
        assert line.get_linestyle() == ":"
        assert list(line.get_xdata()) == [1, 2, 3, 4]
        assert list(line.get_ydata()) == CURVES[curve]


def test_axes_are_labelled_and_have_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn(monkeypatch, CURVES)
    assert axes.get_xlabel() == "epoch"
    assert "loss" in axes.get_ylabel()
    assert axes.get_title() == "the title"
    assert all(line.get_visible() for line in (*axes.get_xgridlines(), *axes.get_ygridlines()))
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_the_legend_in_the_upper_right_names_what_is_held_out(held_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn(monkeypatch, CURVES, held_out=held_out)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"{held_out} loss", "train loss"]
    box, whole = legend.get_window_extent(), axes.get_window_extent()
    assert box.x0 > (whole.x0 + whole.x1) / 2
    assert box.y0 > (whole.y0 + whole.y1) / 2


def test_one_epoch_is_a_curve_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {"train/loss": [0.7], "val/loss": [0.6]}
    axes = drawn(monkeypatch, curves)
    line = line_named(axes, "validation loss")
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1], [0.6])
    assert line.get_marker() == "."  # a line of one point would not be seen
    figures.LossCurves().write(curves, "title", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_a_figure_shows_nothing_of_the_trial_before(tmp_path: Path) -> None:
    """Neither curve nor limit, legend or title: to the last byte it is what a new figure would be."""
    falling = [4 / epoch for epoch in range(1, 61)]
    trials: list[Curves] = [
        {"train/loss": falling, "val/loss": falling[::-1]},
        {"train/loss": [0.7], "val/loss": [0.6]},
        {"train/loss": [0.7, 0.7], "val/loss": [0.7, 0.7]},
        {"train/loss": falling[:10]},  # a confirmation's
        CURVES,
    ]
    kept = figures.LossCurves()
    for number, curves in enumerate(trials):
        kept.write(curves, f"trial {number}", tmp_path / "kept.png")
        figures.LossCurves().write(curves, f"trial {number}", tmp_path / "new.png")
        assert (tmp_path / "kept.png").read_bytes() == (tmp_path / "new.png").read_bytes(), number


def test_what_a_confirmation_does_not_hold_out_is_not_in_the_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    legend = drawn(monkeypatch, {"train/loss": [0.7, 0.6]}).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train loss"]


def test_pyplot_and_its_windows_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    importlib.reload(figures).LossCurves().write(CURVES, "title", tmp_path / "loss.png")
    assert "matplotlib.pyplot" not in sys.modules


@pytest.fixture
def every_figure(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """All that the report of a large sweep, with names that are not English, would write."""
    drawn: list[Figure] = []
    monkeypatch.setattr(style, "png", lambda figure: drawn.append(figure) or b"")
    space = records.many_hyperparameters(5)
    by_first = {"accuracy": lambda values, rng: 0.6 + float(values["hyperparameter_0"]) / 5 + rng.gauss(0, 0.001)}
    made = write.of(records.record(trials=40, space=space, model="한국어 모델", **by_first)).figures
    for figure in drawn:
        figure.draw_without_rendering()  # a missing glyph warns, and warnings are errors
    return {each.name: figure for each, figure in zip(made, drawn, strict=True)}


def test_every_axis_of_a_report_has_its_unit(every_figure: dict[str, Figure]) -> None:
    assert {"parallel", "importance", "best-by-time", "cost-parameters", "slice-hyperparameter_2"} <= set(every_figure)
    for name, figure in every_figure.items():
        (axes,) = figure.axes
        assert axes.get_xlabel(), name
        if name not in ("parallel", "importance"):  # there rows are named
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


def test_marks_differ_in_more_than_colour() -> None:
    kinds = (style.BEST, style.BASELINE, style.TRIAL)
    assert len({kind["marker"] for kind in kinds}) == len({kind["color"] for kind in kinds}) == 3
