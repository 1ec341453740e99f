"""Sweeps from Python: in a notebook, or in a script.

    from text_sweeps import sweep, load

    results = sweep("model=lstm", "data=reviews.csv", trials=12)
    results.trials       # a data frame with a row for each trial
    results.model()      # the best one, for Keras

docs/python.md has all of it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

for _package in ("conf", "models", "pipelines", "sweeps"):  # these names are not rare
    _found = find_spec(_package)
    if _found is None or Path(str(_found.origin)).parent.parent != Path(__file__).parent.parent:
        raise ImportError(f"{_found and _found.origin}: hides the {_package} of text-sweeps; rename or move it")

from conf.schema import ConfigError  # noqa: E402
from sweeps.errors import SweepError  # noqa: E402
from text_sweeps.results import Results, load  # noqa: E402
from text_sweeps.running import sweep  # noqa: E402

__all__ = ["ConfigError", "Results", "SweepError", "load", "sweep"]
