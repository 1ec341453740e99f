"""Search the hyperparameters of a model on every configured dataset; every trial is a run in MLflow.

    python -m pipelines.sweep model=conv_lstm                        both datasets, 12 trials each
    python -m pipelines.sweep model=lstm data=reuters trials=30      tuner=bayesian engine.workers=4 seed=3
    python -m pipelines.sweep model=conv_lstm model.space.lstm_units=128          fixed, not searched
    python -m pipelines.sweep 'model=[bag,cnn,lstm]' data=imdb       several networks in one search
    python -m pipelines.sweep -m model=lstm,conv_lstm                every model on every dataset
    python -m pipelines.sweep experiment=article_imdb                the article's own run, nothing searched
    python -m pipelines.sweep resume=outputs/<dir>                   continue where it stopped; more trials=, minutes=
    python -m pipelines.sweep model=conv_lstm order=true             then confirm: is it better, does word order matter?
    python -m pipelines.sweep model=conv_lstm dry_run=true           what would run, how many parameters, how long
    python -m pipelines.sweep reproduce=<run id>                     repeat one trial of MLflow: is every epoch equal?
    python -m pipelines.sweep --help                                 every key

Exit status: 0 if every sweep finished with at least one completed trial and is in its store, 130 if interrupted and
resumable, anything else if it failed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from conf import stored
from conf.compose import compose
from conf.schema import Job
from pipelines.command import execute
from pipelines.data import serving
from sweeps.journal import SweepRecord
from sweeps.session import checks, trust
from sweeps.session import reproduce as repetition
from sweeps.session.confirm import Request, confirm
from sweeps.session.session import Session


def main() -> None:
    execute(sweep)


def sweep(console: Console) -> bool:
    """Run the jobs of the command line; returns whether every sweep finished with a completed trial."""
    jobs = compose()
    if len(jobs) == 1 and jobs[0].config.reproduce is not None:
        return _reproduce(jobs[0], console)
    return all(record.ended and record.ended.status == "completed" for record in run(jobs, console))


def run(jobs: Sequence[Job], console: Console) -> list[SweepRecord]:
    """Check every job, then run one after the other; returns the records of their sweeps, none for dry runs.

    Raises `SweepError` at the end if not everything is in the store.
    """
    session = Session(console, serving.of)
    spaces = [checks.check(job.config) for job in jobs]
    records = []
    for job, space_of in zip(jobs, spaces, strict=True):
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


def _name(records: Sequence[SweepRecord]) -> str:
    """Return the name that the sweeps of a command share."""
    return records[0].started.names[1]


def _reproduce(job: Job, console: Console) -> bool:
    stored.refuse_changes_of_a_trial(argument for argument in sys.argv[1:] if not argument.startswith("hydra."))
    return repetition.reproduce(job.config, console, trust.named(sys.argv[1:]))


if __name__ == "__main__":
    main()
