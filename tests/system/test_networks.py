"""A sweep of several networks as its user runs it, from the command line to the answers of its model."""

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf.schema import Engine, Job
from pipelines import confirm, predict
from pipelines.data import serving
from sweeps.session import confirm as confirming
from sweeps.session import reproduce as repeating
from sweeps.session.session import Session
from sweeps.tracking.client import search_runs
from tests.system.conftest import run_job

STORE = "sqlite:///mlflow.db"
SMALL = (
    "data=reviews.csv",
    "datasets.reviews.num_words=50",
    "datasets.reviews.maxlen=8",
    "model=[bag,lstm]",
    "model.space.embedding_dim={kind: Choice, values: [4, 8], default: 4}",
    "networks.bag.space.pairs=0",
    "networks.lstm.space.lstm_units={min_value: 4, max_value: 8, step: 2, default: 4}",
    "optimizer.space.learning_rate=0.02",
    "stopping=none",
    "epochs=2",
)


def write_reviews() -> None:
    """Write texts whose words give their labels away."""
    rng = random.Random(0)
    words = {"good": ["fine", "great", "lovely"], "bad": ["dull", "poor", "awful"]}
    rows = [
        (label, " ".join(rng.choices([*words[label], "the", "film", "was"], k=6)))
        for label in words
        for _ in range(150)
    ]
    with Path("reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "text"), *rows])


@pytest.mark.long
@pytest.mark.usefixtures("fresh_store")
def test_several_networks_are_searched_resumed_confirmed_repeated_and_asked(
    cluster: str, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reviews()
    monkeypatch.setattr(repeating, "Engine", lambda *_: Engine("cluster", scheduler=cluster))
    search = *SMALL, "engine=cluster", f"engine.scheduler={cluster}"
    (first,), output = run_job(composed(*search, "trials=2", f"tracking.uri={STORE}"))
    assert [trial.values["model"] for trial in first.trials.values()] == ["bag", "lstm"]
    assert "The best val/accuracy of each network" in output
    resume = f"resume={first.directory.parent}"
    (record,), output = run_job(composed(resume, "trials=5"))
    assert [trial.status for trial in record.trials.values()] == ["completed"] * 5
    assert [t.curves for t in record.trials.values()][:2] == [t.curves for t in first.trials.values()]
    (whole,), _ = run_job(composed(*search, "trials=5", "tracking.uri=sqlite:///other.db"))
    assert [(t.values, t.curves, t.test) for t in whole.trials.values()] == [
        (t.values, t.curves, t.test) for t in record.trials.values()
    ]
    assert {trial.values["model"] for trial in record.trials.values()} == {"bag", "lstm"}

    client = MlflowClient(STORE)
    runs = search_runs(client, "tags.kind = 'trial'")
    assert {int(run.data.tags["trial"]): run.data.params for run in runs} == {
        n: {name: str(value) for name, value in trial.values.items()} for n, trial in record.trials.items()
    }
    page = (record.directory / "report.html").read_text()
    assert "lstm.lstm_units" in page
    assert "of each network" in page

    console = Console(file=io.StringIO(), width=200)
    asked = confirm.read_arguments([f"sweep={record.started.sweep}", "top=3", "seeds=2", f"tracking.uri={STORE}"])
    (confirmed,) = confirming.confirm(asked, Session(console, serving.of))
    assert len(confirmed.completed) == confirmed.budget
    assert all(trial.values == record.trials[trial.origin or 0].values for trial in confirmed.completed)
    assert {trial.values["model"] for trial in confirmed.completed} == {"bag", "lstm"}

    lstm = next(run for run in runs if run.data.params["model"] == "lstm")
    repeated = composed(f"reproduce={lstm.info.run_id}", f"tracking.uri={STORE}").config
    assert repeating.reproduce(repeated, console, {})

    assert {each.name for each in client.search_registered_models()} == {"bag-lstm-reviews"}
    arguments = predict.read_arguments([f"tracking.uri={STORE}", "a lovely film", "a dull film"])
    assert predict.predict(arguments, console)
    assert isinstance(console.file, io.StringIO)
    assert "bag-lstm-reviews" in console.file.getvalue()
