"""`python -m pipelines.sweep reproduce=<run id>`: a trial once more, from what its run recorded, and is it equal?

The recorded configuration, seed and data hold. Only where things are may be given anew: `tracking.uri`,
`engine.threads` and `datasets.<name>.archive`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from conf import stored
from conf.compose import Job
from conf.schema import Config, ConfigError, Engine
from pipelines import sweep as sweeping
from sweeps.tracking import store

if TYPE_CHECKING:
    from sweeps.trials.dask_engine import DaskEngine
    from sweeps.trials.engine import Failed
    from sweeps.journal import SweepRecord
    from sweeps.trials.spec import TrialResult, TrialSpec

MAY_CHANGE = re.compile(r"reproduce|tracking\.uri|engine\.threads|datasets\.\w+\.archive")


def refuse_changes(arguments: Iterable[str]) -> None:
    """Raises `ConfigError` for an override of what the run recorded."""
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+")
        if not MAY_CHANGE.fullmatch(key):
            raise ConfigError(
                f"{argument}: reproduce= trains what the run recorded; "
                "only tracking.uri, engine.threads and datasets.<name>.archive may be given"
            )


def reproduce(asked: Config, console: Console) -> bool:
    """Train the trial of the run `asked.reproduce` again; whether every number is equal to the last bit."""
    from sweeps import reproduction
    from sweeps.tracking.reader import Recorded

    assert asked.reproduce is not None
    record, number = Recorded(store.uri(asked.tracking.uri)).trial(asked.reproduce)
    trial = record.trials[number]
    config = _config(record, asked)
    searched = sweeping.check(config)
    (plan,) = sweeping.plans_of(Job(config, stored.as_yaml(config)), searched, Path("outputs/reproduce"))
    assert record.started is not None
    if plan.digest != record.started.digest:
        raise ConfigError(
            f"datasets.{plan.dataset}: the digest of the data is {plan.digest}, the run had "
            f"{record.started.digest}; give it the same data"
        )
    spec = reproduction.spec(plan, record, trial)
    console.print(f"trial {number} of {record.started.sweep}, seed {spec.seed}, {spec.epochs} epochs", soft_wrap=True)
    with sweeping.workers([plan]) as engine:
        outcome = _trained(engine, plan.function, spec)
    equal, lines = reproduction.in_words(trial, outcome)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    differ = reproduction.environment_differences(reproduction.recorded_environment(record, trial), reproduction.here())
    console.print("reproduced" if equal else "NOT reproduced", style="green" if equal else "red")
    for line in differ:
        console.print(f"another environment: {line}", soft_wrap=True, highlight=False)
    if not equal and not differ:
        console.print("the recorded environment is this one, as far as it is known", soft_wrap=True)
    return equal


def _config(record: SweepRecord, asked: Config) -> Config:
    assert record.started is not None
    dataset = record.started.dataset
    config = stored.parsed(record.config)
    data = replace(config.datasets[dataset], source=record.started.source)
    given = asked.datasets.get(dataset)
    if given is not None and given.archive is not None:
        data = replace(data, archive=given.archive)
    threads = asked.engine.threads if asked.engine.threads != 1 else config.engine.threads
    return replace(config, datasets={dataset: data}, engine=Engine("local", 1, threads), dry_run=False)


def _trained(engine: DaskEngine, function: str, spec: TrialSpec) -> TrialResult | Failed:
    from sweeps.trials.engine import Failed, Finished

    engine.submit(function, spec)
    while True:
        message = engine.next(1)
        if isinstance(message, Failed):
            return message
        if isinstance(message, Finished):
            result: TrialResult = message.result
            return result
