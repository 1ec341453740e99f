"""The trials of earlier sweeps in the view of an experiment."""

from typing import Any

from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag

from sweeps.tracking import experiment_trials
from sweeps.tracking.comparison_page import Comparison

NEWEST = Comparison("s/imdb", "val/accuracy", ["dropout", "units"], digest="d1")


def trial(network: str, digest: str = "d1", objective: str = "val/accuracy", **params: str) -> Run:
    tags = {"model": network, "data.digest": digest, "objective": objective, "sweep": "other/imdb"}
    data = RunData([], [Param(*each) for each in params.items()], [RunTag(*each) for each in tags.items()])
    return Run(RunInfo("r", "1", "me", "FINISHED", 0, 2000, "active"), data)


def test_each_network_has_a_chart_of_what_differs_and_all_of_its_trials_have() -> None:
    trials = [
        trial("cnn", dropout="0.1", filters="50", rate="1"),
        trial("cnn", dropout="0.1", filters="90", rate="1"),
        trial("bag-mlp", model="bag", dropout="0.1", pairs="7"),
        trial("bag-mlp", model="bag", dropout="0.2", pairs="7", more="1"),
        trial("other", digest="d2", dropout="0.1"),
        trial("another", objective="val/loss", dropout="0.1"),
        trial("lstm", dropout="0.1", units="5", maxlen="9"),
        trial("lstm", dropout="0.1", units="5", maxlen="8"),
    ]
    assert experiment_trials.axes(trials, NEWEST, "lstm") == {
        "bag, cnn, lstm": ["dropout"],  # MLflow draws all that have these
        "cnn": ["filters"],
        "lstm": ["dropout", "units", "maxlen"],
    }


def test_the_first_sweep_of_an_experiment_has_its_own_axes() -> None:
    assert experiment_trials.axes([], NEWEST, "lstm") == {"lstm": ["dropout", "units"]}
    several = NEWEST._replace(networks={"bag": ["dropout"], "lstm": ["dropout", "units"]})
    assert experiment_trials.axes([], several, "bag-lstm") == {"bag, lstm": ["dropout"], "lstm": ["dropout", "units"]}


def test_networks_that_all_have_the_hyperparameters_of_each_share_a_chart() -> None:
    newest = NEWEST._replace(searched=["dropout"])
    trials = [trial("gru", dropout="0.1", units=units) for units in "12"]
    trials += [trial("lstm", dropout=dropout, units="1") for dropout in "34"]
    assert experiment_trials.axes(trials, newest, "lstm") == {"gru, lstm": ["units", "dropout"]}


def test_the_score_of_an_earlier_version_gets_the_name_that_others_have() -> None:
    logged: list[tuple[str, list[Metric]]] = []

    class Client:
        def log_batch(self, run: str, metrics: list[Metric]) -> None:
            logged.append((run, metrics))

    def scored(**metrics: float) -> Run:
        run = trial("lstm")
        for name, value in metrics.items():
            run.data._metrics[name] = value
        return run

    client: Any = Client()
    trials = [scored(objective=0.5), scored(objective=0.5, **{"best/val/accuracy": 0.5}), scored()]
    experiment_trials.complete(client, trials)
    ((_, (metric,)),) = logged
    assert (metric.key, metric.value, metric.step, metric.timestamp) == ("best/val/accuracy", 0.5, 0, 2000)
