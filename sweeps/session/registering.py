"""The registration of a model by a worker, which has TensorFlow loaded: the driver needs it for nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from conf import secrets
from sweeps.journal import SweepRecord
from sweeps.terminal.console import Lines, prepare_streams

if TYPE_CHECKING:
    from sweeps.plan import Plan
    from sweeps.tracking.registration import Candidate, Version
    from sweeps.trials.engine import Caller

PREPARE, REGISTER = f"{__name__}.prepare", f"{__name__}.register"


def expect(plans: Iterable[Plan], engine: Caller) -> None:
    """Let an idle worker import what registers a model, where one of the sweeps may have one to register."""
    if any(plan.source == "archive" for plan in plans):
        engine.call_when_idle(PREPARE)


def prepare() -> None:
    """Import all that registers a model, in a worker's process."""
    import_module("sweeps.tracking.registration")


def register(uri: str, record: SweepRecord, candidate: Candidate) -> Version:
    """Register a model as `sweeps.tracking.registration` does, in a worker's process, whose output is the command's."""
    from sweeps.tracking import registration

    secrets.hide_in_output()
    secrets.remember(uri)
    prepare_streams()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Lines())
    return registration.register(uri, record, candidate)
