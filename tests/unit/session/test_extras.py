from collections.abc import Mapping, Sequence

import pytest

from sweeps.report.figures import trial as figures
from sweeps.session import extras
from tests import records


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
