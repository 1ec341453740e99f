"""Search the hyperparameters of a model on every configured dataset; every trial is a run in MLflow.

    python -m pipelines.sweep model=conv_lstm                        both datasets, 12 trials each
    python -m pipelines.sweep model=lstm data=reuters trials=30      tuner=bayesian engine.workers=4 seed=3
    python -m pipelines.sweep model=conv_lstm model.space.lstm_units=128          fixed, not searched
    python -m pipelines.sweep -m model=lstm,conv_lstm                every model on every dataset
    python -m pipelines.sweep experiment=article_imdb                the article's own run, nothing searched
    python -m pipelines.sweep resume=outputs/<dir>                   go on where it stopped; more trials=, minutes=
    python -m pipelines.sweep model=conv_lstm dry_run=true           what would run, how many parameters, how long
    python -m pipelines.sweep reproduce=<run id>                     one trial again from its run: is every epoch equal?
    python -m pipelines.sweep --help                                 every key

Exit status: 0 every sweep finished with at least one completed trial, 130 interrupted and resumable, anything else
failed.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from conf import stored
from conf.compose import Job, compose
from conf.schema import Config, ConfigError
from pipelines.sync import register
from sweeps.trials import gpus
from sweeps import journal, environment
from sweeps.search import space
from sweeps.tracking import store
from sweeps.journal import Event, SweepRecord, SweepStarted
from sweeps.trials.native_logs import without_native_logs
from sweeps.search.space import Space
from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps import driver
    from sweeps.trials.dask_engine import DaskEngine
    from sweeps.plan import Plan
    from sweeps.tracking.tracker import Tracker

OUTPUTS = Path("outputs")
INTERRUPTED = 130
LAST_LOGGING = 5  # seconds that the store gets after Ctrl-C


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    console = Console()
    try:
        jobs = compose()
        if len(jobs) == 1 and jobs[0].config.reproduce is not None:
            sys.exit(0 if _reproduced(jobs[0].config, console) else 1)
        spaces = [check(job.config) for job in jobs]
        records = [record for job, space in zip(jobs, spaces, strict=True) for record in run(job, space, console)]
    except (ConfigError, SweepError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0 if all(record.ended and record.ended.status == "completed" for record in records) else 1)


def interrupt(number: int, _: object) -> NoReturn:
    """Once to end in order, twice to end at once; the workers end when this process does."""
    for other in (signal.SIGINT, signal.SIGTERM):
        # `mlflow run` answers Ctrl-C, which has come here too, with a SIGTERM of its own.
        signal.signal(other, signal.SIG_IGN)
    signal.signal(number, lambda *_: os._exit(INTERRUPTED))
    raise KeyboardInterrupt


def _reproduced(config: Config, console: Console) -> bool:
    from pipelines import reproduce

    reproduce.refuse_changes(given for given in sys.argv[1:] if not given.startswith("hydra."))
    return reproduce.reproduce(config, console)


def check(config: Config) -> Space:
    """The search space; raises `ConfigError` for what can be known to be wrong before anything slow is loaded."""
    store.uri(config.tracking.uri)
    searched = space.read(config.model, config.optimizer)
    for name, data in config.datasets.items():
        space.keywords_of(f"datasets.{name}.load", data.load)
        if data.validation == "test" and (searched.searched or config.stopping.name != "none"):
            chosen = f"{searched.searched[0].key} is searched" if searched.searched else "it would stop trials"
            raise ConfigError(
                f"datasets.{name}.validation=test: the test set must never choose, but {chosen}; "
                "give a fraction of train, or fix every hyperparameter and set stopping=none"
            )
    return searched


def run(job: Job, searched: Space, console: Console) -> list[SweepRecord]:
    """Run a job's sweeps, one for each dataset, or with `dry_run` say what they would be."""
    if job.config.dry_run:
        plans = plans_of(job, searched, OUTPUTS / "dry-run")
        with workers(plans) as engine:
            _dry_run(plans, engine, console)
        return []
    with _directory(job, console) as directory:
        plans = plans_of(job, searched, directory)
        pasts = [journal.read(plan.directory) for plan in plans]
        for plan, past in zip(plans, pasts, strict=True):
            if past:
                _refuse_another(plan, _started(past))
        journal.write_whole(directory / stored.FILE, job.yaml)
        with workers(plans) as engine:
            return _search(plans, pasts, engine, console)


