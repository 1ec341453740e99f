"""The commands of this project, in the words that work where they are printed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from itertools import pairwise
from pathlib import Path

SCRIPT = "text-sweeps"
KERNEL = "ipykernel_launcher"  # the module that a notebook's process was started with


def command(name: str) -> str:
    """Return the start of a command line, to be pasted into the shell from which this process was started."""
    words = sys.orig_argv  # not `sys.argv`, which a command may have changed
    as_module = any(flag == "-m" and module != KERNEL for flag, module in pairwise(words))
    script = words[1] if words[1:] and Path(words[1]).name == SCRIPT else _beside_python()
    if script and not as_module:  # a notebook, too, and a script in Python
        return f"{_shown(script, SCRIPT)} {name}"
    return f"{_shown(sys.executable, 'python')} -m pipelines.{name}"


def resume(directory: Path, *, confirms: bool) -> str:
    """Return the command, or the call, that goes on with the sweeps of a directory or with the confirmations."""
    if _is_called_from_python() and not confirms:
        return f"sweep(resume={str(directory)!r})"
    return f"{command('confirm' if confirms else 'sweep')} {shlex.quote(f'resume={directory}')}"


def _is_called_from_python() -> bool:
    """Tell whether this is the process that trains for a caller in Python, see `text_sweeps.process`."""
    return "-c" in sys.orig_argv[1:3]


def _beside_python() -> str:
    """Return the path of the script that was installed with this interpreter; empty if there is none."""
    script = Path(sys.executable).with_name(SCRIPT)
    return str(script) if script.exists() else ""


def _shown(program: str, name: str) -> str:
    """Return a program's name if the shell finds it by that, else its path, relative where it lies below."""
    found = shutil.which(name)
    if found is not None and os.path.samefile(Path(found).parent, Path(program).parent):
        return name
    path = Path(program).absolute()
    below = path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if below else path))
