"""Figures. The only place that imports matplotlib."""

from sweeps.figures.trial import loss_curves as loss_curves
