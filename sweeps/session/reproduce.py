"""The repetition of one trial, from everything that its run in MLflow recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conf import stored
from conf.schema import Config, Engine, Job
from sweeps import environment, reproduction
from sweeps.session import trust
from sweeps.session.checks import check
from sweeps.session.plans import plans_of
from sweeps.session.sameness import refuse_other_data
from sweeps.session.session import workers
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store
from sweeps.trials.engine import Failed, Finished
from sweeps.trials.spec import StepReport

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.journal import SweepRecord
    from sweeps.trials.dask_engine.engine import DaskEngine
    from sweeps.trials.spec import TrialResult, TrialSpec


def reproduce(request: Config, console: Console, named: Mapping[str, str]) -> bool:
    """Train the trial of the run `request.reproduce` again; returns whether every number is equal to the last bit.

    `named` holds the functions that the command line names, by their keys. Raises `ConfigError` if the run needs
    another one that is not of this project.
    """
    from sweeps.tracking.reader import StoredSweeps

    assert request.reproduce is not None
    with Waiting(console, f"reading the run {request.reproduce}"):
        record, number = StoredSweeps(store.uri(request.tracking.uri)).trial(request.reproduce)
    trial = record.trials[number]
    config = _config(trust.recorded_config(record.config, named, f"run {request.reproduce}"), record, request)
    (plan,) = plans_of(Job(config, stored.as_yaml(config)), check(config), Path("outputs/reproduce"), console)
    spec = reproduction.spec(plan, record, trial)
    refuse_other_data(plan.dataset, spec.digest, trial.digest or record.started.digest, "the run")
    console.print(f"trial {number} of {record.started.sweep}, seed {spec.seed}, {spec.epochs} epochs", soft_wrap=True)
    recorded = reproduction.recorded_environment(record, trial)
    differences = reproduction.environment_differences(recorded, environment.here(plan.functions))
    for line in differences:
        console.print(f"another environment: {line}", soft_wrap=True)
    with workers(config.engine, [plan], console) as engine:
        outcome = _train(engine, plan.function, spec, console)
    equal, lines = reproduction.in_words(trial, outcome)
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print("reproduced" if equal else "NOT reproduced", style="green" if equal else "red")
    if not equal and not differences:
        console.print("the environment is the recorded one, as far as it was recorded", soft_wrap=True)
    return equal


def _config(config: Config, record: SweepRecord, request: Config) -> Config:
    """Return the recorded configuration, with the trial's dataset alone and for one worker on this machine."""
    dataset = record.started.dataset
    data = config.datasets[dataset]
    if not data.files:  # a table has no other source
        data = replace(data, source=record.started.source)
    if dataset in request.datasets and (archive := request.datasets[dataset].archive) is not None:
        data = replace(data, archive=archive)
    threads = request.engine.threads if request.engine.threads != 1 else config.engine.threads
    engine = Engine("local", 1, threads, request.engine.memory)
    return replace(config, datasets={dataset: data}, engine=engine, dry_run=False)


def _train(engine: DaskEngine, function: str, spec: TrialSpec, console: Console) -> TrialResult | Failed:
    engine.submit(function, spec)
    with Waiting(console, f"training {spec.epochs - spec.initial_epoch} epochs") as waiting:
        while True:
            message = engine.next(1)
            if isinstance(message, StepReport):
                where = f"epoch {message.epoch} of {spec.epochs}, step {message.done} of {message.steps}"
                waiting.say(f"training: {where}")
            if isinstance(message, Failed):
                return message
            if isinstance(message, Finished):
                result: TrialResult = message.result
                return result
