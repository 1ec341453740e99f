"""Record the learning curves of a task's whole grid, as many trials at once as the machine has cores.

    python -m tests.benchmarks.curves.recording lstm_reuters [key=value …]

Keys are this project's own, e.g. the place of an archive or of a table (`data=…` is the task's dataset unless given).
Writes curves/<task>.npz when all runs are there. It can be interrupted at any time: the runs that have ended are in
curves/<task>.jsonl, and the same command goes on. Say in the file's history on which machine it ran.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from typing import Any

import numpy as np

from conf.schema import Config, Data
from pipelines.data import dataset
from sweeps.plan import trial_seed
from sweeps.search import space
from sweeps.trials.spec import Dataset, Split, TrialSpec
from tests.benchmarks.commands import job_of
from tests.benchmarks.curves.tasks import FOLDER, TASKS, Task

PARTS = {"train": ("loss", "accuracy", "macro_f1"), "val": ("loss", "accuracy", "macro_f1")}
TEST = ("test/loss", "test/accuracy", "test/macro_f1")
COLUMNS = (*(f"{part}/{name}" for part, names in PARTS.items() for name in names), *TEST, "seconds")


def main() -> None:
    name, *overrides = sys.argv[1:]
    if name not in TASKS:
        sys.exit(f"error: {name}: no task; there are {', '.join(TASKS)}")
    task = TASKS[name]
    path = FOLDER / f"{name}.jsonl"
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(run["configuration"], run["seed"]) for run in done}
    left = [run for run in task.runs() if run not in known]
    print(f"{name}: {len(known)} of {len(task.runs())} runs are recorded", flush=True)
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # as a sweep's worker has
    with (
        ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool,
        path.open("a") as file,
    ):
        for future in as_completed(pool.submit(recorded, name, overrides, *run) for run in left):
            done.append(future.result())
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
    write(task, done)


def write(task: Task, done: Sequence[dict[str, Any]]) -> None:
    """Write the runs in the order of the grid, as numbers of single precision."""
    in_order = sorted(done, key=lambda run: (run["seed"], run["configuration"]))
    np.savez_compressed(
        FOLDER / f"{task.name}.npz",
        names=np.array(list(task.grid)),
        columns=np.array(COLUMNS),
        values=np.array([list(each.values()) for each in task.configurations()]),
        configuration=np.array([run["configuration"] for run in in_order], dtype=np.int16),
        curves=np.array([run["curves"] for run in in_order], dtype=np.float32),
    )


def recorded(name: str, overrides: Sequence[str], configuration: int, seed: int) -> dict[str, Any]:
    """Train one configuration for all epochs, and test it after each."""
    from sweeps.trials import evaluation
    from sweeps.trials.building import compiled
    from sweeps.trials.training import fit_epoch

    task = TASKS[name]
    spec = _spec(name, tuple(overrides), configuration)._replace(seed=trial_seed(seed, configuration))
    data, model = compiled(spec)
    curves: list[list[float]] = []
    for epoch in range(task.epochs):
        began = time.process_time()
        values = fit_epoch(model, data, spec, epoch, COLUMNS[: -len(TEST) - 1])
        seconds = time.process_time() - began  # of the processor: others may use the machine meanwhile
        scores = evaluation.scores(evaluation.predict(model, data.test), data.test.y)
        curves.append([*values.values(), *(scores[column] for column in TEST), seconds])
    return {"configuration": configuration, "seed": seed, "curves": curves}


@cache
def _config(name: str, overrides: Sequence[str]) -> Config:
    task = TASKS[name]
    maxlen = f"datasets.{task.dataset}.maxlen={task.maxlen}"
    data = [] if any(key.startswith("data=") for key in overrides) else [f"data={task.dataset}"]
    return job_of([f"model={task.model}", *data, *overrides, maxlen, f"batch_size={task.batch_size}"]).config


def _spec(name: str, overrides: Sequence[str], configuration: int) -> TrialSpec:
    """Return the spec of a configuration of the task's grid, on the documents that the task keeps."""
    task, config = TASKS[name], _config(name, overrides)
    return TrialSpec(
        sweep=name,
        trial=0,
        attempt=1,
        seed=0,
        build=config.model.build,
        optimizer=config.optimizer.build,
        values=space.read(config.parts(task.dataset)).complete(task.configurations()[configuration]),
        load=f"{__name__}.cut",
        data={"name": task.dataset, "settings": config.datasets[task.dataset], "task": name},
        digest=name,
        batch_size=config.batch_size,
        objective=config.objective,
        patience=None,
        test_last_epoch=False,
        initial_epoch=0,
        epochs=task.epochs,
    )


def cut(name: str, settings: Data, task: str) -> Dataset:
    """Load a dataset and keep the task's number of texts of train, validation and test."""
    data = dataset.load(name=name, settings=settings)
    if data.source == "standin":
        raise SystemExit(f"error: data: the real documents are wanted, e.g. datasets.{name}.archive=…")
    parts = []
    sizes = (TASKS[task].train, TASKS[task].validation, TASKS[task].test)
    for part, size in zip((data.train, data.validation, data.test), sizes, strict=True):
        chosen = np.random.default_rng(0).permutation(len(part.y))[:size]
        parts.append(Split(part.x[chosen], part.y[chosen]))
    return data._replace(train=parts[0], validation=parts[1], test=parts[2], digest=task)


if __name__ == "__main__":
    main()
