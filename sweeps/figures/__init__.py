"""Figures. The only place that imports matplotlib."""

from sweeps.figures.trial import LossCurves as LossCurves
