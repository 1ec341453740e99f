"""The sweep that a user would write without this project: with Keras Tuner, Optuna or Ray Tune, and MLflow.

    python -m tests.benchmarks.rivals keras_tuner|optuna|ray_tune TASK.json

The first two log by MLflow's autologging. Ray Tune trains as many one-core trials at once as there are cores, and logs
by its own MLflow callback.

The models, the data (already encoded), the space and the epochs are this project's, so that only the sweeps differ.
Prints one line of JSON with an entry for each trial: the seconds from the start of the process to its end, its best
validation accuracy and its epochs. Needs the packages in requirements.txt beside this file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import keras
import psutil

from conf import stored
from pipelines.data import dataset
from sweeps.search import space
from tests.benchmarks import commands


class Task(NamedTuple):
    """The sweep to run: this project's configuration, the seed, and the trials; without those each tool searches."""

    yaml: str
    seed: int
    values: list[dict[str, Any]] | None


class Ended(NamedTuple):
    seconds: float  # since the process began
    accuracy: float  # best on validation
    epochs: int


class Sweep:
    """The parts of a sweep that both rivals share."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.config = stored.parsed(task.yaml)
        ((name, settings),) = self.config.datasets.items()
        self.data = dataset.load(name=name, settings=settings)
        self.space = space.read(self.config.parts(name))
        self.ended: list[Ended] = []

    def build(self, proposed: Mapping[str, Any]) -> keras.Model:
        values = self.space.complete(proposed)
        model = commands.network(self.config, values)
        module, _, function = self.config.optimizer.build.rpartition(".")
        build = getattr(import_module(module), function)
        optimizer = build(**{name: values[name] for name in self.config.optimizer.space})
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit_arguments(self) -> dict[str, Any]:
        stop = keras.callbacks.EarlyStopping("val_accuracy", patience=self.config.patience)
        return {
            "validation_data": tuple(self.data.validation),
            "epochs": self.config.epochs,
            "batch_size": self.config.batch_size,
            "callbacks": [] if self.task.values else [stop],
            "verbose": 0,
        }

    def test(self, model: keras.Model) -> dict[str, float]:
        scores = model.evaluate(*self.data.test, batch_size=500, verbose=0, return_dict=True)
        return {f"test_{name}": value for name, value in scores.items()}

    def end(self, curve: list[float], at: float | None = None) -> None:
        """Note that a trial has ended now, or at this time since the epoch."""
        seconds = (at or time.time()) - psutil.Process().create_time()
        self.ended.append(Ended(seconds, max(curve), len(curve)))


def keras_tuner(sweep: Sweep) -> None:
    import keras_tuner as kt
    import mlflow

    listed = iter(sweep.task.values or [])

    class Listed(kt.oracles.RandomSearchOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            values = next(listed, None)
            return {"status": "STOPPED"} if values is None else {"status": "RUNNING", "values": values}

    class Tuner(kt.Tuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            with mlflow.start_run(run_name=trial.trial_id, nested=True):
                mlflow.log_params(trial.hyperparameters.values)
                histories = super().run_trial(trial, *args, **kwargs)
                mlflow.log_metrics(sweep.test(self.load_model(trial)))
            sweep.end(histories[0].history["val_accuracy"])
            return histories

    oracle = (Listed if sweep.task.values else kt.oracles.RandomSearchOracle)(
        objective=kt.Objective("val_accuracy", "max"),
        max_trials=sweep.config.trials,
        hyperparameters=sweep.space.hyperparameters(),
        tune_new_entries=False,
        seed=sweep.task.seed,
    )
    tuner = Tuner(oracle=oracle, hypermodel=lambda hp: sweep.build(hp.values), directory="kt", overwrite=True)
    tuner.search(*sweep.data.train, **sweep.fit_arguments())


def optuna(sweep: Sweep) -> None:
    import mlflow
    import optuna

    task = sweep.task
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
            mlflow.log_metrics(sweep.test(model))
        sweep.end(history["val_accuracy"])
        if trial.should_prune():
            raise optuna.TrialPruned
        return float(max(history["val_accuracy"]))

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(task.seed),
        pruner=optuna.pruners.NopPruner() if task.values else optuna.pruners.MedianPruner(),
    )
    for values in task.values or []:
        study.enqueue_trial(values)
    study.optimize(objective, n_trials=sweep.config.trials)


def ray_tune(sweep: Sweep) -> None:
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    task, objective = sweep.task, {"metric": "val_accuracy", "mode": "max"}
    variables = {"TF_NUM_INTRAOP_THREADS": "1", "PYTHONPATH": os.environ["PYTHONPATH"]}
    ray.init(include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": variables})
    space = {hp.name: _domain(hp.kind, hp.arguments) for hp in sweep.space.searched}
    listed = {"listed": tune.grid_search(task.values)} if task.values else space
    tuner = tune.Tuner(
        tune.with_resources(partial(_ray_trial, task=task), {"cpu": 1}),
        param_space=listed,
        tune_config=tune.TuneConfig(
            num_samples=1 if task.values else sweep.config.trials,
            scheduler=None if task.values else tune.schedulers.ASHAScheduler(**objective, max_t=sweep.config.epochs),
        ),
        run_config=tune.RunConfig(
            storage_path=str(Path("ray").absolute()),
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="ray_tune")],
        ),
    )
    for result in tuner.fit():
        if result.error:
            raise result.error
        reported = result.metrics_dataframe
        sweep.end(reported["val_accuracy"].dropna().tolist(), at=float(reported["timestamp"].max()))
    ray.shutdown()


def _ray_trial(config: dict[str, Any], *, task: Task) -> None:
    from ray import tune

    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
            tune.report(dict(logs))

    sweep = Sweep(task)
    model, arguments = sweep.build(config.get("listed", config)), sweep.fit_arguments()
    arguments["callbacks"].append(Report())
    model.fit(*sweep.data.train, **arguments)
    tune.report(sweep.test(model))


def _domain(kind: str, arguments: Mapping[str, Any]) -> Any:
    """Return Ray's search space of a hyperparameter; its integers end before their upper bound."""
    from ray import tune

    if kind == "Choice":
        return tune.choice(arguments["values"])
    low, high, step = arguments["min_value"], arguments["max_value"], arguments.get("step")
    if arguments.get("sampling") == "log":
        return (tune.lograndint if kind == "Int" else tune.loguniform)(low, high)
    if kind == "Int":
        return tune.qrandint(low, high, step or 1)
    return tune.quniform(low, high, step) if step else tune.uniform(low, high)


def _suggest(trial: Any, name: str, kind: str, arguments: Mapping[str, Any]) -> Any:
    if kind == "Choice":
        return trial.suggest_categorical(name, arguments["values"])
    suggest = trial.suggest_int if kind == "Int" else trial.suggest_float
    step = {"step": arguments["step"]} if "step" in arguments else {}
    return suggest(name, arguments["min_value"], arguments["max_value"], log=arguments.get("sampling") == "log", **step)


def main(tool: str, path: str) -> None:
    sweep = Sweep(Task(**json.loads(Path(path).read_text())))
    if tool == "ray_tune":
        ray_tune(sweep)
    else:
        _autologged(tool, sweep)
    print(json.dumps([ended._asdict() for ended in sweep.ended]))


def _autologged(tool: str, sweep: Sweep) -> None:
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment(tool)
    mlflow.tensorflow.autolog(log_models=False)
    with mlflow.start_run(run_name="sweep"):
        {"keras_tuner": keras_tuner, "optuna": optuna}[tool](sweep)


if __name__ == "__main__":
    main(*sys.argv[1:])
