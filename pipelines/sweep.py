"""Search the hyperparameters of a model on every configured dataset; every trial is a run in MLflow.

`--help` shows the keys, see `conf.help`. Exit status: 0 if every sweep finished with at least one completed trial and
is in its store, 130 if interrupted and resumable, anything else if it failed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from conf import help as keys
from pipelines.command import asks_for_help, execute
from sweeps import invocation

if TYPE_CHECKING:
    from rich.console import Console

    from conf.schema import Config, Job
    from sweeps.journal import SweepRecord


def main() -> None:
    execute(sweep)


def sweep(console: Console) -> bool:
    """Run the jobs of the command line; returns whether every sweep finished with a completed trial."""
    if asks_for_help(sys.argv[1:]):
        print(keys.text(sys.argv[1:], invocation.command("sweep")))
        return True
    from conf import tables
    from conf.compose import compose

    jobs = compose()
    tables.refuse_missing(sys.argv[1:])
    if len(jobs) == 1 and jobs[0].config.reproduce is not None:
        return _reproduce(jobs[0], console)
    return all(record.ended and record.ended.status == "completed" for record in run(jobs, console))


def run(jobs: Sequence[Job], console: Console) -> list[SweepRecord]:
    """Check every job, then run one after the other; returns the records of their sweeps, none for dry runs.

    Raises `SweepError` at the end if not everything is in the store.
    """
    from sweeps.session import checks

    spaces = [checks.check(job.config) for job in jobs]
    lines = [_announcement(job.config, number, len(jobs)) for number, job in enumerate(jobs, start=1)]
    for line in lines[:1]:  # before what takes seconds to be imported
        console.print(line, soft_wrap=True)
    from pipelines.data import serving
    from sweeps.session.confirm import Request, confirm
    from sweeps.session.session import Session

    session = Session(console, serving.of)
    records = []
    with _page(jobs, console):
        for job, space_of, line in zip(jobs, spaces, lines, strict=True):
            if job is not jobs[0]:
                console.print(line, soft_wrap=True)
            if job.config.dry_run:
                session.dry_run(job, space_of)
            else:
                records += (found := session.search(job, space_of))
                if job.config.order:
                    records += confirm(Request(_name(found), top=1, uri=job.config.tracking.uri), session)
    searched = [record for record in records if not record.started.confirms]
    if len(jobs) > 1 and searched:
        from sweeps.terminal import tables

        console.print(tables.overview(searched))
    session.check_logged()
    return records


def _announcement(config: Config, number: int, jobs: int) -> str:
    """Say in a line what a job is about to do."""
    job = f"job {number} of {jobs}, " if jobs > 1 else ""
    does = "dry run of" if config.dry_run else f"resuming {config.resume}," if config.resume else "searching"
    each = " each" if len(config.datasets) > 1 else ""
    trials = f"{config.trials} trial{'s' if config.trials > 1 else ''}{each}"
    return f"{job}{does} {config.model.name} on {' and '.join(config.datasets)}: {trials}, by {config.objective}"


@contextmanager
def _page(jobs: Sequence[Job], console: Console) -> Iterator[None]:
    """Show the sweeps on a page during the block, if the command asks for it."""
    if not any(job.config.ui and not job.config.dry_run for job in jobs):
        yield
        return
    from sweeps.live.feed import Feed
    from sweeps.live.server import Server
    from sweeps.session import outputs

    resumed = [Path(job.config.resume) for job in jobs if job.config.resume]
    page = Server(Feed(lambda: outputs.all_directories(resumed), since=time.time()))
    with page.started():
        console.print(f"the sweeps while they run: {page.address}", soft_wrap=True)
        yield


def _name(records: Sequence[SweepRecord]) -> str:
    """Return the name that the sweeps of a command share."""
    return records[0].started.names[1]


def _reproduce(job: Job, console: Console) -> bool:
    from conf import stored
    from sweeps.session import reproduce as repetition
    from sweeps.session import trust

    stored.refuse_changes_of_a_trial(argument for argument in sys.argv[1:] if not argument.startswith("hydra."))
    return repetition.reproduce(job.config, console, trust.named(sys.argv[1:]))


if __name__ == "__main__":
    main()
