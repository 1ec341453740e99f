"""The entry point of `mlflow run .`: starts a command with the parameters that were given as `-P key=value`.

    mlflow run . -P model=lstm -P engine.workers=1   pipelines.sweep model=lstm engine.workers=1
    mlflow run . -e report                           pipelines.report
    mlflow run . -e confirm                          pipelines.confirm

MLflow hands on a parameter as `--key value`. The run that it made for this is the parent of the sweeps' runs and ends
as they do: MLflow itself marks it FINISHED or FAILED, unless it was interrupted or has been killed; then it is KILLED.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module

from conf import secrets
from pipelines.command import INTERRUPTED, handle_signals
from sweeps.terminal.console import escaped

COMMANDS = ("sweep", "report", "confirm")
LOOK = 1.0  # seconds between two looks at whether `mlflow run` is still there


def main() -> None:
    command, *parameters = sys.argv[1:] or [""]
    if command not in COMMANDS:
        sys.exit(f"error: {escaped(command)}: allowed: {', '.join(COMMANDS)}")
    sys.argv = [f"pipelines.{command}", *arguments(parameters)]
    refuse_passwords(sys.argv[1:])
    handle_signals(signal.default_int_handler)
    mlflow = os.getppid()
    threading.Thread(target=_end_with, args=(mlflow,), daemon=True).start()
    status = 0
    try:
        import_module(f"pipelines.{command}").main()
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
        raise
    except KeyboardInterrupt:
        status = INTERRUPTED
        raise
    finally:
        if status == INTERRUPTED or os.getppid() != mlflow:
            _end_run({0: "FINISHED", INTERRUPTED: "KILLED"}.get(status, "FAILED"))


def arguments(parameters: Sequence[str]) -> list[str]:
    """Turn `--key value` into `key=value`."""
    keys, values = parameters[::2], parameters[1::2]
    return [f"{key.removeprefix('--')}={value}" for key, value in zip(keys, values, strict=True)]


def refuse_passwords(given: Sequence[str]) -> None:
    """Exit for a parameter with a password: MLflow has logged it before this process began, and never removes it."""
    for argument in given:
        key, _, address = argument.partition("=")
        if (shown := secrets.public(address)) != address:
            sys.exit(
                f"error: {key}={shown}: MLflow has recorded its password, as a parameter of the run "
                f"{os.environ.get('MLFLOW_RUN_ID', 'that it made')}; delete that run with `mlflow gc`, change the "
                f"password, and give it without -P: {secrets.ways(shown)}"
            )


def _end_with(mlflow: int) -> None:
    """End this process as Ctrl-C does when `mlflow run` has been killed, as nobody waits for it any more."""
    while os.getppid() == mlflow:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)


def _end_run(status: str) -> None:
    from sweeps.tracking.tracker import end_project_run

    end_project_run(status)


if __name__ == "__main__":
    main()
