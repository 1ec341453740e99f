"""The commands. They work in any folder, also in one that has a `conf`, a `models` or a `hydra` of its own.

`python -m` puts the working folder first on Python's path, where it would hide this project's packages and those that
it needs. It comes last instead, so that builders of the user's own are still found there.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
if sys.path and Path(sys.path[0]).resolve() == Path.cwd() != PROJECT:
    sys.path[:] = [*sys.path[1:], str(PROJECT), sys.path[0]]
