"""Train the best configurations of a sweep, and its baseline, again with fresh seeds: does the result hold?

    python -m pipelines.confirm sweep=<name>                  conv_lstm-…/imdb, or conv_lstm-… for all its datasets
    python -m pipelines.confirm sweep=<name> top=3 seeds=5    how many configurations, and seeds for each
    python -m pipelines.confirm sweep=<name> top=each         the best of each of several networks
    python -m pipelines.confirm sweep=<name> order=false      without what the order of the words is worth
    python -m pipelines.confirm sweep=<name> order=each       with what it is worth to each configuration
    python -m pipelines.confirm resume=outputs/<dir>          continue where it stopped; the same command does so too
    … engine.workers=2 tracking.uri=http://…                  as for a sweep
    … model.build=mine.gru.build                              the function that a sweep in the store names is trusted

Each is trained on train and validation together, for as many epochs as validation chose, and tested once; the best
by validation also with the words of each document shuffled, which shows what their order is worth. The same command
with more seeds adds them. Exit status: 0 if every trial completed, 130 if interrupted and resumable, anything else if
it failed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conf.schema import ConfigError
from pipelines.command import execute, read_options, show_help, whole_number
from sweeps import invocation
from sweeps.finalists import EACH, Order
from sweeps.session import trust
from sweeps.session.outputs import COMMAND
from sweeps.tracking import store

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.session.confirm import Request

ORDERS: dict[str, Order] = {"true": True, "false": False, EACH: EACH}
OPTIONS = ("sweep", "top", "seeds", "order", "resume", "tracking.uri", "engine.workers")


def main() -> None:
    execute(lambda console: run(read_arguments(sys.argv[1:]), console))


def run(request: Request, console: Console) -> bool:
    """Run a confirmation; returns whether every trial completed."""
    from pipelines.data import serving
    from sweeps.session.confirm import confirm
    from sweeps.session.session import Session

    session = Session(console, serving.of)
    records = confirm(request, session)
    session.check_logged()
    return all(len(record.completed) == record.budget for record in records)


def read_arguments(arguments: Sequence[str]) -> Request:
    """Return the request, in which the options of a resumed confirmation complete the new ones.

    Raises `ConfigError`.
    """
    show_help(arguments, __doc__)
    named = trust.named(arguments)
    options = read_options(arguments, (*OPTIONS, *named))
    if "resume" in options:
        options = {"order": "false"} | _stored_options(Path(options["resume"])) | options  # older ones lack it
    if "sweep" not in options:
        raise ConfigError(f"sweep: has no value; give the name of a sweep, as {invocation.command('list')} prints it")
    order = ORDERS.get(options.get("order", "true"))
    if order is None:
        raise ConfigError(f"order={options['order']}: allowed: {', '.join(ORDERS)}")
    from sweeps.session.confirm import Request

    return Request(
        sweep=options["sweep"],
        top=EACH if options.get("top") == EACH else whole_number(options, "top", 1, 3),
        seeds=whole_number(options, "seeds", 2, 5),
        order=order,
        uri=store.uri(options["tracking.uri"]) if "tracking.uri" in options else None,
        workers=whole_number(options, "engine.workers", 1) if "engine.workers" in options else None,
        directory=Path(options["resume"]) if "resume" in options else None,
        named=trust.named(f"{key}={value}" for key, value in options.items()),
    )


def _stored_options(directory: Path) -> dict[str, str]:
    path = directory / COMMAND
    if not path.is_file():
        raise ConfigError(f"resume={directory}: no confirmation was started there, {COMMAND} is missing")
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not the options of a confirmation: {error}") from error
    known = {*OPTIONS, *trust.named(f"{key}=" for key in options)} if isinstance(options, dict) else set()
    if not isinstance(options, dict) or not options.keys() <= known:
        raise ConfigError(f"{path}: not the options of a confirmation: {', '.join(OPTIONS)}")
    return {key: str(value) for key, value in options.items()}


if __name__ == "__main__":
    main()
