"""Does it hold? Trains the best configurations of a sweep, and its baseline, again with fresh seeds.

    python -m pipelines.confirm sweep=<name>                  conv_lstm-…/imdb, or conv_lstm-… for all its datasets
    python -m pipelines.confirm sweep=<name> top=3 seeds=5    so many configurations, so many seeds each
    python -m pipelines.confirm resume=outputs/<dir>          go on where it stopped; the same command does too
    … engine.workers=2 tracking.uri=http://…                  as for a sweep

Each is trained on train and validation together, for as many epochs as validation chose, and tested once. The same
command with more seeds adds them. Exit status: 0 when every trial completed, 130 interrupted and resumable, anything
else failed.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from conf import stored
from conf.compose import Job
from pipelines.command import read_options, show_help
from conf.schema import Config, ConfigError, Engine, Tracking
from pipelines import sweep as sweeping
from pipelines.sync import register
from sweeps import journal
from sweeps.tracking import store
from sweeps.journal import SweepRecord
from sweeps.plan import Confirmed, Plan
from sweeps.errors import SweepError

OPTIONS = ("sweep", "top", "seeds", "resume", "tracking.uri", "engine.workers")
COMMAND = "confirm.json"  # in the directory of a confirmation: what it was asked for


class Arguments(NamedTuple):
    sweep: str
    top: int = 3
    seeds: int = 5
    uri: str | None = None
    workers: int | None = None
    directory: Path | None = None  # that is to go on


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, sweeping.interrupt)
    console = Console()
    try:
        records = confirm(read_arguments(sys.argv[1:]), console)
    except (ConfigError, SweepError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(sweeping.INTERRUPTED)
    sys.exit(0 if all(len(record.completed) == record.budget for record in records) else 1)


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Raises `ConfigError`."""
    show_help(arguments, __doc__)
    given = read_options(arguments, OPTIONS)
    if "resume" in given:
        given = _asked(Path(given["resume"])) | given
    if "sweep" not in given:
        raise ConfigError("sweep: has no value; the name of a sweep, as python -m pipelines.report prints them")
    uri = store.uri(given["tracking.uri"]) if "tracking.uri" in given else None
    return Arguments(
        sweep=given["sweep"],
        top=_whole(given, "top", 1, 3),
        seeds=_whole(given, "seeds", 2, 5),
        uri=uri,
        workers=_whole(given, "engine.workers", 1) if "engine.workers" in given else None,
        directory=Path(given["resume"]) if "resume" in given else None,
    )


def _whole(given: dict[str, str], key: str, least: int, default: int | None = None) -> int:
    value = given.get(key, str(default))
    if not value.isdecimal() or int(value) < least:
        raise ConfigError(f"{key}={value}: must be a whole number of at least {least}")
    return int(value)


