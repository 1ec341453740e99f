"""A sweep of several networks, whose trials lack each other's hyperparameters."""

import random

import numpy as np
import pytest
from matplotlib.figure import Figure

from conf import stored
from conf.schema import Value
from sweeps.analysis import importance, networks, space_findings
from sweeps.analysis.importance import importances
from sweeps.analysis.summary import SweepSummary
from sweeps.journal import SweepRecord
from sweeps.report import run_note, write
from sweeps.report.figures import style
from sweeps.search import space
from sweeps.terminal import sentences, tables
from tests import records

NAMES = ["bag", "lstm"]


def by_network(values: dict[str, Value], rng: random.Random) -> float:
    return {"bag": 0.6, "lstm": 0.7}[str(values["model"])] + rng.gauss(0, 0.001)


def by_units(values: dict[str, Value], rng: random.Random) -> float:
    return 0.6 + float(values.get("lstm_units", 100)) / 1000 + rng.gauss(0, 0.001)


def test_the_network_that_decides_is_the_most_important_hyperparameter() -> None:
    record = records.several(trials=80, accuracy=by_network)
    result = importances(record.ranking(), searched(record))
    first, *others = result.ranked
    assert first.name == "model"
    assert first.low > 0.5
    assert {other.name for other in others} == {
        "bag.embedding_dim", "bag.dropout", "lstm.embedding_dim", "lstm.lstm_units", "lstm.dropout", "learning_rate",
    }  # fmt: skip
    assert all(other.mean < 0.05 for other in others)


def test_a_hyperparameter_of_one_network_that_decides_there_comes_first() -> None:
    record = records.several(trials=80, accuracy=by_units)
    assert importances(record.ranking(), searched(record)).ranked[0].name == "lstm.lstm_units"


def test_a_hyperparameter_is_shuffled_among_the_trials_that_have_it() -> None:
    x = np.arange(40.0).reshape(20, 2)
    there = np.ones((20, 2), dtype=bool)
    there[8:, 1] = False
    plain, *shuffled = importance._shuffled(x, there, np.random.default_rng(0))
    assert (plain == x).all()
    for variant in shuffled[importance.SHUFFLES :]:
        assert (variant[8:, 1] == x[8:, 1]).all()
        assert (variant[:8, 1] != x[:8, 1]).any()
        assert sorted(variant[:8, 1]) == sorted(x[:8, 1])


def test_advice_is_for_the_network_whose_trials_show_it() -> None:
    record = records.several(trials=160, accuracy=by_units)
    found = findings(record)
    (edge,) = [finding for finding in found if finding.kind == "edge"]
    assert edge.text.startswith("the best trial of lstm has lstm_units=200, at the upper end")
    assert edge.override == "networks.lstm.space.lstm_units.max_value=400"
    assert not [finding for finding in found if finding.kind == "untried"]


def test_no_hyperparameter_of_one_network_is_called_irrelevant_beside_the_choice_of_the_network() -> None:
    def both(values: dict[str, Value], rng: random.Random) -> float:
        return by_network(values, rng) + float(values.get("lstm_units", 0)) / 10**4

    irrelevant = [finding.name for finding in findings(records.several(trials=160, accuracy=both))]
    assert set(irrelevant) <= {"learning_rate", "lstm.lstm_units"}


def test_a_network_that_does_not_matter_may_be_chosen_for_good() -> None:
    def by_rate(values: dict[str, Value], rng: random.Random) -> float:
        return 0.5 + 30 * float(values["learning_rate"])

    irrelevant = [f for f in findings(records.several(trials=160, accuracy=by_rate)) if f.name == "model"]
    assert [finding.override for finding in irrelevant] in (["model=bag"], ["model=lstm"])


def test_few_trials_of_one_network_are_no_reason_for_advice_on_it() -> None:
    record = records.several(trials=160, accuracy=by_units)
    kept = [n for n, trial in record.trials.items() if trial.values["model"] == "bag"]
    record.trials = {n: record.trials[n] for n in [*kept, 1, 3]}
    assert not [finding for finding in findings(record) if finding.name.startswith("lstm.")]


def test_the_networks_are_compared_in_a_sentence() -> None:
    record = records.several(trials=4, accuracy=by_network)
    for number, trial in record.trials.items():
        trial.cost = {**trial.cost, "seconds": [70.0, 20.0, 90.0, 21.0][number]}
        trial.objective = 0.7 + number / 100
    (sentence,) = networks.sentences(record)
    expected = "bag 0.7200, 80 s (2 trials); lstm 0.7300, 20 s (2 trials). "
    expected += "These are too few trials to say which network is the better one."
    assert sentence == f"The best val/accuracy of each network, and the time of its median trial: {expected}"
    assert any(sentence in line for line in sentences.verdict(record))
    record.trials[1].status = record.trials[3].status = "failed"
    assert "lstm completed no trial" in next(iter(networks.sentences(record)))
    assert "too few" not in next(iter(networks.sentences(records.several(trials=20, accuracy=by_network))))
    assert list(networks.sentences(records.record())) == []


@pytest.mark.parametrize("trials", [0, 1, 2, 30])
def test_every_page_and_table_takes_trials_of_several_networks(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(style, "png", lambda figure: drawn.append(figure) or b"")
    monkeypatch.setattr(importance, "RESAMPLES", 2)
    record = records.several(trials=trials, accuracy=by_units)
    report = write.build(record)
    assert len({figure.name for figure in report.figures}) == len(report.figures)
    figures = dict(zip([figure.name for figure in report.figures], drawn, strict=True))
    if trials > 1:
        names = ("parallel", "parallel-bag", "parallel-lstm")
        shared, *own = [[row.get_text() for row in figures[name].axes[0].get_yticklabels()] for name in names]
        assert shared == ["model", "learning_rate (log)", "val/accuracy"]
        labels = {hp.label for hp in SweepSummary.of(record).searched}
        for network, rows in zip(NAMES, own, strict=True):
            assert {row for row in rows if "." in row} == {label for label in labels if label.startswith(f"{network}.")}
            assert rows[-2:] == shared[1:]
        assert {"slice-bag_dropout", "slice-lstm_dropout", "slice-model"} <= figures.keys()
        assert "lstm_units" not in run_note.note(record).splitlines()[3]  # the baseline's line
    tables.results(record)


def test_the_table_shows_what_was_searched_of_each_network() -> None:
    record = records.several(trials=3, accuracy=by_network)
    cells = [str(cell) for cell in tables.results(record).columns[-1]._cells]
    assert all(cell.startswith("model=") and "padding" not in cell for cell in cells[:3])


def searched(record: SweepRecord) -> tuple[space.Hyperparameter, ...]:
    return space.recorded(stored.parts(record.started.config, "imdb"))


def findings(record: SweepRecord) -> list[space_findings.Finding]:
    parts = stored.parts(record.started.config, "imdb")
    return space_findings.findings(record, parts, importances(record.ranking(), searched(record)))
