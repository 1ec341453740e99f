"""A sweep from Python: the arguments of the command line, and what the command would say as exceptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.schema import ConfigError
from sweeps.errors import SweepError
from text_sweeps import process
from text_sweeps.results import Results

MULTIRUN = ("-m", "--multirun")


def sweep(*arguments: str, **values: Any) -> Results:
    """Run the sweeps that `text-sweeps sweep` would run with these arguments, and return their results.

    `sweep("model=lstm", "engine.workers=2", trials=12)`: a key without a dot may be a keyword. `data` may be a pandas
    data frame, whose columns `text`, `label`, `group`, `time` and `split` name, and the dataset `name`.

    Raises `ConfigError` for a mistake, before anything is trained, and `SweepError` for a sweep that cannot go on, that
    completed no trial or is not whole in its store. An interruption (Ctrl-C, or the kernel's) ends the sweep in order,
    so that `sweep(resume="outputs/…")` continues it. It trains in processes of its own: this one stays as it is.
    """
    from text_sweeps import frame_data

    line = [*map(str, arguments), *frame_data.arguments(values)]
    for argument in line:
        if argument.startswith("reproduce="):
            raise ConfigError(f"{argument}: a trial is repeated by the command line: text-sweeps reproduce <run id>")
        if "=" not in argument and argument not in MULTIRUN and not argument.startswith("~"):
            raise ConfigError(f"{argument}: not of the form key=value")
    answer = process.call("sweep", line)
    results = Results.of(map(Path, answer["sweeps"]))
    if results.unfinished:
        raise SweepError(f"no trial has completed: {', '.join(results.unfinished)}; load(…) has what was recorded")
    return results
