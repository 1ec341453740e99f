"""The commands that the benchmarks time, each in a folder of its own, and the models that they build."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from conf.compose import compose
from conf.schema import Config, Job, Values
from sweeps import journal
from sweeps.journal import SweepRecord

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).parent.parent.parent


class Ended(NamedTuple):
    began: float  # time since the epoch
    seconds: float
    printed: str


def job_of(arguments: Sequence[str]) -> Job:
    """Return the one job, on one dataset, that a sweep with these arguments would run."""
    sys.argv = ["sweep", *arguments]
    (job,) = compose()
    if len(job.config.datasets) > 1:
        sys.exit("error: data: one dataset at a time, e.g. data=imdb")
    return job


def run(folder: Path, module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
    """Run `python -m module` in a folder, with these environment variables too; end this process if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
    command = [sys.executable, "-m", module, *arguments]
    began, wall = time.time(), time.monotonic()
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - wall
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} ended with {finished.returncode}: {finished.stderr[-2000:]}")
    return Ended(began, seconds, finished.stdout)


def recorded(folder: Path) -> SweepRecord:
    """Return the one sweep that ran in a folder."""
    (path,) = folder.glob(f"outputs/*/*/{journal.FILE}")
    return SweepRecord.of(path.parent, journal.read(path.parent))


def network(config: Config, values: Values) -> keras.Model:
    """Build the configured model with these values, for the shape of the one dataset."""
    (data,) = config.datasets.values()
    module, _, function = config.model.build.rpartition(".")
    sizes = {"num_words": data.num_words, "maxlen": data.maxlen, "num_classes": data.num_classes}
    model: keras.Model = getattr(import_module(module), function)(
        **sizes, **{name: values[name] for name in config.model.space}
    )
    return model
