import random
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from conf.compose import Job
from sweeps.analysis import space_findings
from sweeps.search import space
from sweeps.analysis.importance import importances
from sweeps.journal import SweepRecord
from sweeps.analysis.space_findings import Finding
from conf.schema import Value
from tests import records

Accuracy = Callable[[dict[str, Value], random.Random], float]


def found(job: Job, **options: Any) -> list[Finding]:
    """The findings on a sweep of the job's own space."""
    config = OmegaConf.to_container(OmegaConf.create(job.yaml))
    assert isinstance(config, dict)
    record: SweepRecord = records.record(**{"trials": 40, **options, "config": job.yaml})
    names = [hp.name for hp in space.recorded(config)]
    return space_findings.findings(record, config, importances(record.ranking(), names))


def towards(name: str, sign: int = 1) -> Accuracy:
    return lambda values, rng: 0.5 + sign * float(values[name]) / 10**4 + rng.gauss(0, 1e-5)


@pytest.mark.parametrize(
    ("name", "sign", "override"),
    [
        ("lstm_units", 1, "model.space.lstm_units.max_value=400"),
        ("lstm_units", -1, "model.space.lstm_units.min_value=10"),
        ("embedding_dim", 1, "'model.space.embedding_dim.values=[50,100,150,200,400]'"),
        ("embedding_dim", -1, "'model.space.embedding_dim.values=[25,50,100,150,200]'"),
    ],
)
def test_a_best_value_on_the_edge_is_named_with_a_wider_range(
    name: str, sign: int, override: str, composed: Callable[..., Job]
) -> None:
    edges = [f for f in found(composed("model=lstm"), accuracy=towards(name, sign)) if f.kind == "edge"]
    assert override in [edge.override for edge in edges if edge.name == name]


def test_an_edge_beyond_which_nothing_makes_sense_is_none(composed: Callable[..., Job]) -> None:
    edges = [f for f in found(composed("model=lstm"), accuracy=towards("dropout", -1)) if f.kind == "edge"]
    assert "dropout" not in [edge.name for edge in edges]


def test_a_hyperparameter_that_does_not_matter_is_to_be_fixed(composed: Callable[..., Job]) -> None:
    def by_units(values: dict[str, Value], rng: random.Random) -> float:
        return 0.5 + float(values["lstm_units"]) / 1000

    findings = [f for f in found(composed("model=lstm"), accuracy=by_units, trials=80) if f.kind == "irrelevant"]
    assert {finding.name for finding in findings} <= {"embedding_dim", "dropout", "learning_rate"}
    assert findings
    for finding in findings:
        assert finding.override.startswith(("model.space.", "optimizer.space."))


def test_of_pure_noise_nothing_is_said_not_to_matter(composed: Callable[..., Job]) -> None:
    assert not [f for f in found(composed("model=lstm")) if f.kind == "irrelevant"]


def test_a_value_and_a_range_that_were_never_tried_are_named(composed: Callable[..., Job]) -> None:
    job = composed("model=lstm")
    config = OmegaConf.to_container(OmegaConf.create(job.yaml))
    assert isinstance(config, dict)
    record = records.record(trials=20, config=job.yaml)
    for trial in record.trials.values():
        values = dict(trial.values)
        values["lstm_units"] = min(int(values["lstm_units"]), 100)
        values["embedding_dim"] = 100
        trial.values = values
    untried = {f.name: f for f in space_findings.findings(record, config, importances([], [])) if f.kind == "untried"}
    assert untried["lstm_units"].override == (
        "model.space.lstm_units.min_value=100 model.space.lstm_units.max_value=200"
    )
    assert untried["embedding_dim"].override == "'model.space.embedding_dim.values=[50,100,150,200]'"


def test_few_trials_have_no_finding(composed: Callable[..., Job]) -> None:
    assert found(composed("model=lstm"), trials=3) == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_every_override_is_ready_to_be_pasted(seed: int, optimizer: str, composed: Callable[..., Job]) -> None:
    job = composed("model=conv_lstm", f"optimizer={optimizer}")
    config = OmegaConf.to_container(OmegaConf.create(job.yaml))
    assert isinstance(config, dict)
    record = records.record(trials=12, config=job.yaml)
    rng = random.Random(seed)
    for trial in record.trials.values():  # the edges, each once in a while
        trial.values = {hp.name: rng.choice([*hp.bounds, hp.default]) for hp in space.recorded(config)}
    findings = space_findings.findings(record, config, importances([], []))
    assert findings
    for finding in findings:
        composed("model=conv_lstm", f"optimizer={optimizer}", *shlex.split(finding.override))
