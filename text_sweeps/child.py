"""The tasks of the process that trains for Python, see `text_sweeps.process`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from conf import stored
from conf.compose import compose
from conf.schema import ConfigError, Data
from pipelines import sweep as command
from pipelines.command import execute
from pipelines.data import serving
from sweeps import journal
from sweeps.errors import SweepError, reason_of
from sweeps.journal import SweepRecord
from sweeps.plan import Plan
from sweeps.session.plans import recorded_plan
from sweeps.terminal.console import Console
from sweeps.trials.checkpoints import Checkpoints
from sweeps.trials.native_logs import without_native_logs
from text_sweeps import process

Task = Callable[[Sequence[str], Console], dict[str, Any]]


def main(task: str, arguments: Sequence[str], answer: int) -> NoReturn:
    """Do a task, write its answer (JSON) to the descriptor `answer`, and exit as a command does."""
    threading.Thread(target=_end_with_caller, daemon=True).start()
    with open(answer, "w", encoding="utf-8") as file:

        def action(_: Console) -> bool:
            try:
                # A notebook says that its output is a terminal's, and bars would be thousands of lines there.
                content = TASKS[task](arguments, Console(terminal=sys.stdout.isatty()))
            except tuple(process.ERRORS.values()) as error:
                kind = next(name for name, kind in process.ERRORS.items() if isinstance(error, kind))
                content = {"error": kind, "message": str(error)}
            json.dump(content, file)
            return "error" not in content

        execute(action)


def _end_with_caller() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def run_sweep(arguments: Sequence[str], console: Console) -> dict[str, Any]:
    """Run the sweeps of a command line; returns the directories of their journals."""
    sys.argv = ["text-sweeps", *arguments]
    records = command.run(compose(), console)
    return {"sweeps": [str(record.directory.absolute()) for record in records]}


def save_model(arguments: Sequence[str], console: Console) -> dict[str, Any]:
    """Save the network that a sweep chose, and the encoder of its texts, for `text_sweeps.saved_model`."""
    from sweeps.analysis import confirmation

    directory, folder = map(Path, arguments)
    record = SweepRecord.of(directory, journal.read(directory))
    choice = confirmation.choice(record)
    if choice is None:
        raise SweepError(f"{record.started.sweep}: no trial that could be chosen has completed")
    trial = choice.trial
    checkpoint = Checkpoints(directory / "checkpoints").load(trial.trial, trial.epochs)
    if checkpoint is None:
        raise SweepError(f"{directory}: the weights of trial {trial.trial} are gone")
    plan = recorded_plan(stored.parsed(record.config), record)
    with without_native_logs():
        try:
            from sweeps.trials import building

            _, network = building.rebuild(
                plan.spec(trial.trial, trial.values, 0, trial.epochs), checkpoint.best_weights
            )
            network.save(folder / "network.keras")
        except Exception as error:  # the data can be gone, and the builder another one by now
            name = record.started.sweep
            raise SweepError(f"{name}: its network cannot be built again: {reason_of(error)}") from error
    return {"without_texts": _save_encoder(plan, plan.settings(trial.values), folder)}


def _save_encoder(plan: Plan, settings: Data, folder: Path) -> str:
    """Save what turns texts into ids; returns why there is nothing that does, or an empty text."""
    if plan.source != "archive":
        return f"{plan.dataset}: generated stand-in data have no texts, so no text can be classified"
    if not settings.files and settings.text.words is None and settings.text.url is None:
        return f"datasets.{plan.dataset}.text names no word index, so no text can be classified"
    try:
        encoder = serving.of(plan.dataset, settings)
    except ConfigError as error:
        return str(error)
    (folder / "vocabulary").write_bytes(encoder.vocabulary)
    content = {"encoder": dict(encoder.encoder), "labels": list(encoder.labels)}
    (folder / "serving.json").write_text(json.dumps(content), encoding="utf-8")
    return ""


TASKS: Mapping[str, Task] = {"sweep": run_sweep, "save_model": save_model}
