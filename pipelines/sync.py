"""Bring MLflow up to date with the journals of sweeps: the runs and models that a store missed while it was away.

    python -m pipelines.sync                            every sweep under outputs/
    python -m pipelines.sync outputs/<dir> …            these
    python -m pipelines.sync tracking.uri=http://…      into this store; otherwise the one that the sweep logged to
    … datasets.imdb.text.words=/path/imdb_word_index.json    what a chosen model lacks for its registration

However often it is called, each trial is one run and each epoch one point. Exit status: 0 if everything is in the
store.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from conf import stored
from conf.schema import ConfigError, did_you_mean
from pipelines.command import execute, show_help
from sweeps import journal
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord
from sweeps.session import outputs
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store

if TYPE_CHECKING:
    from rich.console import Console

    from conf.schema import Config

OPTION = "tracking.uri="


class Arguments(NamedTuple):
    directories: Sequence[Path]
    uri: str | None = None
    serving: Sequence[str] = ()  # overrides of what a registered model needs


def main() -> None:
    execute(lambda console: synchronise(read_arguments(sys.argv[1:]), console))


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Return the directories, the store and what models need; raises `ConfigError`."""
    show_help(arguments, __doc__)
    uri = None
    directories, serving = [], []
    for argument in arguments:
        if argument.startswith(OPTION):
            uri = store.uri(argument.removeprefix(OPTION))
        elif stored.SERVING.fullmatch(argument.partition("=")[0]):
            serving.append(argument)
        elif "=" in argument or argument.startswith("-"):
            raise ConfigError(f"{argument}: allowed: directories, {OPTION}…, and datasets.<name>.text.words=…")
        elif not _has_sweeps(Path(argument)):
            raise ConfigError(f"{argument}: no sweep was started there, {stored.FILE} is missing")
        else:
            directories.append(Path(argument))
    if not directories:
        directories = sorted(path for path in outputs.OUTPUTS.glob("*") if _has_sweeps(path))
        if not directories:
            raise ConfigError(f"{outputs.OUTPUTS.resolve()}: no sweep was started there")
    _refuse_unknown(serving, directories)
    return Arguments(directories, uri, serving)


def _refuse_unknown(overrides: Sequence[str], directories: Sequence[Path]) -> None:
    known = {path.parent.name for directory in directories for path in directory.glob(f"*/{journal.FILE}")}
    for override in overrides:
        if (name := override.split(".")[1]) not in known:
            raise ConfigError(f"{override}: no sweep on {name} was started there{did_you_mean(name, known)}")


def _has_sweeps(directory: Path) -> bool:
    return (directory / stored.FILE).is_file() or outputs.has_begun(directory)


def synchronise(arguments: Arguments, console: Console) -> bool:
    """Bring the store up to date with each directory; one that is in use or damaged does not keep the others out."""
    complete = []
    for directory in arguments.directories:
        try:
            complete.append(sync(directory, arguments.uri, console, serving=arguments.serving))
        except (ConfigError, SweepError, OSError) as error:
            console.print(f"error: {error}", soft_wrap=True, style="red")
            complete.append(False)
    return all(complete)


def sync(directory: Path, uri: str | None, console: Console, *, serving: Sequence[str] = ()) -> bool:
    """Log everything in a directory's journals that the store lacks; returns whether that succeeded."""
    outputs.refuse_copy(directory)
    with journal.locked(directory):
        from sweeps.report import write as report
        from sweeps.session import extras
        from sweeps.terminal.sentences import progress_so_far
        from sweeps.tracking.tracker import Tracker

        pasts = {path.parent: journal.read(path.parent) for path in sorted(directory.glob(f"*/{journal.FILE}"))}
        records = [SweepRecord.of(path, past) for path, past in pasts.items() if past]
        if not records:
            console.print(f"{directory}: no sweep has begun there", soft_wrap=True)
            return True
        config = stored.with_serving(stored.read(directory), serving)
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
            complete = _register(records, config, uri, console)
    progress = f"{directory}: {', '.join(progress_so_far(record) for record in records)}"
    outcome = "all of it is in" if complete else "not all of it could be logged to"
    message = f"{progress}; {outcome} {store.without_password(uri)}"
    console.print(message, soft_wrap=True, style="" if complete else "red")
    return complete


def _register(records: Sequence[SweepRecord], config: Config, uri: str, console: Console) -> bool:
    from pipelines.data import serving
    from sweeps.session.plans import recorded_plan
    from sweeps.session.session import Session

    session = Session(console, serving.of)
    registered = [session.register(uri, recorded_plan(config, record), record) for record in records]
    return all(registered)


if __name__ == "__main__":
    main()
