"""The data of a spec, and whatever else it names, on a worker."""

from __future__ import annotations

import importlib
from typing import Any

from sweeps.errors import HostFailedError
from sweeps.trials.spec import Dataset, TrialSpec


def named(target: str) -> Any:
    """Import what a dotted name stands for."""
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def load(spec: TrialSpec) -> Dataset:
    """Return the data of a spec; raises `HostFailedError` if they are not the driver's."""
    data: Dataset = named(spec.load)(**spec.data)
    if data.digest != spec.digest:
        raise HostFailedError(f"the worker's data differ from the driver's: {data.digest}, not {spec.digest}")
    return data
