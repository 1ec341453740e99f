"""The trials that an experiment has of earlier sweeps: what they lack, and what they are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run

from conf.schema import NETWORK
from sweeps.metrics import OBJECTIVES, chosen
from sweeps.tracking import comparison_page
from sweeps.tracking.client import all_pages, at_step_0
from sweeps.tracking.comparison_page import Comparison

EARLIER = "objective"  # the name that earlier versions gave to what is `chosen(<objective>)` here


def of(client: MlflowClient, experiment: str) -> list[Run]:
    """Return the runs of the experiment's trials that this project has logged."""
    runs = all_pages(client, [experiment], comparison_page.TRIALS)
    return [run for run in runs if "sweep" in run.data.tags and run.data.tags.get("objective") in OBJECTIVES]


def complete(client: MlflowClient, trials: Sequence[Run]) -> None:
    """Give the trials of earlier versions their score under the name by which all are ranked."""
    for run in trials:
        name, score = chosen(run.data.tags["objective"]), run.data.metrics.get(EARLIER)
        if score is not None and name not in run.data.metrics:
            client.log_batch(run.info.run_id, at_step_0({name: score}, (run.info.end_time or 0) / 1000))


def axes(trials: Sequence[Run], newest: Comparison, model: str) -> dict[str, list[str]]:
    """Return the hyperparameters that differ among the trials of each network, and that all of these have.

    Other networks whose trials have them too are named with it. The trials are those that can be ranked with the newest
    sweep's, which has none yet.
    """
    of_network: dict[str, list[Mapping[str, str]]] = {}
    for run in trials:
        if run.data.tags["objective"] == newest.objective and run.data.tags.get("data.digest") == newest.digest:
            network = run.data.params.get(NETWORK, run.data.tags.get("model", ""))
            of_network.setdefault(network, []).append(run.data.params)
    searched = newest.networks or {model: newest.searched}
    networks = sorted({*of_network, *searched})
    having = {network: [*of_network.get(network, []), searched.get(network, ())] for network in networks}
    charts: dict[str, list[str]] = {}
    for network in networks:
        own = _differing(of_network.get(network, []), searched.get(network, ()))
        drawn = ", ".join(other for other in networks if any(set(own) <= set(names) for names in having[other]))
        charts[drawn] = list(dict.fromkeys([*charts.get(drawn, ()), *own]))
    return charts


def _differing(trials: Sequence[Mapping[str, str]], searched: Sequence[str]) -> list[str]:
    """Return the names that all of the trials have, if it is searched anew or they have several values of it."""
    names = dict.fromkeys([*searched, *(name for params in trials for name in params)])
    shared = [name for name in names if all(name in params for params in trials)]
    return [name for name in shared if name in searched or len({params[name] for params in trials}) > 1]
