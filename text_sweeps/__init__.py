"""Sweeps from Python: in a notebook, or in a script.

    from text_sweeps import sweep, load

    results = sweep("model=lstm", "data=reviews.csv", trials=12)
    results.trials       # a data frame with a row for each trial
    results.model()      # the best one, for Keras

docs/python.md has all of it.
"""

from __future__ import annotations

from conf.schema import ConfigError
from sweeps.errors import SweepError
from text_sweeps.results import Results, load
from text_sweeps.running import sweep

__all__ = ["ConfigError", "Results", "SweepError", "load", "sweep"]
