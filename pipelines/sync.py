"""Bring MLflow up to date with the journals of sweeps: the runs and models that a store missed while it was away.

    python -m pipelines.sync                            every sweep under outputs/
    python -m pipelines.sync outputs/<dir> …            these
    python -m pipelines.sync tracking.uri=http://…      into this store; otherwise the one that the sweep logged to

However often it is called, each trial is one run and each epoch one point. Exit status: 0 if everything is in the
store.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from conf import stored
from conf.schema import ConfigError
from pipelines.command import execute, show_help
from pipelines.data import serving
from sweeps import journal
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord
from sweeps.session import extras, outputs
from sweeps.session.plans import recorded_plan
from sweeps.session.session import Session
from sweeps.terminal.sentences import progress_so_far
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store

OPTION = "tracking.uri="


def main() -> None:
    execute(lambda console: synchronise(*read_arguments(sys.argv[1:]), console))


def read_arguments(arguments: Sequence[str]) -> tuple[list[Path], str | None]:
    """Return the directories and the store; raises `ConfigError`."""
    show_help(arguments, __doc__)
    uri = None
    directories = []
    for argument in arguments:
        if argument.startswith(OPTION):
            uri = store.uri(argument.removeprefix(OPTION))
        elif "=" in argument or argument.startswith("-"):
            raise ConfigError(f"{argument}: allowed: directories, and {OPTION}…")
        elif not _has_sweeps(Path(argument)):
            raise ConfigError(f"{argument}: no sweep was started there, {stored.FILE} is missing")
        else:
            directories.append(Path(argument))
    if not directories:
        directories = sorted(path for path in outputs.OUTPUTS.glob("*") if _has_sweeps(path))
        if not directories:
            raise ConfigError(f"{outputs.OUTPUTS.resolve()}: no sweep was started there")
    return directories, uri


def _has_sweeps(directory: Path) -> bool:
    return (directory / stored.FILE).is_file() or outputs.has_begun(directory)


def synchronise(directories: Sequence[Path], uri: str | None, console: Console) -> bool:
    """Bring the store up to date with each directory; one that is in use or damaged does not keep the others out."""
    complete = []
    for directory in directories:
        try:
            complete.append(sync(directory, uri, console))
        except (ConfigError, SweepError, OSError) as error:
            console.print(f"error: {error}", soft_wrap=True, style="red")
            complete.append(False)
    return all(complete)


def sync(directory: Path, uri: str | None, console: Console) -> bool:
    """Log everything in a directory's journals that the store lacks; returns whether that succeeded."""
    outputs.refuse_copy(directory)
    with journal.locked(directory):
        from sweeps.report import write as report
        from sweeps.tracking.tracker import Tracker

        pasts = {path.parent: journal.read(path.parent) for path in sorted(directory.glob(f"*/{journal.FILE}"))}
        records = [SweepRecord.of(path, past) for path, past in pasts.items() if past]
        if not records:
            console.print(f"{directory}: no sweep has begun there", soft_wrap=True)
            return True
        config = stored.read(directory)
        last = outputs.store_of(records[0].started.store)
        uri = uri or store.uri(config.tracking.uri, last)
        sweeps = [record.started for record in records]
        with Waiting(console, f"{directory}: logging what the store lacks"):
            tracker = Tracker(uri, config.tracking.experiment, sweeps=sweeps, extras=extras.from_reports())
            tracker.wait_until_opened()
            for record in records:
                tracker.catch_up(record.directory, pasts[record.directory])
            complete = tracker.close()
        for record in records:
            if record.ended is not None:
                report.ensure_written(record)
        if complete:
            session = Session(console, serving.of)
            registered = [session.register(uri, recorded_plan(config, record), record) for record in records]
            complete = all(registered)
    progress = f"{directory}: {', '.join(progress_so_far(record) for record in records)}"
    outcome = "all of it is in" if complete else "not all of it could be logged to"
    message = f"{progress}; {outcome} {store.without_password(uri)}"
    console.print(message, soft_wrap=True, style="" if complete else "red")
    return complete


if __name__ == "__main__":
    main()
