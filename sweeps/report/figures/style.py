"""The style of all figures: size, fonts, colours, and how a figure becomes a PNG.

Colours are those of Okabe and Ito (Color Universal Design, 2008), which the colour-blind can tell apart; each also has
a marker or a line of its own. A figure is as wide as half a printed page, so that it is read at its own size.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

DPI = 160
WIDTH, HEIGHT = 4.8, 3.3  # inches
BLUE, ORANGE, GREEN, VERMILION, GREY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8A8A8A", "#000000"
# The first font that has a letter draws it; the last one has a box for every letter there is.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK KR",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "NanumGothic",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
    "Last Resort High-Efficiency",
)
BEST: dict[str, Any] = {"color": VERMILION, "marker": "*", "markersize": 12, "linestyle": "none"}
BASELINE: dict[str, Any] = {"color": BLACK, "marker": "D", "markersize": 6, "linestyle": "none"}
TRIAL: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 4, "linestyle": "none", "alpha": 0.6}


def canvas(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Make an empty figure with a grid."""
    _prepare()
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


@cache
def _prepare() -> None:
    """Set what matplotlib looks up whenever it makes a text; the settings hold for all figures of this process."""
    # A dollar sign in a name does not begin a formula.
    matplotlib.rcParams.update({"font.family": _families(), "font.size": 9, "text.parse_math": False})


def _families() -> list[str]:
    """The installed ones of `FONTS`; matplotlib's own list lacks fonts that were installed after it was made."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    if not installed & set(FONTS[1:-1]):
        for path in font_manager.findSystemFonts():
            if Path(path).name.startswith(("NotoSansCJK-Regular", "NotoSansCJKkr-Regular", "NanumGothic.")):
                font_manager.fontManager.addfont(path)
        installed = {font.name for font in font_manager.fontManager.ttflist}
    return [font for font in FONTS if font in installed]


def legend(axes: Axes) -> None:
    """Draw the legend above the axes, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8,
                    borderaxespad=0.2, handletextpad=0.4, columnspacing=1.2)  # fmt: skip


def png(figure: Figure) -> bytes:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=DPI)
        return file.getvalue()


def logarithmic(axis: Axis) -> None:
    """Set ticks at 1, 2 and 5 of each decade, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    plain(axis)


def whole(axis: Axis, last: int) -> None:
    """Set ticks at whole numbers from 1 to the last one only, even if that is the first."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    margin = max(0.5, 0.02 * last)
    axis.set_view_interval(0.5, last + margin, ignore=True)


def plain(axis: Axis) -> None:
    """Write numbers in full, without a power of ten at the end of the axis."""
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}")
