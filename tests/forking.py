"""`python -m pipelines.sweep` for many command lines, each in a fresh process, without starting Python for each.

It reads a JSON object a line, `{"folder": …, "arguments": […]}`, and answers with another: the exit status, the printed
text, and the packages of `SLOW` that were loaded. A command line with which a sweep would begin ends with status 0.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from tempfile import TemporaryFile
from typing import NoReturn

from pipelines import sweep
from sweeps.session.session import Session

SLOW = ("tensorflow", "keras", "keras_tuner", "mlflow", "distributed", "dask", "matplotlib", "sklearn")


def _accept(*_: object) -> NoReturn:
    sys.exit(0)


def _run(folder: str, arguments: list[str]) -> int:
    os.chdir(folder)
    sys.argv = ["sweep", *arguments]
    Session.search = Session.dry_run = _accept  # type: ignore[method-assign,assignment]
    try:
        sweep.main()
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
            return 1
        return exit_.code or 0
    except BaseException:
        traceback.print_exc()
    return 70


def answer(folder: str, arguments: list[str]) -> dict[str, object]:
    """Run one command line."""
    with TemporaryFile() as out, TemporaryFile() as err, TemporaryFile() as loaded:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            status = _run(folder, arguments)
            loaded.write(json.dumps([name for name in SLOW if name in sys.modules]).encode())
            for stream in (sys.stdout, sys.stderr, loaded):
                stream.flush()
            os._exit(status)
        _, raw = os.waitpid(child, 0)
        for file in (out, err, loaded):
            file.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(raw),
            "out": out.read().decode(),
            "err": err.read().decode(),
            "loaded": json.loads(loaded.read()),
        }


if __name__ == "__main__":
    gc.freeze()  # or each child would copy the pages of all these objects
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
