"""The first build of each sweep's model, before anything is recorded: a wrong builder would fail every trial."""

from __future__ import annotations

from collections.abc import Sequence

from conf.schema import ConfigError
from sweeps.plan import Plan
from sweeps.trials.engine import Engine, Failed

CHECK = "sweeps.trials.building.check"


def check(plans: Sequence[Plan], engine: Engine) -> None:
    """Build the baseline of each plan on a worker; raises `ConfigError` if that fails.

    A worker that dies says nothing about the model: its trial will be tried again, and recorded.
    """
    for number, plan in enumerate(plans):
        engine.submit(CHECK, plan.spec(number, plan.space.defaults(), 0, 1))
    failures = []
    while engine.busy:
        message = engine.next(1)
        if isinstance(message, Failed) and not message.lost:
            failures.append(message)
    if failures:
        spec, reason = failures[0].spec, failures[0].reason
        values = ", ".join(f"{name}={value}" for name, value in spec.values.items())
        raise ConfigError(f"{plans[spec.trial].dataset}: the model with the defaults ({values}) fails: {reason}")
