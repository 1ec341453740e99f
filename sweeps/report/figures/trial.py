"""The figure of one trial."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sweeps.trials.spec import Curves

DPI = 120


class LossCurves:
    """Loss per epoch as in the article: held-out loss in red, train loss in blue, both dotted.

    One figure for all trials of a sweep: with a new one for each, they take half as long again.
    """

    def __init__(self, held_out: str = "validation") -> None:
        self._figure = Figure(figsize=(6.4, 4.2))
        # Fixed margins that hold every label: to measure them ("constrained") takes as long as to draw.
        self._axes = self._figure.add_axes((0.12, 0.13, 0.85, 0.78))
        self._lines = {
            "val/loss": self._line("red", f"{held_out} loss"),
            "train/loss": self._line("blue", "train loss"),
        }
        self._axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        self._axes.set(xlabel="epoch", ylabel="loss (cross-entropy, nats)")
        self._axes.grid(visible=True)

    def write(self, curves: Curves, title: str, path: Path) -> None:
        """A PNG of these curves, those that there are: a confirmation holds nothing out."""
        drawn = [line for name, line in self._lines.items() if self._set(line, curves.get(name, []))]
        self._axes.relim()
        self._axes.autoscale()
        low, high = self._axes.get_ylim()
        self._axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend above a loss that rises
        self._axes.legend(handles=drawn, loc="upper right")
        self._axes.set_title(title, y=1.0)  # without y, room for ticks above is looked for at every drawing
        # The least compression is a third faster, and a tenth larger.
        self._figure.savefig(path, dpi=DPI, pil_kwargs={"compress_level": 1})

    def _line(self, color: str, label: str) -> Line2D:
        (line,) = self._axes.plot([], [], ".", color=color, linestyle=":", label=label)
        return line

    @staticmethod
    def _set(line: Line2D, curve: list[float]) -> bool:
        """Returns whether there is anything to be seen."""
        line.set_data(range(1, len(curve) + 1), curve)
        return bool(curve)