@contextmanager
def _directory(job: Job, console: Console) -> Iterator[Path]:
    """Where the job is recorded, held for this process; a new one in which no sweep began is not left behind."""
    if job.config.resume is not None:
        directory = Path(job.config.resume)
    else:
        name = f"{job.config.model.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        directory = OUTPUTS / name
        directory.mkdir(parents=True)
    with journal.locked(directory):
        try:
            yield directory
        except (KeyboardInterrupt, SweepError):
            if begun(directory):
                command = f"python -m pipelines.sweep {shlex.quote(f'resume={directory}')}"
                console.print("what has ended is kept; to go on:", soft_wrap=True)
                console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)
            raise
        finally:
            if not begun(directory):
                shutil.rmtree(directory)


def begun(directory: Path) -> bool:
    return any(directory.glob(f"*/{journal.FILE}"))


@contextmanager
def workers(plans: Sequence[Plan]) -> Iterator[DaskEngine]:
    """The engine, its workers loading TensorFlow while this process does."""
    from sweeps.trials.dask_engine import open_engine

    with open_engine(plans[0].config.engine) as engine:
        engine.warm_up("sweeps.trials.training")
        with without_native_logs():
            import_module("sweeps.search.oracle")
        yield engine


def plans_of(job: Job, searched: Space, directory: Path) -> list[Plan]:
    """A plan for each dataset. Loads the data, so that what is wrong with them shows before any training."""
    from sweeps.plan import Plan

    plans = []
    for dataset, data in job.config.datasets.items():
        module, _, function = data.load.rpartition(".")
        arguments = data.arguments(dataset)
        encoded = getattr(import_module(module), function)(**arguments)
        plans.append(
            Plan(
                sweep=f"{directory.name}/{dataset}",
                config=job.config,
                yaml=job.yaml,
                space=searched,
                dataset=dataset,
                load=data.load,
                data={**arguments, "source": encoded.source},
                digest=encoded.digest,
                directory=directory / dataset,
                sizes={part: len(getattr(encoded, part).y) for part in ("train", "validation", "test")},
            )
        )
    return plans


def _started(past: Sequence[Event]) -> SweepStarted:
    """A journal's first event."""
    assert isinstance(past[0], SweepStarted)
    return past[0]


def _refuse_another(plan: Plan, started: SweepStarted) -> None:
    """Raises `ConfigError` when what is to be resumed would not be the same sweep."""
    where = plan.directory.parent
    if started.confirms:
        raise ConfigError(f"resume={where}: a confirmation goes on with python -m pipelines.confirm resume={where}")
    stored.refuse_changes(where, started.config, plan.yaml)
    if started.digest != plan.digest:
        raise ConfigError(
            f"datasets.{plan.dataset}: the digest of the data is {plan.digest}, "
            f"{where} was started with {started.digest}; give it the same data, or start a new sweep"
        )
    before, now = started.versions.get("keras-tuner"), environment.versions().get("keras-tuner")
    if before != now:
        raise ConfigError(
            f"keras-tuner={now}: {where} was started with keras-tuner={before}, "
            "and another version may propose other trials; install that one, or start a new sweep"
        )


def _search(
    plans: Sequence[Plan], pasts: Sequence[Sequence[Event]], engine: DaskEngine, console: Console
) -> list[SweepRecord]:
    from sweeps import terminal
    from sweeps.report import write
    from sweeps.search.oracle import Oracle, description

    config = plans[0].config
    # As they were when the sweep began; the search tells them what has changed since.
    oracles = [
        Oracle(replace(config, trials=_started(past).trials) if past else config, plan.space)
        for plan, past in zip(plans, pasts, strict=True)
    ]
    told = f"{config.tuner.name}: {description(config, plans[0].space)}"
    records, tracker, logged = conduct(plans, pasts, oracles, engine, console=console, told=told)
    for record in records:
        console.print(terminal.results(record))
        if terminal.ending(record):
            console.print(terminal.ending(record), soft_wrap=True)
        console.print(f"report: {record.directory / write.FILE}", soft_wrap=True, highlight=False)
    if logged:
        _print_comparison(plans, tracker, console)
        for plan, record in zip(plans, records, strict=True):
            register(tracker.uri, plan, record, console)
    return records


