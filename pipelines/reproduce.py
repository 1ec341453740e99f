"""Train one trial again from its run in MLflow, and compare every epoch to the last bit.

    python -m pipelines.reproduce <run id>                                      the store of this folder
    python -m pipelines.reproduce <run id> tracking.uri=http://…                another store
    python -m pipelines.reproduce <run id> datasets.imdb.archive=/path/imdb.npz where the data lie here
    python -m pipelines.reproduce <run id> engine.threads=2                     TensorFlow threads; engine.memory=4GiB
    python -m pipelines.reproduce <run id> model.build=mine.gru.build           the recorded function is to be trusted

`python -m pipelines.sweep reproduce=<run id>` does the same. The recorded configuration, seed and data hold. A function
that it names is called only if it is one of this project, or named here too. Exit status: 0 if every number is equal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from conf.schema import ConfigError
from pipelines.command import execute, show_help

if TYPE_CHECKING:
    from rich.console import Console


def main() -> None:
    execute(reproduce)


def reproduce(console: Console) -> bool:
    """Repeat the trial that the command line names."""
    show_help(sys.argv[1:], __doc__)
    from conf import stored
    from conf.compose import compose
    from sweeps.session import reproduce as repetition
    from sweeps.session import trust

    runs = [argument for argument in sys.argv[1:] if "=" not in argument]
    if len(runs) != 1:
        raise ConfigError(f"{' '.join(runs) or 'no run'}: one run's id is needed, as MLflow shows it")
    sys.argv[1:] = [f"reproduce={runs[0]}", *(argument for argument in sys.argv[1:] if argument != runs[0])]
    stored.refuse_changes_of_a_trial(sys.argv[1:])
    (job,) = compose()
    return repetition.reproduce(job.config, console, trust.named(sys.argv[1:]))


if __name__ == "__main__":
    main()
