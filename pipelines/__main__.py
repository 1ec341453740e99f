"""All commands behind one name: `text-sweeps sweep …`, which is `python -m pipelines.sweep …`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version

from conf.schema import did_you_mean
from sweeps.terminal.console import escaped

COMMANDS = {
    "sweep": "search the hyperparameters of a model on every configured dataset",
    "data": "show the content of a dataset, and its consequences for a sweep",
    "confirm": "retrain the best configurations of a sweep with several seeds",
    "report": "write a page for every sweep in a store",
    "predict": "classify texts with a registered model",
    "ui": "show the running sweeps, and MLflow's pages at the newest sweep's comparison",
    "sync": "bring sweeps into a store that did not get them whole",
    "reproduce": "repeat one trial of a store: is every epoch equal?",
}


def main() -> None:
    """Run the command that the first argument names, with the arguments behind it."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print("usage: text-sweeps COMMAND …, and --help behind a command\n")
        print("\n".join(f"  {command:<10} {purpose}" for command, purpose in COMMANDS.items()))
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
