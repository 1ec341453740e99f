import random
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from conf.schema import Job, Value
from sweeps.analysis import space_findings
from sweeps.analysis.importance import Importances, importances
from sweeps.analysis.space_findings import Finding
from sweeps.journal import SweepRecord
from sweeps.search import space
from tests import records

Accuracy = Callable[[dict[str, Value], random.Random], float]
UNKNOWN = Importances(0, 0.0, ())


def findings(job: Job, record: SweepRecord, importances: Importances = UNKNOWN) -> list[Finding]:
    return space_findings.findings(record, job.config.model, job.config.optimizer, importances)


def sweep(job: Job, trials: int = 40, **options: Any) -> SweepRecord:
    """A sweep of the job's own space."""
    return records.record(trials=trials, config=job.yaml, **options)


def towards(name: str, sign: int = 1) -> Accuracy:
    return lambda values, rng: 0.5 + sign * float(values[name]) / 10**4 + rng.gauss(0, 1e-5)


@pytest.fixture
def lstm(composed: Callable[..., Job]) -> Job:
    return composed("model=lstm")


@pytest.mark.parametrize(
    ("name", "sign", "override"),
    [
        ("lstm_units", 1, "model.space.lstm_units.max_value=400"),
        ("lstm_units", -1, "model.space.lstm_units.min_value=10"),
        ("embedding_dim", 1, "'model.space.embedding_dim.values=[50,100,150,200,400]'"),
        ("embedding_dim", -1, "'model.space.embedding_dim.values=[25,50,100,150,200]'"),
    ],
)
def test_a_best_value_on_the_edge_comes_with_a_wider_range(name: str, sign: int, override: str, lstm: Job) -> None:
    edges = [f for f in findings(lstm, sweep(lstm, accuracy=towards(name, sign))) if f.kind == "edge"]
    (edge,) = [edge for edge in edges if edge.name == name]
    assert edge.override == override
    assert f"at the {'upper' if sign > 0 else 'lower'} end of its range" in edge.text


def test_an_edge_that_no_builder_could_pass_is_no_finding(lstm: Job) -> None:
    edges = [f for f in findings(lstm, sweep(lstm, accuracy=towards("dropout", -1))) if f.kind == "edge"]
    assert "dropout" not in [edge.name for edge in edges]


def test_a_hyperparameter_that_does_not_matter_can_be_fixed_unless_all_is_noise(lstm: Job) -> None:
    names = [hp.name for hp in space.recorded(lstm.config.model, lstm.config.optimizer)]

    def irrelevant(record: SweepRecord) -> list[Finding]:
        result = findings(lstm, record, importances(record.ranking(), names))
        return [finding for finding in result if finding.kind == "irrelevant"]

    by_units = irrelevant(sweep(lstm, trials=80, accuracy=lambda values, rng: 0.5 + float(values["lstm_units"]) / 1000))
    assert by_units
    assert {finding.name for finding in by_units} <= {"embedding_dim", "dropout", "learning_rate"}
    assert all(finding.override.startswith(("model.space.", "optimizer.space.")) for finding in by_units)
    assert irrelevant(sweep(lstm)) == []


def test_a_value_and_a_range_that_were_never_tried_are_findings(lstm: Job) -> None:
    record = sweep(lstm, trials=20)
    for trial in record.trials.values():
        units = min(int(trial.values["lstm_units"]), 100)
        trial.values = {**trial.values, "lstm_units": units, "embedding_dim": 100}
    untried = {finding.name: finding for finding in findings(lstm, record) if finding.kind == "untried"}
    assert untried["lstm_units"].override == "model.space.lstm_units.min_value=100 model.space.lstm_units.max_value=200"
    assert untried["lstm_units"].text == "no trial had lstm_units between 100 and 200, 56 % of its range"
    assert untried["embedding_dim"].override == "'model.space.embedding_dim.values=[50,100,150,200]'"


def test_few_trials_have_no_finding(lstm: Job) -> None:
    assert findings(lstm, sweep(lstm, trials=3)) == []


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 4))])
def test_every_override_can_be_pasted(seed: int, optimizer: str, composed: Callable[..., Job]) -> None:
    arguments = "model=conv_lstm", f"optimizer={optimizer}"
    job = composed(*arguments)
    record = sweep(job, trials=12)
    rng = random.Random(seed)
    searched = space.recorded(job.config.model, job.config.optimizer)
    for trial in record.trials.values():  # values on the edges
        trial.values = {hp.name: rng.choice([*hp.bounds, hp.default]) for hp in searched}
    result = findings(job, record)
    assert result
    for finding in result:
        composed(*arguments, *shlex.split(finding.override))
