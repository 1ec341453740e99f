"""What the benchmarks time: whole commands, each in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from conf.compose import Job, compose
from sweeps import journal
from sweeps.journal import SweepRecord

ROOT = Path(__file__).parent.parent.parent


class Ended(NamedTuple):
    began: float  # time since the epoch
    seconds: float
    printed: str


def job_of(arguments: Sequence[str]) -> Job:
    """The one job, on one dataset, that a sweep with these arguments would be."""
    sys.argv = ["sweep", *arguments]
    (job,) = compose()
    if len(job.config.datasets) > 1:
        sys.exit("error: data: one dataset at a time, e.g. data=imdb")
    return job


def run(folder: Path, module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
    """`python -m module` in a folder, with these environment variables too; ends this process if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
    command = [sys.executable, "-m", module, *arguments]
    began, wall = time.time(), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - wall
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Ended(began, seconds, done.stdout)


def recorded(folder: Path) -> SweepRecord:
    """The one sweep that ran in a folder."""
    (path,) = folder.glob(f"outputs/*/*/{journal.FILE}")
    return SweepRecord(path.parent, journal.read(path.parent))
