import random
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from conf.schema import Buildable, Job, Value
from sweeps.analysis import space_findings
from sweeps.analysis.importance import Importance, Importances, importances
from sweeps.analysis.space_findings import Finding
from sweeps.journal import SweepRecord
from sweeps.search import space
from sweeps.search.space import Hyperparameter
from tests import records
from tests.conftest import composed_job

Accuracy = Callable[[dict[str, Value], random.Random], float]
UNKNOWN = Importances(0, 0.0, ())


def findings(job: Job, record: SweepRecord, importances: Importances = UNKNOWN) -> list[Finding]:
    return space_findings.findings(record, job.config.parts("imdb"), importances)


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
    searched = space.recorded(lstm.config.parts("imdb"))

    def irrelevant(record: SweepRecord) -> list[Finding]:
        result = findings(lstm, record, importances(record.ranking(), searched))
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
    assert untried["lstm_units"].text == "no trial had lstm_units between 100 and 200, 55 % of its range"
    only_the_default_was_tried = "'model.space.embedding_dim.values=[50,150,200]' model.space.embedding_dim.default=50"
    assert untried["embedding_dim"].override == only_the_default_was_tried


@pytest.mark.parametrize(
    ("entry", "tried", "overrides"),
    [
        ("{kind: Int, min_value: 1, max_value: 2, default: 1}", [1, 2], []),
        ("{kind: Int, min_value: 1, max_value: 3, default: 1}", [1, 2, 3], []),
        ("{kind: Int, min_value: 1, max_value: 3, default: 1}", [1, 3], []),
        ("{kind: Int, min_value: 1, max_value: 3, default: 1}", [1, 2], ["min_value=2", "max_value=3", "default=2"]),
        ("{kind: Int, min_value: 1, max_value: 4, sampling: log, default: 1}", [1, 2, 3, 4], []),
        ("{kind: Int, min_value: 64, max_value: 192, step: 64, default: 64}", [64, 128, 192], []),
    ],
)
def test_nothing_is_left_to_try_between_neighbours_that_were_tried(
    entry: str, tried: list[int], overrides: list[str], composed: Callable[..., Job]
) -> None:
    job = composed("model=lstm", f"model.space.lstm_units={entry}")
    record = sweep(job)
    for trial in record.trials.values():
        trial.values = {**trial.values, "lstm_units": tried[trial.trial % len(tried)]}
    found = [finding.override for finding in findings(job, record) if finding.name == "lstm_units"]
    assert found == [" ".join(f"model.space.lstm_units.{part}" for part in overrides)] * bool(overrides)


@pytest.mark.parametrize("trials", [0, 1, 4, 11])
def test_few_trials_are_no_reason_to_advise(trials: int, lstm: Job) -> None:
    record = sweep(lstm, trials=trials, accuracy=towards("embedding_dim", -1))
    for trial in record.trials.values():
        trial.values = {**trial.values, "embedding_dim": 50}
    assert findings(lstm, record) == []
    needed = f"too few trials to advise: {trials} ran to their own end, 4 hyperparameters need 12"
    assert space_findings.silence(record, 4) == needed


def test_trials_that_were_ended_or_failed_and_ties_are_no_reason_to_advise(lstm: Job) -> None:
    def edges(record: SweepRecord) -> list[str]:
        return [finding.name for finding in findings(lstm, record) if finding.kind == "edge"]

    record = sweep(lstm, accuracy=towards("lstm_units"))
    assert edges(record) == ["lstm_units"]
    for trial in record.ranking()[:35]:
        trial.reason = "stopped"
    assert edges(record) == []
    failed = sweep(lstm, accuracy=towards("lstm_units"), failing=lambda trial: trial < 30)
    assert edges(failed) == []
    ties = sweep(lstm, accuracy=lambda values, rng: 0.5)
    ties.trials[0].values = {**ties.trials[0].values, "lstm_units": 200}
    assert edges(ties) == []


def test_stand_in_data_are_no_reason_to_advise(lstm: Job) -> None:
    record = sweep(lstm, accuracy=towards("lstm_units"), source="standin")
    assert findings(lstm, record) == []
    assert space_findings.silence(record, 4) == "the data were generated, so they are no reason to change the space"


def test_of_pure_noise_hardly_anything_is_advised(lstm: Job) -> None:
    advised = 0
    for seed in range(60):
        record = sweep(lstm, trials=16)
        rng = random.Random(seed)
        for trial in record.trials.values():
            trial.values = records.drawn(rng, records.LSTM_SPACE, 1)
            trial.objective = rng.random()
        advised += bool(findings(lstm, record))
    assert advised <= 6  # 5 % of 60 is 3


def test_a_name_of_a_choice_is_written_so_that_it_can_be_pasted(lstm: Job) -> None:
    names = ["a b", "c,d", "하나", "it's", "null"]
    space_of_names = {"kind": {"kind": "Choice", "values": names, "default": "a b"}}
    record = records.record(trials=40, space=space_of_names)
    for trial in record.trials.values():
        trial.values = {**trial.values, "kind": "a b"}
    parts = {"model": Buildable("lstm", "models.lstm.build", space_of_names)}
    (finding,) = space_findings.findings(record, parts, UNKNOWN)
    values, default = OverridesParser.create().parse_overrides(shlex.split(finding.override))
    assert values.value() == names[1:]
    assert default.value() == names[1]


