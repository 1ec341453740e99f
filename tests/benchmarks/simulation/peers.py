"""Other tools' searches on a table, each asked for trials and told of their epochs by its own interface.

A trial runs on the worker that asked for it. None continues a paused trial: their successive halving stops the worse
ones, and what Keras Tuner's Hyperband promotes is trained from its beginning, as it does without a checkpoint's help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from tests.benchmarks.simulation.clock import Clock, Seen
from tests.benchmarks.simulation.table import Epoch, Table, start_of


class Asked(NamedTuple):
    """A trial that a tool wants: what it knows it by, its values and its last epoch."""

    handle: Any
    values: Mapping[str, Any]
    epochs: int


class Tool(Protocol):
    """A tool's search of a task."""

    def ask(self) -> Asked | None:
        """Return the next trial; None while there is none, or for ever once the search is over."""

    def ends(self, handle: Any, epoch: int, validation: float) -> bool:
        """Take in an epoch, and return whether the trial is to end after it."""

    def tell(self, handle: Any, validation: float) -> None:
        """Take in the best value of a trial that has ended."""


class Trial(NamedTuple):
    """A trial on a worker: the epochs that it has had, and all that it could have."""

    asked: Asked
    done: list[Epoch]
    all: list[Epoch]


def search(table: Table, tool: Tool, workers: int, seed: int) -> list[Seen]:
    """Run a whole search on so many workers, and return what was seen."""
    clock, free, count = Clock(), workers, 0
    while True:
        while free and (asked := tool.ask()) is not None:
            epochs = table.trial(asked.values, seed + count)
            count, free = count + 1, free - 1
            clock.after(start_of(epochs) + epochs[0].seconds, Trial(asked, [], epochs))
        trial = clock.next()
        if trial is None:
            return clock.seen
        asked, done, epochs = trial
        done.append(epochs[len(done)])
        clock.ended(done[-1])
        if tool.ends(asked.handle, len(done), done[-1].validation) or len(done) == asked.epochs:
            tool.tell(asked.handle, max(epoch.validation for epoch in done))
            free += 1
        else:
            clock.after(epochs[len(done)].seconds, trial)


class KerasTuner:
    """One of its oracles; Hyperband goes through its brackets again and again until so many trials were asked for."""

    def __init__(self, oracle: str, table: Table, trials: int, seed: int, folder: str) -> None:
        import keras_tuner

        hyperparameters = keras_tuner.HyperParameters()
        for name, values in table.task.grid.items():
            hyperparameters.Choice(name, list(values), ordered=True)
        objective = keras_tuner.Objective("val_accuracy", "max")
        options: dict[str, Any] = {"objective": objective, "hyperparameters": hyperparameters, "seed": seed}
        if oracle == "HyperbandOracle":
            options |= {"max_epochs": table.task.epochs, "hyperband_iterations": 100}
        else:
            options |= {"max_trials": trials}
        self._oracle = getattr(keras_tuner.oracles, oracle)(**options)
        self._oracle._set_project_dir(folder, "search")
        self._oracle.verbose = 0
        self._left, self._epochs = trials, table.task.epochs

    def ask(self) -> Asked | None:
        if self._left == 0:
            return None
        trial = self._oracle.create_trial(f"slot-{self._left}")
        if trial.status != "RUNNING":
            return None
        self._left -= 1
        values = trial.hyperparameters.values
        return Asked(trial, values, values.get("tuner/epochs", self._epochs))

    def ends(self, handle: Any, epoch: int, validation: float) -> bool:
        return False

    def tell(self, handle: Any, validation: float) -> None:
        self._oracle.update_trial(handle.trial_id, {"val_accuracy": validation})
        handle.status = "COMPLETED"
        self._oracle.end_trial(handle)


class Optuna:
    """One of its samplers with one of its pruners, `<sampler>, <pruner>`; it writes nothing into the folder."""

    def __init__(self, method: str, table: Table, trials: int, seed: int, folder: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruners: dict[str, Callable[[], Any]] = {
            "none": optuna.pruners.NopPruner,
            "median": optuna.pruners.MedianPruner,
            "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=table.task.epochs),
        }
        samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        sampler, _, pruner = method.partition(", ")
        self._study = optuna.create_study(
            direction="maximize", sampler=samplers[sampler](seed=seed), pruner=pruners[pruner]()
        )
        self._task, self._left = table.task, trials
        self._pruned = optuna.trial.TrialState.PRUNED
        self._to_prune: set[int] = set()

    def ask(self) -> Asked | None:
        if self._left == 0:
            return None
        self._left -= 1
        trial = self._study.ask()
        values = {name: trial.suggest_categorical(name, list(values)) for name, values in self._task.grid.items()}
        return Asked(trial, values, self._task.epochs)

    def ends(self, handle: Any, epoch: int, validation: float) -> bool:
        handle.report(validation, epoch)
        if handle.should_prune():
            self._to_prune.add(handle.number)
        return handle.number in self._to_prune

    def tell(self, handle: Any, validation: float) -> None:
        if handle.number in self._to_prune:
            self._study.tell(handle, state=self._pruned)
        else:
            self._study.tell(handle, validation)
