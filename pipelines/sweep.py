"""Search the hyperparameters of a model on every configured dataset; every trial is a run in MLflow.

    python -m pipelines.sweep model=conv_lstm                        both datasets, 12 trials each
    python -m pipelines.sweep model=lstm data=reuters trials=30      tuner=bayesian engine.workers=4 seed=3
    python -m pipelines.sweep model=conv_lstm model.space.lstm_units=128          fixed, not searched
    python -m pipelines.sweep -m model=lstm,conv_lstm                every model on every dataset
    python -m pipelines.sweep experiment=article_imdb                the article's own run, nothing searched
    python -m pipelines.sweep model=conv_lstm dry_run=true           what would run, how many parameters, how long
    python -m pipelines.sweep --help                                 every key

Exit status: 0 every sweep finished with at least one completed trial, 130 interrupted, anything else failed.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from conf.compose import Job, compose
from conf.schema import Config, ConfigError
from sweeps import space
from sweeps.silence import without_native_logs
from sweeps.space import Space
from sweeps.spec import SweepError

if TYPE_CHECKING:
    from sweeps.driver import Plan
    from sweeps.engine import DaskEngine
    from sweeps.journal import SweepRecord
    from sweeps.tracking import Tracker

OUTPUTS = Path("outputs")
INTERRUPTED = 130


def main() -> None:
    console = Console()
    try:
        jobs = compose()
        spaces = [read_space(job.config) for job in jobs]
        records = [record for job, space in zip(jobs, spaces, strict=True) for record in run(job, space, console)]
    except (ConfigError, SweepError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0 if all(record.best for record in records) else 1)


def read_space(config: Config) -> Space:
    """The search space, checked; raises `ConfigError`."""
    searched = space.read(config.model, config.optimizer)
    for name, data in config.datasets.items():
        if data.validation == "test" and (searched.searched or config.stopping.name != "none"):
            chosen = f"{searched.searched[0].key} is searched" if searched.searched else "it would stop trials"
            raise ConfigError(
                f"datasets.{name}.validation=test: the test set must never choose, but {chosen}; "
                "give a fraction of train, or fix every hyperparameter and set stopping=none"
            )
    return searched


def run(job: Job, searched: Space, console: Console) -> list[SweepRecord]:
    """Run a job's sweeps, one for each dataset, or with `dry_run` say what they would be."""
    plans = _plans(job, searched)
    # From here on things are slow: Dask, and then TensorFlow, which the workers load while this process does.
    from sweeps.engine import open_engine

    with open_engine(job.config.engine) as engine:
        engine.warm_up("sweeps.trial")
        with without_native_logs():
            import_module("sweeps.oracle")
        if job.config.dry_run:
            _dry_run(plans, engine, console)
            return []
        return _search(plans, engine, console)


def _plans(job: Job, searched: Space) -> list[Plan]:
    """A plan for each dataset. Loads the data, so that what is wrong with them shows before any training."""
    from sweeps.driver import Plan

    name = f"{job.config.model.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    plans = []
    for dataset, data in job.config.datasets.items():
        module, _, function = data.load.rpartition(".")
        arguments = {key: value for key, value in asdict(data).items() if key != "load"} | {"name": dataset}
        if data.archive is not None:
            arguments["archive"] = str(Path(data.archive).expanduser().resolve())
        encoded = getattr(import_module(module), function)(**arguments)
        plans.append(
            Plan(
                sweep=f"{name}/{dataset}",
                config=job.config,
                yaml=job.yaml,
                space=searched,
                dataset=dataset,
                load=data.load,
                data={**arguments, "source": encoded.source},
                digest=encoded.digest,
                directory=OUTPUTS / name / dataset,
            )
        )
    return plans


def _search(plans: Sequence[Plan], engine: DaskEngine, console: Console) -> list[SweepRecord]:
    from sweeps import driver, progress
    from sweeps.oracle import Oracle, description
    from sweeps.tracking import Tracker

    tracker = Tracker(plans[0].config.tracking)
    directory = plans[0].directory.parent
    config, searched = plans[0].config, plans[0].space
    console.print(
        f"{config.model.name} on {' and '.join(plan.dataset for plan in plans)}, {engine.workers} workers; "
        f"{config.tuner.name}: {description(config, searched)}\njournals in {directory}, runs in {tracker.uri}",
        soft_wrap=True,
    )
    terminal = progress.Terminal(console)
    searches = [driver.Search(plan, Oracle(plan.config, plan.space), [tracker, terminal]) for plan in plans]
    (directory / "config.yaml").write_text(plans[0].yaml, encoding="utf-8")
    try:
        with terminal:
            driver.run(searches, engine)
    except KeyboardInterrupt:
        console.print(f"interrupted: what has ended is in {directory} and in MLflow", soft_wrap=True)
        raise
    finally:
        for search in searches:
            search.close()
        missing = tracker.close()
        if missing:
            console.print(f"[red]{missing} events could not be logged to {tracker.uri}; they are in {directory}")
    records = [search.record for search in searches]
    for record in records:
        console.print(progress.results(record))
    if not missing:
        _print_comparison(plans, tracker, console)
    return records


def _print_comparison(plans: Sequence[Plan], tracker: Tracker, console: Console) -> None:
    console.print(f"To compare the trials: {tracker.ui_command()}, then open", soft_wrap=True)
    for plan in plans:
        console.print(f"  {plan.dataset}: {tracker.comparison(plan.sweep)}", soft_wrap=True, highlight=False)


def _dry_run(plans: Sequence[Plan], engine: DaskEngine, console: Console) -> None:
    from sweeps import progress
    from sweeps.estimate import estimates

    for plan, estimate in zip(plans, estimates(plans, engine), strict=True):
        console.print(progress.estimate_table(plan, estimate))


if __name__ == "__main__":
    main()
