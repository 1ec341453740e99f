"""Search the hyperparameters of a model on every configured dataset; every trial is a run in MLflow.

`--help` shows the keys, see `conf.help`. Exit status: 0 if every sweep finished with at least one completed trial and
is in its store, 130 if interrupted and resumable, anything else if it failed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from conf import help as keys
from pipelines.command import asks_for_help, execute
from sweeps import invocation

if TYPE_CHECKING:
    from rich.console import Console

    from conf.schema import Job
    from sweeps.journal import SweepRecord


def main() -> None:
    execute(sweep)


def sweep(console: Console) -> bool:
    """Run the jobs of the command line; returns whether every sweep finished with a completed trial."""
    if asks_for_help(sys.argv[1:]):
        print(keys.text(sys.argv[1:], invocation.command("sweep")))
        return True
    from conf.compose import compose

    jobs = compose()
    if len(jobs) == 1 and jobs[0].config.reproduce is not None:
        return _reproduce(jobs[0], console)
    return all(record.ended and record.ended.status == "completed" for record in run(jobs, console))


def run(jobs: Sequence[Job], console: Console) -> list[SweepRecord]:
    """Check every job, then run one after the other; returns the records of their sweeps, none for dry runs.

    Raises `SweepError` at the end if not everything is in the store.
    """
    from pipelines.data import serving
    from sweeps.session import checks
    from sweeps.session.confirm import Request, confirm
    from sweeps.session.session import Session

    session = Session(console, serving.of)
    spaces = [checks.check(job.config) for job in jobs]
    records = []
    for job, space_of in zip(jobs, spaces, strict=True):
        if job.config.dry_run:
            session.dry_run(job, space_of)
        else:
            records += (searched := session.search(job, space_of))
            if job.config.order:
                records += confirm(Request(_name(searched), top=1, uri=job.config.tracking.uri), session)
    session.check_logged()
    return records


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
