"""Bring MLflow up to date with the journals of sweeps: what a store that was away has missed, runs and chosen models.

    python -m pipelines.sync                            every sweep under outputs/
    python -m pipelines.sync outputs/<dir> …            these
    python -m pipelines.sync tracking.uri=http://…      into this store; else where the sweep itself logged

However often it is called, each trial is one run, each epoch one point. Exit status: 0 when everything is in the store.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from conf import stored
from pipelines.command import show_help
from conf.schema import Config, ConfigError
from pipelines.data import word_index
from sweeps import journal, terminal
from sweeps.search import space
from sweeps.tracking import store
from sweeps.journal import SweepRecord, SweepStarted
from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps.plan import Plan

OUTPUTS = Path("outputs")
OPTION = "tracking.uri="


def main() -> None:
    console = Console()
    try:
        directories, uri = read_arguments(sys.argv[1:])
        logged = [_try(directory, uri, console) for directory in directories]
    except (ConfigError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if all(logged) else 1)


def _try(directory: Path, uri: str | None, console: Console) -> bool:
    """One that is in use, or damaged, is no reason to leave the others."""
    try:
        return sync(directory, uri, console)
    except SweepError as error:
        console.print(f"error: {error}", soft_wrap=True, style="red")
        return False


def read_arguments(arguments: Sequence[str]) -> tuple[list[Path], str | None]:
    """The directories and the store; raises `ConfigError`."""
    show_help(arguments, __doc__)
    uri = None
    directories = []
    for argument in arguments:
        if argument.startswith(OPTION):
            uri = store.uri(argument.removeprefix(OPTION))
        elif "=" in argument or argument.startswith("-"):
            raise ConfigError(f"{argument}: allowed: directories, and {OPTION}…")
        elif not (Path(argument) / stored.FILE).is_file():
            raise ConfigError(f"{argument}: no sweep was started there, {stored.FILE} is missing")
        else:
            directories.append(Path(argument))
    if not directories:
        directories = sorted(path.parent for path in OUTPUTS.glob(f"*/{stored.FILE}"))
        if not directories:
            raise ConfigError(f"{OUTPUTS.resolve()}: no sweep was started there")
    return directories, uri


def sync(directory: Path, uri: str | None, console: Console) -> bool:
    """Log all that the journals in a directory say, as far as the store has not got it; whether that succeeded."""
    with journal.locked(directory):
        tracking = stored.read(directory).tracking
        pasts = [(path.parent, journal.read(path.parent)) for path in sorted(directory.glob(f"*/{journal.FILE}"))]
        from sweeps.report import write
        from sweeps.tracking.tracker import Tracker

        last = next((past[0].store for _, past in pasts if past and isinstance(past[0], SweepStarted)), None)
        tracker = Tracker(uri or store.uri(tracking.uri, last), tracking.experiment)
        tracker.wait_until_opened()
        for path, past in pasts:
            tracker.recall(path, past)
        complete = tracker.close()
        records = [SweepRecord(path, past) for path, past in pasts if past]
        for record in records:
            if record.ended is not None:
                write.kept(record)
        if complete:
            plans = [_plan(stored.read(directory), record) for record in records]
            registered = [
                register(tracker.uri, plan, record, console) for plan, record in zip(plans, records, strict=True)
            ]
            complete = all(registered)
    where = f"{directory}: {', '.join(terminal.so_far(record) for record in records)}"
    outcome = "all of it is in" if complete else "not all of it could be logged to"
    address = store.without_password(tracker.uri)
    console.print(f"{where}; {outcome} {address}", soft_wrap=True, style="" if complete else "red")
    return complete


def _plan(config: Config, record: SweepRecord) -> Plan:
    """That of a sweep which is only looked at: its data are not loaded."""
    from sweeps.plan import Plan

    started = record.started
    assert started is not None
    data = config.datasets[started.dataset]
    return Plan(
        sweep=started.sweep,
        config=config,
        yaml=started.config,
        space=space.read(config.model, config.optimizer),
        dataset=started.dataset,
        load=data.load,
        data={**data.arguments(started.dataset), "source": started.source},
        digest=started.digest,
        directory=record.directory,
    )


def register(uri: str, plan: Plan, record: SweepRecord, console: Console) -> bool:
    """Have the chosen model in MLflow's registry, once; whether nothing of that is left to do."""
    from sweeps.tracking import registration

    text = plan.config.datasets[plan.dataset].text
    if plan.data["source"] == "archive" and text.words is None and text.url is None:
        # Such a model could not be asked anything; to give it a word index it takes a new sweep.
        console.print(f"not registered: datasets.{plan.dataset}.text names no word index", soft_wrap=True)
        return True
    try:
        version = registration.register(uri, plan, record, lambda: word_index.find(plan.dataset, text))
    except (registration.NotRegisteredError, ConfigError) as error:
        console.print(f"[red]not registered[/red], python -m pipelines.sync tries again: {error}", soft_wrap=True)
        return False
    if version is not None and version.new:
        console.print(
            f"registered trial {version.trial} as {version.name}, version {version.number}, the {version.alias}",
            soft_wrap=True,
        )
    return True


if __name__ == "__main__":
    main()
