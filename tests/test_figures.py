import importlib
import struct
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from sweeps.figures import trial as figures
from sweeps.spec import Curves

# Highest on the right, where the legend nonetheless belongs.
CURVES = {"train/loss": [0.2, 0.4, 0.7, 0.9], "val/loss": [0.3, 0.5, 0.8, 1.0], "val/accuracy": [0.0] * 4}


def drawn(monkeypatch: pytest.MonkeyPatch, curves: Curves, **options: str) -> Axes:
    """The axes of the figure that would have been written."""
    written: list[Figure] = []
    with monkeypatch.context() as patched:
        patched.setattr(figures.Figure, "savefig", lambda figure, *_, **__: written.append(figure))
        figures.loss_curves(curves, "the title", Path("x.png"), **options)
    (figure,) = written
    (axes,) = figure.axes
    figure.draw_without_rendering()
    return axes


def line_named(axes: Axes, name: str) -> Any:
    (line,) = [line for line in axes.get_lines() if line.get_label() == name]
    return line


def test_a_png_of_the_expected_size_is_written(tmp_path: Path) -> None:
    figures.loss_curves(CURVES, "title", tmp_path / "loss.png")
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
    line = line_named(drawn(monkeypatch, curves), "validation loss")
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1], [0.6])
    assert line.get_marker() == "."  # a line of one point would not be seen
    figures.loss_curves(curves, "title", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_pyplot_and_its_windows_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    importlib.reload(figures).loss_curves(CURVES, "title", tmp_path / "loss.png")
    assert "matplotlib.pyplot" not in sys.modules
