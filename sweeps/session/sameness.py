"""Checks of a recorded sweep, before it goes on or is repeated: it must be the same one, on the same data."""

from __future__ import annotations

from collections.abc import Sequence

from conf import stored
from conf.schema import ConfigError
from sweeps import environment, invocation
from sweeps.journal import Event, SweepStarted
from sweeps.plan import Plan


def refuse_another_sweep(plan: Plan, started: SweepStarted) -> None:
    """Raise `ConfigError` if the sweep that is to be resumed would not be the same one."""
    directory = plan.directory.parent
    if started.confirms:
        raise ConfigError(
            f"resume={directory}: this is a confirmation; to resume it: {invocation.resume(directory, confirms=True)}"
        )
    stored.refuse_changes(directory, started.config, plan.yaml)
    refuse_other_data(plan.dataset, plan.digest, started.digest, str(directory))
    before, now = started.environment.versions.get("keras-tuner"), environment.versions().get("keras-tuner")
    if before != now:
        raise ConfigError(
            f"keras-tuner={now}: {directory} was started with keras-tuner={before}, "
            "and another version may propose other trials; install that one, or start a new sweep"
        )


def refuse_other_data(dataset: str, now: str, before: str, owner: str) -> None:
    """Raise `ConfigError` unless the data have `now` the digest that they had when `owner` trained on them."""
    if now != before:
        raise ConfigError(
            f"datasets.{dataset}: the digest of the data is {now}, {owner} was started with {before}; "
            "give it the same data"
        )


def first_event(past: Sequence[Event]) -> SweepStarted:
    """Return the event that a journal begins with."""
    assert isinstance(past[0], SweepStarted)
    return past[0]