@given(
    trials=st.integers(12, 40),
    seed=st.integers(0, 10**6),
    clumsy=st.sampled_from(["", "edges", "ties", "failing", "stopped"]),
    arguments=st.sampled_from([("model=conv_lstm", "optimizer=sgd"), ("model=lstm",)]),
)
@settings(max_examples=8)
def test_no_advice_contradicts_another_and_each_composes(
    trials: int, seed: int, clumsy: str, arguments: tuple[str, ...]
) -> None:
    job, rng = composed_job(*arguments), random.Random(seed)
    record = records.record(
        trials=trials, config=job.yaml, failing=lambda trial: clumsy == "failing" and trial % 3 == 2
    )
    searched = space.recorded(job.config.parts("imdb"))
    negligible = Importances(trials, 0.5, tuple(Importance(hp.name, 0.0, 0.0, 0.01) for hp in searched[::2]))
    direction = rng.choice(searched)
    for trial in record.trials.values():
        trial.values = {hp.name: drawn(rng, hp, on_edges=clumsy == "edges") for hp in searched}
        trial.objective = 0.5 if clumsy == "ties" else direction.place(trial.values[direction.name]) + rng.random() / 9
        trial.reason = "stopped" if clumsy == "stopped" and rng.random() < 0.3 else "finished"
    result = findings(job, record, rng.choice([UNKNOWN, negligible]))
    names = [finding.name for finding in result]
    assert len(set(names)) == len(names)  # one piece of advice for each, so none against another
    changed = composed_job(*arguments, *(part for finding in result for part in shlex.split(finding.override)))
    space.read(changed.config.parts("imdb"))


def drawn(rng: random.Random, hp: Hyperparameter, *, on_edges: bool) -> Value:
    """A value, or only one of the lower half of the range and the ends."""
    if on_edges:
        return rng.choice([hp.bounds[0], hp.bounds[0], hp.default])
    if hp.kind == "Choice":
        return rng.choice(hp.arguments["values"])  # type: ignore[no-any-return]
    low, high = float(hp.bounds[0]), float(hp.bounds[1])
    return type(hp.bounds[0])(rng.uniform(low, high))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 4))])
def test_every_override_can_be_pasted(seed: int, optimizer: str, composed: Callable[..., Job]) -> None:
    arguments = "model=conv_lstm", f"optimizer={optimizer}"
    job = composed(*arguments)
    record = sweep(job, trials=12)
    rng = random.Random(seed)
    searched = space.recorded(job.config.parts("imdb"))
    for trial in record.trials.values():  # values on the edges
        trial.values = {hp.name: rng.choice([*hp.bounds, hp.default]) for hp in searched}
    result = findings(job, record)
    for finding in result:
        composed(*arguments, *shlex.split(finding.override))


def test_advice_on_a_setting_of_the_dataset_changes_its_space_and_its_default(composed: Callable[..., Job]) -> None:
    line = "data=imdb", "model=lstm", "datasets.imdb.space.maxlen={kind: Int, min_value: 20, max_value: 400}"
    job = composed(*line)
    record = sweep(job)
    rng = random.Random(1)
    for number, trial in enumerate(record.ranking()):
        trial.values = {**trial.values, "maxlen": 400 - 9 * number}
    (edge,) = [each for each in findings(job, record) if each.name == "maxlen"]
    assert edge.override == "datasets.imdb.space.maxlen.max_value=800"
    for trial in record.trials.values():
        trial.values = {**trial.values, "maxlen": rng.randrange(20, 120)}
    (untried,) = [each for each in findings(job, record) if each.name == "maxlen" and each.kind == "untried"]
    changed = composed(*line, *shlex.split(untried.override)).config.datasets["imdb"]
    assert 100 < changed.space["maxlen"]["min_value"] < changed.space["maxlen"]["default"] == changed.maxlen


def test_a_setting_that_does_not_matter_is_fixed_by_its_own_key(composed: Callable[..., Job]) -> None:
    line = "data=imdb", "model=lstm", "datasets.imdb.space.maxlen={kind: Int, min_value: 20, max_value: 400}"
    job = composed(*line)
    record = sweep(job)
    for number, trial in enumerate(record.ranking()):
        trial.values = {**trial.values, "maxlen": 20 + number * 97 % 380}
    unimportant = Importances(40, 0.5, (Importance("maxlen", 0.0, 0.0, 0.01),))
    (finding,) = [each for each in findings(job, record, unimportant) if each.name == "maxlen"]
    assert finding.kind == "irrelevant"
    changed = composed(*line, *shlex.split(finding.override)).config.datasets["imdb"]
    assert (changed.maxlen, changed.space) == (record.ranking()[0].values["maxlen"], {})


@pytest.mark.parametrize(("hits", "drawn", "marked", "n"), [(0, 5, 3, 20), (3, 5, 3, 20), (5, 6, 9, 40), (5, 5, 5, 5)])
def test_the_chance_of_a_crowd_is_that_of_fishers_exact_test(hits: int, drawn: int, marked: int, n: int) -> None:
    chance = space_findings._chance(hits, drawn, marked, n)
    assert chance == pytest.approx(float(hypergeom.sf(hits - 1, n, marked, drawn)), rel=1e-12)
