import importlib
import struct
import sys
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from sweeps.report.figures import trial as figures
from sweeps.trials.spec import Curves

# The curves are highest on the right, where the legend belongs all the same.
CURVES = {"train/loss": [0.2, 0.4, 0.7, 0.9], "val/loss": [0.3, 0.5, 0.8, 1.0], "val/accuracy": [0.0] * 4}


def drawn(monkeypatch: pytest.MonkeyPatch, curves: Curves, **options: str) -> Axes:
    """The axes of the figure whose PNG would have been returned."""
    written: list[Figure] = []
    with monkeypatch.context() as patched:
        patched.setattr(figures.Figure, "savefig", lambda figure, *_, **__: written.append(figure))
        figures.LossCurves(**options).png(curves, "the title")
    (figure,) = written
    (axes,) = figure.axes
    figure.draw_without_rendering()
    return axes


def line_named(axes: Axes, name: str) -> Any:
    (line,) = [line for line in axes.get_lines() if line.get_label() == name]
    return line


def test_the_png_has_the_expected_size() -> None:
    content = figures.LossCurves().png(CURVES, "title")
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (768, 504)


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


def test_one_epoch_is_a_curve_too(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {"train/loss": [0.7], "val/loss": [0.6]}
    axes = drawn(monkeypatch, curves)
    line = line_named(axes, "validation loss")
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1], [0.6])
    assert line.get_marker() == "."  # a line of one point would be invisible
    assert figures.LossCurves().png(curves, "title")


def test_a_figure_shows_nothing_of_the_trial_before() -> None:
    """No curve, limit, legend or title is left: to the last byte it is what a new figure would be."""
    falling = [4 / epoch for epoch in range(1, 61)]
    trials: list[Curves] = [
        {"train/loss": falling, "val/loss": falling[::-1]},
        {"train/loss": [0.7], "val/loss": [0.6]},
        {"train/loss": [0.7, 0.7], "val/loss": [0.7, 0.7]},
        {"train/loss": falling[:10]},  # a confirmation's
        CURVES,
    ]
    shared = figures.LossCurves()
    for number, curves in enumerate(trials):
        title = f"trial {number}"
        assert shared.png(curves, title) == figures.LossCurves().png(curves, title), number


def test_without_held_out_data_the_legend_has_the_train_loss_only(monkeypatch: pytest.MonkeyPatch) -> None:
    legend = drawn(monkeypatch, {"train/loss": [0.7, 0.6]}).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train loss"]


def test_pyplot_and_its_windows_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    assert importlib.reload(figures).LossCurves().png(CURVES, "title")
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("title", [r"$\frac$", "$x$ 5", r"\alpha_{1", "_hidden"])
def test_a_title_is_no_formula(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "text.parse_math", True)
    assert figures.LossCurves().png(CURVES, title).startswith(b"\x89PNG")
    assert not drawn(monkeypatch, CURVES).title.get_parse_math()
