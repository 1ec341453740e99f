"""The figure of one trial."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweeps.spec import Curves

DPI = 120


def loss_curves(curves: Curves, title: str, path: Path, *, held_out: str = "validation") -> None:
    """Loss per epoch as in the article: held-out loss in red, train loss in blue, both dotted. Writes a PNG."""
    # Fixed margins that hold every label: to measure them ("constrained") takes as long as to draw.
    figure = Figure(figsize=(6.4, 4.2))
    axes = figure.add_axes((0.12, 0.13, 0.85, 0.78))
    for name, color, label in (("val/loss", "red", f"{held_out} loss"), ("train/loss", "blue", "train loss")):
        curve = curves.get(name, [])
        if not curve:  # a confirmation holds nothing out
            continue
        axes.plot(range(1, len(curve) + 1), curve, ".", color=color, linestyle=":", label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="loss (cross-entropy, nats)", title=title)
    axes.grid(visible=True)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend above a loss that rises
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=DPI)
