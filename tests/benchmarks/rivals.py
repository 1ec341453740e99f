"""The sweep that a user would write without this project, with Keras Tuner or with Optuna, and MLflow's autologging.

    python -m tests.benchmarks.rivals keras_tuner|optuna SETTINGS.json

The models, the data (already encoded), the space and the epochs are this project's, so that only the sweeps differ.
Prints one line of JSON: when, after the start of the process, each trial ended, its best validation accuracy and its
epochs. Needs the packages in requirements.txt beside this file.
"""

from __future__ import annotations

import atexit
import gc
import json
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import keras
import mlflow
import psutil

from conf.schema import Buildable
from pipelines.data import dataset
from sweeps.search import space
from sweeps.search.space import Space
from sweeps.trials.spec import Dataset

# As a user's own program has it; importing ours has set it otherwise.
gc.set_threshold(700, 10, 10)
atexit.unregister(gc.freeze)


class Settings(NamedTuple):
    """What all tools have to do. `values` are the trials to run; without them each tool searches as it does."""

    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    data: Mapping[str, Any]
    trials: int
    epochs: int
    batch_size: int
    patience: int | None
    seed: int
    values: list[dict[str, Any]] | None


class Ended(NamedTuple):
    seconds: float  # since the process began
    accuracy: float  # best on validation
    epochs: int


class Sweep:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data: Dataset = dataset.load(**settings.data)
        self.space: Space = space.read(Buildable(**settings.model), Buildable(**settings.optimizer))
        self.ended: list[Ended] = []

    def build(self, values: Mapping[str, Any]) -> keras.Model:
        of_model, of_optimizer = self.space.split(self.space.complete(values))
        shape = {key: getattr(self.data, key) for key in ("num_words", "maxlen", "num_classes")}
        model = _named(self.settings.model["build"])(**shape, **of_model)
        optimizer = _named(self.settings.optimizer["build"])(**of_optimizer)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit_arguments(self) -> dict[str, Any]:
        settings = self.settings
        stop = [keras.callbacks.EarlyStopping("val_accuracy", patience=settings.patience)] if settings.patience else []
        return {
            "validation_data": tuple(self.data.validation),
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "callbacks": stop,
            "verbose": 0,
        }

    def test(self, model: keras.Model) -> None:
        scores = model.evaluate(*self.data.test, batch_size=500, verbose=0, return_dict=True)
        mlflow.log_metrics({f"test_{name}": value for name, value in scores.items()})

    def end(self, curve: list[float]) -> None:
        self.ended.append(Ended(time.time() - psutil.Process().create_time(), max(curve), len(curve)))


def _named(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def keras_tuner(sweep: Sweep) -> None:
    import keras_tuner as kt

    settings = sweep.settings
    listed = iter(settings.values or [])

    class Listed(kt.oracles.RandomSearchOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            values = next(listed, None)
            return {"status": "STOPPED"} if values is None else {"status": "RUNNING", "values": values}

    class Tuner(kt.Tuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            with mlflow.start_run(run_name=trial.trial_id, nested=True):
                mlflow.log_params(trial.hyperparameters.values)
                histories = super().run_trial(trial, *args, **kwargs)
                sweep.test(self.load_model(trial))
            sweep.end(histories[0].history["val_accuracy"])
            return histories

    oracle = (Listed if settings.values else kt.oracles.RandomSearchOracle)(
        objective=kt.Objective("val_accuracy", "max"),
        max_trials=settings.trials,
        hyperparameters=sweep.space.hyperparameters(),
        tune_new_entries=False,
        seed=settings.seed,
    )
    tuner = Tuner(oracle=oracle, hypermodel=lambda hp: sweep.build(hp.values), directory="kt", overwrite=True)
    tuner.search(*sweep.data.train, **sweep.fit_arguments())


def optuna(sweep: Sweep) -> None:
    import optuna

    settings = sweep.settings
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    class Prune(keras.callbacks.Callback):
        def __init__(self, trial: optuna.Trial) -> None:
            super().__init__()
            self._trial = trial

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
            self._trial.report(logs["val_accuracy"], epoch)
            self.model.stop_training |= self._trial.should_prune()

    def objective(trial: optuna.Trial) -> float:
        values = {hp.name: _suggest(trial, hp.name, hp.kind, hp.arguments) for hp in sweep.space.searched}
        keras.backend.clear_session()
        with mlflow.start_run(run_name=str(trial.number), nested=True):
            mlflow.log_params(values)
            model, arguments = sweep.build(values), sweep.fit_arguments()
            arguments["callbacks"].append(Prune(trial))
            history = model.fit(*sweep.data.train, **arguments).history
            sweep.test(model)
        sweep.end(history["val_accuracy"])
        if trial.should_prune():
            raise optuna.TrialPruned
        return float(max(history["val_accuracy"]))

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(settings.seed),
        pruner=optuna.pruners.NopPruner() if settings.values else optuna.pruners.MedianPruner(),
    )
    for values in settings.values or []:
        study.enqueue_trial(values)
    study.optimize(objective, n_trials=settings.trials)


def _suggest(trial: Any, name: str, kind: str, arguments: Mapping[str, Any]) -> Any:
    if kind == "Choice":
        return trial.suggest_categorical(name, arguments["values"])
    suggest = trial.suggest_int if kind == "Int" else trial.suggest_float
    step = {"step": arguments["step"]} if "step" in arguments else {}
    return suggest(name, arguments["min_value"], arguments["max_value"], log=arguments.get("sampling") == "log", **step)


def main(tool: str, path: str) -> None:
    sweep = Sweep(Settings(**json.loads(Path(path).read_text())))
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment(tool)
    mlflow.tensorflow.autolog(log_models=False)
    with mlflow.start_run(run_name="sweep"):
        {"keras_tuner": keras_tuner, "optuna": optuna}[tool](sweep)
    print(json.dumps([ended._asdict() for ended in sweep.ended]))


if __name__ == "__main__":
    main(*sys.argv[1:])
