"""Train one trial again from its run in MLflow, and compare every epoch to the last bit.

    python -m pipelines.reproduce sweep=<name> trial=3                          a trial of a sweep, as tables name it
    python -m pipelines.reproduce <run id>                                      its run's id, as MLflow shows it
    python -m pipelines.reproduce <run id> tracking.uri=http://…                another store
    python -m pipelines.reproduce <run id> datasets.imdb.archive=/path/imdb.npz where the data lie here
    python -m pipelines.reproduce <run id> engine.threads=2                     TensorFlow threads; engine.memory=4GiB
    python -m pipelines.reproduce <run id> model.build=mine.gru.build           the recorded function is to be trusted

`python -m pipelines.sweep reproduce=<run id>` does the same. The recorded configuration, seed and data hold. A function
that it names is called only if it is one of this project, or named here too. Exit status: 0 if every number is equal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from conf.schema import ConfigError
from pipelines.command import execute, show_help

if TYPE_CHECKING:
    from rich.console import Console

OPTIONS = ("sweep=", "trial=")


def main() -> None:
    execute(reproduce)


def reproduce(console: Console) -> bool:
    """Repeat the trial that the command line names."""
    show_help(sys.argv[1:], __doc__)
    from conf import stored
    from conf.compose import compose
    from sweeps.session import reproduce as repetition
    from sweeps.session import trust

    run, others = _run(sys.argv[1:])
    sys.argv[1:] = [f"reproduce={run}", *others]
    stored.refuse_changes_of_a_trial(sys.argv[1:])
    (job,) = compose()
    return repetition.reproduce(job.config, console, trust.named(sys.argv[1:]))


def _run(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the id of the run that the arguments name, and the arguments that name none of it."""
    from sweeps.tracking import store

    runs = [argument for argument in arguments if "=" not in argument]
    options = dict(argument.split("=", 1) for argument in arguments if argument.startswith(OPTIONS))
    others = [argument for argument in arguments if argument not in runs and not argument.startswith(OPTIONS)]
    if (len(runs), {*options}) not in ((1, set()), (0, {"sweep", "trial"})):
        given = " ".join(argument for argument in arguments if argument not in others) or "no run"
        raise ConfigError(f"{given}: one trial is needed, sweep=<name> trial=<number> or its run's id in MLflow")
    if runs:
        return runs[0], others
    if not options["trial"].isdecimal():
        raise ConfigError(f"trial={options['trial']}: must be a trial's number")
    from sweeps.tracking.reader import StoredSweeps

    given_uri = next((other.partition("=")[2] for other in others if other.startswith("tracking.uri=")), None)
    return StoredSweeps(store.uri(given_uri)).run_of(options["sweep"], int(options["trial"])), others


if __name__ == "__main__":
    main()