def _asked(directory: Path) -> dict[str, str]:
    """What a confirmation was started with; raises `ConfigError` where none was."""
    path = directory / COMMAND
    if not path.is_file():
        raise ConfigError(f"resume={directory}: no confirmation was started there, {COMMAND} is missing")
    return {str(key): str(value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}


def confirm(arguments: Arguments, console: Console) -> list[SweepRecord]:
    """Train and compare; returns the record of each dataset's confirmation."""
    from sweeps.finalists import FixedList, confirmed

    found = _sweeps(arguments)
    wanted = [confirmed(record, arguments.top, arguments.seeds) for record in found]
    config = _config(found, arguments, max(len(again.trials) for again in wanted))
    searched = sweeping.check(config)
    directory = sweeping.OUTPUTS / _name(found, wanted)
    if arguments.directory is not None and arguments.directory.resolve() != directory.resolve():
        raise ConfigError(
            f"resume={arguments.directory}: the sweep has had more trials since, and other finalists; "
            f"for a new confirmation: sweep={arguments.sweep}"
        )
    with _held(directory, console):
        made = sweeping.plans_of(Job(config, stored.as_yaml(config)), searched, directory)
        plans = [_plan(*each) for each in zip(made, found, wanted, strict=True)]
        pasts = [journal.read(plan.directory) for plan in plans]
        journal.write_whole(directory / stored.FILE, stored.as_yaml(config))
        journal.write_whole(directory / COMMAND, json.dumps(_command(arguments)))
        oracles = [FixedList(again) for again in wanted]
        told = f"{len(wanted[0].finalists)} configurations with {arguments.seeds} fresh seeds each"
        with sweeping.workers(plans) as engine:
            records, tracker, logged = sweeping.conduct(plans, pasts, oracles, engine, console=console, told=told)
        for plan, record in zip(plans, records, strict=True):
            _print(record, console)
            if logged:
                register(tracker.uri, plan, record, console)
    return records


def _sweeps(arguments: Arguments) -> list[SweepRecord]:
    """From the journals here, which may be ahead of the store, else from the store."""
    name = arguments.sweep.rstrip("/").removeprefix(f"{sweeping.OUTPUTS}/")
    here = sweeping.OUTPUTS / name
    local = [here] if (here / journal.FILE).is_file() else sorted(p.parent for p in here.glob(f"*/{journal.FILE}"))
    if local:
        records = [SweepRecord(path, journal.read(path)) for path in local]
    else:
        from sweeps.tracking.reader import Recorded

        recorded = Recorded(arguments.uri or store.uri(None))
        records = [recorded.record(entry) for entry in recorded.chosen(name, "sweep")]
    for record in records:
        if record.started is None or record.started.confirms or record.started.held_out == "test":
            raise ConfigError(f"sweep={arguments.sweep}: is not a search that validation decided")
    return sorted(records, key=lambda record: record.started.dataset if record.started else "")


def _config(found: Sequence[SweepRecord], arguments: Arguments, trials: int) -> Config:
    """The sweep's own, for a list of trials that neither time nor a target cuts short."""
    assert found[0].started is not None
    config = stored.parsed(found[0].started.config)
    datasets = {r.started.dataset: config.datasets[r.started.dataset] for r in found if r.started}
    return replace(
        config,
        datasets=datasets,
        trials=trials,
        minutes=None,
        target=None,
        engine=_engine(config.engine, arguments.workers),
        tracking=Tracking(arguments.uri or config.tracking.uri, config.tracking.experiment),
        resume=None,
        dry_run=False,
    )


def _engine(recorded: Engine, workers: int | None) -> Engine:
    """The sweep's own; so many workers here where they are asked for."""
    if workers is None:
        return recorded
    return Engine("local", workers, recorded.threads, recorded.memory)


def _name(found: Sequence[SweepRecord], wanted: Sequence[Confirmed]) -> str:
    """The same for the same finalists: the same command goes on, and more seeds are added to those there are."""
    assert found[0].started is not None
    finalists = [
        [r.started.dataset if r.started else "", *again.finalists] for r, again in zip(found, wanted, strict=True)
    ]
    digest = hashlib.sha256(json.dumps(finalists).encode()).hexdigest()[:4]
    return f"{found[0].started.sweep.partition('/')[0]}-confirm-{digest}"


def _plan(plan: Plan, record: SweepRecord, again: Confirmed) -> Plan:
    """Raises `ConfigError` where the data are not those of the sweep."""
    assert record.started is not None
    if plan.digest != record.started.digest:
        raise ConfigError(
            f"datasets.{plan.dataset}: the digest of the data is {plan.digest}, the sweep was run on "
            f"{record.started.digest}; give it the same data"
        )
    return plan._replace(
        confirmed=again, store=record.started.store, config=replace(plan.config, trials=len(again.trials))
    )


def _command(arguments: Arguments) -> dict[str, str]:
    asked = {"sweep": arguments.sweep, "top": str(arguments.top), "seeds": str(arguments.seeds)}
    return asked | ({"tracking.uri": arguments.uri} if arguments.uri else {})


@contextmanager
def _held(directory: Path, console: Console) -> Iterator[None]:
    """The directory, held for this process; a new one in which nothing began is not left behind."""
    directory.mkdir(parents=True, exist_ok=True)
    with journal.locked(directory):
        try:
            yield
        except (KeyboardInterrupt, SweepError):
            if sweeping.begun(directory):
                command = f"python -m pipelines.confirm {shlex.quote(f'resume={directory}')}"
                console.print("what has ended is kept; to go on:", soft_wrap=True)
                console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)
            raise
        finally:
            if not sweeping.begun(directory):
                shutil.rmtree(directory)


def _print(record: SweepRecord, console: Console) -> None:
    from sweeps import terminal
    from sweeps.report import write
    from sweeps.analysis import confirmation

    found = confirmation.outcomes(record)
    console.print(terminal.confirmation_table(record, found))
    for sentence in confirmation.conclusions(found):
        console.print(sentence, soft_wrap=True, highlight=False)
    console.print(f"report: {record.directory / write.FILE}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
