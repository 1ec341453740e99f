"""All commands behind one name: `text-sweeps sweep …`, which is `python -m pipelines.sweep …`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version

from conf.schema import did_you_mean
from pipelines.command import COMMANDS
from sweeps.terminal import standard_streams
from sweeps.terminal.console import escaped, prepare_streams


def main() -> None:
    """Run the command that the first argument names, with the arguments behind it."""
    standard_streams.outlive_readers()
    prepare_streams()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help") and arguments:  # words that keys of a sweep have, or `all`
        name, arguments = "sweep", sys.argv[1:]
    if name in ("-h", "--help"):
        print("usage: text-sweeps COMMAND …, and --help behind a command\n")
        print("\n".join(f"  {command:<10} {purpose}" for command, purpose in COMMANDS.items()))
        print("\nthe keys of a sweep: text-sweeps --help all, or --help WORD, such as --help maxlen")
    elif name == "--version":
        print(f"text-sweeps {version('text-sweeps')}")
    elif name in COMMANDS:
        sys.argv = [sys.argv[0], *arguments]
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # for builders of the user's own, as with `python -m`
        import_module("pipelines.data.__main__" if name == "data" else f"pipelines.{name}").main()
    else:
        sys.exit(f"error: {escaped(name)}: allowed: {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")


if __name__ == "__main__":
    main()
