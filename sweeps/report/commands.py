"""The commands on a page, which can be pasted where the page was written."""

from __future__ import annotations

import shlex

from conf import stored
from sweeps import invocation
from sweeps.journal import SweepRecord


def confirm(record: SweepRecord) -> str:
    """Return the command that trains a sweep's best configurations again."""
    return f"{invocation.SCRIPT} confirm {shlex.quote(f'sweep={record.started.sweep}')}"


def sweep_again(record: SweepRecord) -> str:
    """Return the command of another sweep with the stored configuration, to which an override can be added.

    Empty where the configuration is not in the sweep's own directory: one that only a store has may be of others.
    """
    directory = record.directory.absolute().parent
    if not (directory / stored.FILE).is_file():
        return ""
    name = stored.FILE.removesuffix(".yaml")
    others = [f"~datasets.{each}" for each in stored.datasets(record.config) if each != record.started.dataset]
    arguments = ["--config-path", str(directory), "--config-name", name, *others]
    return f"{invocation.SCRIPT} sweep {shlex.join(arguments)}"