def conduct(
    plans: Sequence[Plan],
    pasts: Sequence[Sequence[Event]],
    oracles: Sequence[driver.AskTell],
    engine: DaskEngine,
    *,
    console: Console,
    told: str,
) -> tuple[list[SweepRecord], Tracker, bool]:
    """Run sweeps to their end, in the terminal and in MLflow; `told` is what they do, for the user to read.

    Returns their records, the tracker, and whether it could log everything.
    """
    from sweeps import driver, terminal
    from sweeps.report import write
    from sweeps.tracking.tracker import Tracker

    config, directory = plans[0].config, plans[0].directory.parent
    last = next((_started(past).store for past in pasts if past), plans[0].store) or None

    def announce(sweep: str, address: str) -> None:
        console.print(f"compare {sweep}: {address}", soft_wrap=True, highlight=False, markup=False)

    tracker = Tracker(store.uri(config.tracking.uri, last), config.tracking.experiment, announce)
    tracker.wait_until_opened()
    shown_by = f", shown by {tracker.ui_command()}" if tracker.ui_command() else ""
    where, unused = _where(config, engine.workers)
    console.print(
        f"{config.model.name} on {' and '.join(plan.dataset for plan in plans)}, {where}; "
        f"{told}\njournals in {directory}, runs in {store.without_password(tracker.uri)}{shown_by}",
        soft_wrap=True,
    )
    if unused:
        console.print(unused, soft_wrap=True, highlight=False, markup=False)
    terminal = terminal.Terminal(console)
    searches = []
    for planned, past, oracle in zip(plans, pasts, oracles, strict=True):
        plan = planned._replace(store=store.without_password(tracker.uri))
        tracker.recall(plan.directory, past)
        searches.append(driver.Search(plan, oracle, [tracker, terminal], past))
        if past:
            console.print(f"goes on: {terminal.so_far(searches[-1].record)}", soft_wrap=True)
    limit = None
    try:
        with terminal:
            driver.run(searches, engine)
    except KeyboardInterrupt:
        limit = LAST_LOGGING
        console.print("interrupted")
        raise
    finally:
        for search in searches:
            search.close()
        logged = tracker.close(limit)
        for search in searches:
            if search.record.ended is not None:  # the tracker has made it, unless its store is away
                write.kept(search.record)
        if not logged:
            address = store.without_password(tracker.uri)
            console.print(
                f"[red]not everything could be logged to {address}[/red]; to bring it up to date:\n"
                f"  python -m pipelines.sync {directory}",
                soft_wrap=True,
            )
    return [search.record for search in searches], tracker, logged


def _where(config: Config, workers: int) -> tuple[str, str]:
    """On how many workers and GPUs; and what is to be said of a GPU that is not used."""
    gpus = gpus.gpus() if config.engine.name == "local" else gpus.Gpus(())
    on = f" on {len(gpus.ids)} GPU{'s' if len(gpus.ids) > 1 else ''}" if gpus.ids else ""
    return f"{workers} workers{on}", gpus.unused


def _print_comparison(plans: Sequence[Plan], tracker: Tracker, console: Console) -> None:
    command = tracker.ui_command()
    console.print(f"To compare the trials{f': {command}' if command else ''}", soft_wrap=True)
    for plan in plans:
        console.print(f"  {plan.dataset}: {tracker.comparison(plan.sweep)}", soft_wrap=True, highlight=False)


def _dry_run(plans: Sequence[Plan], engine: DaskEngine, console: Console) -> None:
    from sweeps import terminal
    from sweeps.estimate import estimates

    for plan, estimate in zip(plans, estimates(plans, engine), strict=True):
        console.print(terminal.estimate_table(plan, estimate))


if __name__ == "__main__":
    main()
