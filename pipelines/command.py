"""The commands, and what all share: key=value arguments, signals, errors in one line, and the exit status."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from conf import secrets
from conf.schema import ConfigError, did_you_mean
from sweeps import invocation, runtime
from sweeps.errors import SweepError
from sweeps.terminal import standard_streams
from sweeps.terminal.console import Console, Lines, escaped, prepare_streams

COMMANDS = {
    "sweep": "search the hyperparameters of a model on every configured dataset",
    "list": "show the sweeps here and in the store: their state, and how to go on",
    "data": "show the content of a dataset, and its consequences for a sweep",
    "confirm": "retrain the best configurations of a sweep with several seeds",
    "report": "write a page for every sweep in a store",
    "export": "write the trials of a sweep and their curves as CSV or Parquet",
    "predict": "classify texts with a registered model",
    "ui": "open MLflow's pages at the comparison of the newest sweep's trials",
    "sync": "bring sweeps into a store that did not get them whole",
    "reproduce": "repeat one trial of a store: is every epoch equal?",
    "completion": "print what lets bash or zsh complete commands, keys and names",
}

INTERRUPTED = 130  # exit status
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, the end of a job, the end of its terminal
MODULE = re.compile(r"python -m pipelines\.(\w+)")
Handler = Callable[[int, Any], object]

_interrupted = threading.Event()


def execute(action: Callable[[Console], bool], *, on_signal: Handler | None = None) -> NoReturn:
    """Run a command and exit: 0 if it returns true, 1 if not or for an error, 130 if it was interrupted.

    A mistake of the user's, a sweep that cannot go on and an error of the operating system are one line on standard
    error. Nothing that is printed, tracebacks included, has a password in it. The command goes on when nobody reads
    what it prints, as in `… | head -2`.
    """
    standard_streams.outlive_readers()
    secrets.hide_in_output()
    runtime.prepare()
    prepare_streams()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Lines())
    handle_signals(on_signal or interrupt)
    try:
        succeeded = action(Console())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if _interrupted.is_set():  # a library in which it struck has raised an error of its own instead
            sys.exit(INTERRUPTED)
        if not isinstance(error, ConfigError | SweepError | OSError):
            raise
        sys.exit(f"error: {escaped(str(error))}")
    sys.exit(0 if succeeded else 1)


def handle_signals(handler: Handler) -> None:
    """Set the handler of all signals that end a command; `nohup` keeps its word."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def interrupt(number: int, _: object) -> NoReturn:
    """End in order at the first signal and at once at the second; the workers end when this process does."""
    for other in SIGNALS:
        # `mlflow run` answers Ctrl-C, which has reached this process too, with a SIGTERM of its own.
        signal.signal(other, signal.SIG_IGN)
    if number != signal.SIGHUP:  # which comes twice, from the shell and from the terminal
        signal.signal(number, lambda *_: os._exit(INTERRUPTED))
    _interrupted.set()
    raise KeyboardInterrupt


def asks_for_help(arguments: Sequence[str]) -> bool:
    return bool({"-h", "--help"} & set(arguments))


def show_help(arguments: Sequence[str], text: str | None) -> None:
    """Print a command's help, with its commands as they are called here, and exit if its arguments ask for it."""
    if asks_for_help(arguments):
        print("\n".join(map(_as_called_here, (text or "").split("\n"))))
        sys.exit()


def _as_called_here(line: str) -> str:
    """Return a line of a help text with the command that works here; a second column stays where it is."""
    command = MODULE.search(line)
    if command is None:
        return line
    called = invocation.command(command[1])
    before, after = line[: command.start()], line[command.end() :]
    longer = len(called) - len(command[0])
    return before + called + re.sub("  +", lambda gap: " " * (len(gap[0]) - min(longer, 0)), after, count=1)


def read_options(arguments: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
    """Return the value of each key, the last one if there are several; raises `ConfigError` for anything else."""
    options = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in allowed or not value:
            raise ConfigError(f"{argument}: allowed: {'=…, '.join(allowed)}=…{did_you_mean(key, allowed)}")
        options[key] = value
    return options


def whole_number(options: dict[str, str], key: str, least: int, default: int | None = None) -> int:
    """Return an option as a number of at least `least`; raises `ConfigError` for anything else."""
    value = options.get(key, str(default))
    if not value.isdecimal() or int(value) < least:
        raise ConfigError(f"{key}={value}: must be a whole number of at least {least}")
    return int(value)
