"""A process of its own for everything that trains.

The caller's stays as it is: its signals, streams, environment and threads, its Keras and its memory. A script needs no
`if __name__ == "__main__"`: workers import the main module of the process that starts them, and that is not the script.
The process ends in order when its caller does, however that comes about: then its standard input has an end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from conf.schema import ConfigError
from sweeps import software
from sweeps.errors import SweepError

ERRORS: dict[str, type[Exception]] = {each.__name__: each for each in (ConfigError, SweepError, OSError)}
START = (
    "import json, sys; request = json.loads(sys.stdin.readline()); sys.path[:] = request.pop('path'); "
    "from text_sweeps import child; child.main(**request)"
)


def call(task: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a task of `text_sweeps.child` and return its answer; what it prints is printed here.

    Raises `ConfigError`, `SweepError` and `OSError` as the task does, and `KeyboardInterrupt` if this process was
    interrupted, once the other one has ended in order.
    """
    with tempfile.TemporaryFile() as file:  # without a name, and of any size
        request = {"path": _path(), "task": task, "arguments": list(arguments), "answer": file.fileno()}
        status, is_interrupted = _run(json.dumps(request), file.fileno())
        file.seek(0)
        content = file.read()
    if is_interrupted:
        raise KeyboardInterrupt
    if not content:
        raise SweepError(f"the process of the sweep ended with exit status {status}; what it printed says why")
    answer: dict[str, Any] = json.loads(content)
    if "error" in answer:
        raise ERRORS[answer["error"]](answer["message"])
    return answer


def _run(request: str, descriptor: int) -> tuple[int, bool]:
    """Run the process to its end; returns its exit status, and whether it was interrupted."""
    on_terminal = _on_terminal()
    shown = {} if on_terminal else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", START],
        stdin=subprocess.PIPE,
        pass_fds=[descriptor],
        start_new_session=True,  # an interruption reaches it from here, once
        env=os.environ if on_terminal else {**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"},
        encoding="utf-8",
        errors="backslashreplace",
        **shown,  # type: ignore[call-overload]
    )
    is_interrupted = False
    try:
        with suppress(BrokenPipeError):  # it has ended, and its exit status is the answer
            process.stdin.write(f"{request}\n")
            process.stdin.flush()
        while process.returncode is None:
            try:
                for line in process.stdout or ():
                    print(line, end="", flush=True)
                process.wait()
            except KeyboardInterrupt:
                is_interrupted = True
                process.send_signal(signal.SIGINT)
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        if process.stdout:
            process.stdout.close()
        process.wait()
    return process.returncode, is_interrupted


def _on_terminal() -> bool:
    """Say whether what this process prints goes to a terminal of its own, on which bars can be drawn."""
    try:
        return sys.stdout.isatty() and sys.stdout.fileno() == 1
    except (AttributeError, OSError, ValueError):  # a notebook's stream has no descriptor
        return False


def _path() -> list[str]:
    """Return the path of modules, with this project's first and the script's own folder last.

    That may have a `hydra` or a `models` of its own. Builders of the user's are found there.
    """
    root = str(software.root())
    folders = dict.fromkeys(os.path.abspath(entry) for entry in sys.path)
    script = getattr(sys.modules["__main__"], "__file__", None)
    own = [folder for folder in (os.path.dirname(os.path.abspath(script or "x")), os.getcwd()) if folder in folders]
    return [root, *(folder for folder in folders if folder not in (root, *own)), *own]
