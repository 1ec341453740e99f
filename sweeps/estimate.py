"""The cost of a sweep, measured before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conf.schema import Config, ConfigError, Value, Values
from sweeps.plan import Plan
from sweeps.search.oracle import Oracle
from sweeps.search.space import Space
from sweeps.trials.engine import Engine, Failed, Finished
from sweeps.trials.spec import Timing

MEASURE = "sweeps.trials.training.measure"


class Estimate(NamedTuple):
    """The expected cost of a sweep none of whose trials ends early."""

    trials: int
    epochs: int  # of all trials together
    # Of the smallest, the default and the largest model; of several networks, of each.
    sizes: dict[str, tuple[dict[str, Value], Timing]]
    seconds: float  # for all trials, on the workers there are


def estimates(plans: Sequence[Plan], engine: Engine) -> list[Estimate]:
    """Build and time the smallest, the default and the largest model of each plan on the engine's workers.

    Raises `ConfigError` if one of them cannot be built or trained.
    """
    workers = max(1, engine.free)
    models = [(plan, size, values) for plan in plans for size, values in _sizes(plan.space).items()]
    for number, (plan, _, values) in enumerate(models):
        engine.submit(MEASURE, plan.spec(number, values, 0, 1))
    timings: dict[int, Timing] = {}
    while engine.busy:
        message = engine.next(1)
        if isinstance(message, Failed):
            plan, size, values = models[message.spec.trial]
            assignments = ", ".join(f"{name}={value}" for name, value in values.items())
            raise ConfigError(f"{_key(plan, values)}: the {size} model ({assignments}): {message.reason}")
        if isinstance(message, Finished):
            timings[message.spec.trial] = message.result
    return [
        _estimate(
            plan,
            {size: (values, timings[number]) for number, (owner, size, values) in enumerate(models) if owner is plan},
            workers,
        )
        for plan in plans
    ]


def _sizes(space: Space) -> dict[str, dict[str, Value]]:
    if space.networks:
        return {
            f"{name} {size}": values for name, own in space.networks.items() for size, values in _sizes(own).items()
        }
    return {"smallest": space.smallest(), "default": space.defaults(), "largest": space.largest()}


def _key(plan: Plan, values: Values) -> str:
    network = plan.config.network(values)
    return next(f"{section}.space" for section, each in plan.config.models.items() if each is network)


def _estimate(plan: Plan, sizes: dict[str, tuple[dict[str, Value], Timing]], workers: int) -> Estimate:
    trials, epochs = planned(plan.config, plan.space)
    per_epoch = sum(timing.seconds_per_epoch for _, timing in sizes.values()) / len(sizes)
    besides = sum(timing.seconds_besides for _, timing in sizes.values()) / len(sizes)
    return Estimate(trials, epochs, sizes, (epochs * per_epoch + trials * besides) / min(workers, trials))


def planned(config: Config, space: Space) -> tuple[int, int]:
    """Count the trials and the epochs that the tuner would run: ask it until it ends, with every objective the same."""
    oracle = Oracle(config, space)
    trials, epochs = set(), 0
    while (proposal := oracle.ask()) is not None:
        trials.add(proposal.trial)
        epochs += proposal.epochs - proposal.initial_epoch
        oracle.tell(proposal.trial, 0.0)
    return len(trials), epochs
