"""Figures. The only place that imports matplotlib."""

from sweeps.report.figures.trial import LossCurves as LossCurves
