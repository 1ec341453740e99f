"""The commands of this project, in the words that work where they are printed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

SCRIPT = "text-sweeps"


def command(name: str) -> str:
    """Return the start of a command line, to be pasted into the shell from which this process was started."""
    started_with = sys.orig_argv[1:2]  # not `sys.argv`, which a command may have changed
    if started_with and Path(started_with[0]).name == SCRIPT:
        return f"{_shown(started_with[0], SCRIPT)} {name}"
    return f"{_shown(sys.executable, 'python')} -m pipelines.{name}"


def resume(directory: Path, *, confirms: bool) -> str:
    """Return the command that goes on with the sweeps of a directory, or with the confirmations."""
    return f"{command('confirm' if confirms else 'sweep')} {shlex.quote(f'resume={directory}')}"


def _shown(program: str, name: str) -> str:
    """Return a program's name if the shell finds it by that, else its path, relative where it lies below."""
    found = shutil.which(name)
    if found is not None and os.path.samefile(Path(found).parent, Path(program).parent):
        return name
    path = Path(program).absolute()
    below = path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if below else path))
