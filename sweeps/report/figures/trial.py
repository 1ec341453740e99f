"""The figure of one trial, which is stored with its run in MLflow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sweeps.metrics import axis_label

DPI = 120


class LossCurves:
    """The loss per epoch as in the article: held-out loss in red, train loss in blue, both dotted.

    All trials of a sweep share one figure: with a new one for each, drawing takes 1.5 times as long.
    """

    def __init__(self, held_out: str = "validation") -> None:
        self._figure = Figure(figsize=(6.4, 4.2))
        # Fixed margins have room for every label; measuring them ("constrained") would take as long as drawing.
        self._axes = self._figure.add_axes((0.12, 0.13, 0.85, 0.78))
        self._lines = {
            "val/loss": self._line("red", f"{held_out} loss"),
            "train/loss": self._line("blue", "train loss"),
        }
        self._axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        self._axes.set(xlabel="epoch", ylabel=axis_label("loss"))
        self._axes.grid(visible=True)

    def png(self, curves: Mapping[str, Sequence[float]], title: str) -> bytes:
        """Draw the curves `val/loss` and `train/loss`, as far as they exist: a confirmation has no held-out loss."""
        drawn = [line for name, line in self._lines.items() if self._set(line, curves.get(name, []))]
        self._axes.relim()
        self._axes.autoscale()
        low, high = self._axes.get_ylim()
        self._axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend above a loss that rises
        self._axes.legend(handles=drawn, loc="upper right")
        # Without `y`, matplotlib looks for room above the ticks at every drawing.
        self._axes.set_title(title, y=1.0, parse_math=False)
        with io.BytesIO() as file:
            # The least compression is a third faster, and its files are a tenth larger.
            self._figure.savefig(file, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
            return file.getvalue()

    def _line(self, color: str, label: str) -> Line2D:
        (line,) = self._axes.plot([], [], ".", color=color, linestyle=":", label=label)
        return line

    @staticmethod
    def _set(line: Line2D, curve: Sequence[float]) -> bool:
        """Set the curve of a line; return whether there is anything to see."""
        line.set_data(range(1, len(curve) + 1), curve)
        return bool(curve)
