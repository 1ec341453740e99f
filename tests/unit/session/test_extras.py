from collections.abc import Mapping, Sequence

import pytest

from sweeps.report.figures import trial as figures
from sweeps.session import extras
from tests import answered, records


def test_all_trials_share_one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Drawing:
        def __init__(self, held_out: str) -> None:
            made.append(held_out)

        def png(self, curves: Mapping[str, Sequence[float]], title: str) -> bytes:
            return title.encode()

    monkeypatch.setattr(figures, "LossCurves", Drawing)
    record, extras_of = records.record(trials=3), extras.from_reports()
    drawn = [extras_of(record, trial).files["loss_curves.png"] for trial in record.trials.values()]
    assert drawn == [f"lstm on imdb, trial {number}".encode() for number in range(3)]
    assert made == ["validation"]


def test_every_trial_has_its_scores_label_by_label_and_the_sweep_those_of_its_best_with_a_figure() -> None:
    cells = {trial: [[0, 0, 9], [1, 0, trial + 1]] for trial in range(3)}
    record, extras_of = answered.record(records.events(trials=3), ("a", "b"), cells), extras.from_reports()
    tables = [extras_of(record, trial).files["per_class.csv"] for trial in record.trials.values()]
    assert [table.decode().splitlines()[1] for table in tables][2] == "a,9,12.0,0.75,1.0,0.8571428571428571"
    assert len(set(tables)) == 3
    assert record.best is not None
    files = extras_of(record, None).files
    assert files["per_class.csv"] == tables[record.best.trial]
    assert files["confusion.png"].startswith(b"\x89PNG")


def test_a_sweep_of_an_earlier_version_has_no_scores_label_by_label() -> None:
    record, extras_of = records.record(trials=2), extras.from_reports()
    assert {name for trial in (*record.trials.values(), None) for name in extras_of(record, trial).files} <= {
        "loss_curves.png", "report.html",
    }  # fmt: skip
