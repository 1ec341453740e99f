"""What a sweep would cost, measured before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from conf.schema import Config, ConfigError, Tuner
from sweeps.trials.engine import Engine, Failed, Finished
from sweeps.search.oracle import Oracle
from sweeps.plan import Plan
from sweeps.search.space import Space
from sweeps.trials.spec import Timing
from conf.schema import Value


class Estimate(NamedTuple):
    """`seconds` is for all trials, none stopped early, on the workers there are."""

    trials: int
    epochs: int  # of all trials together
    sizes: dict[str, tuple[dict[str, Value], Timing]]  # smallest, default, largest
    seconds: float


def estimates(plans: Sequence[Plan], engine: Engine) -> list[Estimate]:
    """Builds and times the smallest, the default and the largest model of each plan on the engine's workers.

    Raises `ConfigError` when one of them cannot be built or trained.
    """
    workers = max(1, engine.free)
    points = {
        (plan.sweep, size): values
        for plan in plans
        for size, values in (
            ("smallest", plan.space.smallest()),
            ("default", plan.space.defaults()),
            ("largest", plan.space.largest()),
        )
    }
    names = list(points)
    for number, (sweep, size) in enumerate(names):
        plan = next(plan for plan in plans if plan.sweep == sweep)
        engine.submit("sweeps.trials.training.measure", plan.spec(number, points[sweep, size], 0, 1))
    timings = {}
    while engine.busy:
        message = engine.next(1)
        if isinstance(message, Failed):
            values = ", ".join(f"{k}={v}" for k, v in points[names[message.spec.trial]].items())
            raise ConfigError(f"model.space: the {names[message.spec.trial][1]} model ({values}): {message.reason}")
        if isinstance(message, Finished):
            timings[names[message.spec.trial]] = message.result
    return [_estimate(plan, points, timings, workers) for plan in plans]


def _estimate(
    plan: Plan, points: dict[tuple[str, str], dict[str, Value]], timings: dict[tuple[str, str], Timing], workers: int
) -> Estimate:
    sizes = {size: (values, timings[sweep, size]) for (sweep, size), values in points.items() if sweep == plan.sweep}
    trials, epochs = planned(plan.config, plan.space)
    per_epoch = sum(timing.seconds_per_epoch for _, timing in sizes.values()) / len(sizes)
    return Estimate(trials, epochs, sizes, epochs * per_epoch / min(workers, trials))


def planned(config: Config, space: Space) -> tuple[int, int]:
    """How many trials and epochs the tuner would run: asked until it ends, with every objective the same."""
    if config.tuner.name == "bayesian":  # as many as at random, without a Gaussian process for each
        config = replace(config, tuner=Tuner("random"))
    oracle = Oracle(config, space)
    trials, epochs = set(), 0
    while (proposal := oracle.ask()) is not None:
        trials.add(proposal.trial)
        epochs += proposal.epochs - proposal.initial_epoch
        oracle.tell(proposal.trial, 0.0)
    return len(trials), epochs
