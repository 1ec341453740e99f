"""The first build of each sweep's model, before anything is recorded: a wrong builder would fail every trial."""

from __future__ import annotations

from collections.abc import Sequence

from conf.schema import ConfigError
from sweeps.plan import Plan
from sweeps.trials.engine import OUT_OF_MEMORY, Engine, Failed

CHECK = "sweeps.trials.building.check"
ATTEMPTS = 3  # at a build whose worker dies


def check(plans: Sequence[Plan], engine: Engine) -> None:
    """Build each network of each plan with its defaults on a worker; raises `ConfigError` if that fails.

    A worker that dies again and again says nothing about the model, unless for want of memory: its trial will be tried,
    and recorded.
    """
    models = [(plan, space.defaults()) for plan in plans for space in plan.space.of_each]
    for number, (plan, values) in enumerate(models):
        engine.submit(CHECK, plan.spec(number, values, 0, 1))
    failures = []
    while engine.busy:
        message = engine.next(1)
        if not isinstance(message, Failed):
            continue
        if message.host or (message.lost and message.spec.attempt < ATTEMPTS):
            engine.submit(CHECK, message.spec._replace(attempt=message.spec.attempt + (not message.host)))
        elif not message.lost or message.reason.startswith(OUT_OF_MEMORY):
            failures.append(message)
    if failures:
        spec, reason = failures[0].spec, failures[0].reason
        assignments = ", ".join(f"{name}={value}" for name, value in spec.values.items())
        raise ConfigError(
            f"{models[spec.trial][0].dataset}: the model with the defaults ({assignments}) fails: {reason}"
        )
