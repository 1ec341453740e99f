"""A tracker is one listener: a whole one that writes a CSV file, and nothing else of the project knows of it."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from conf.schema import Job
from sweeps import driver
from sweeps.journal import EpochEnded, Event, SweepRecord, TrialStarted
from sweeps.metrics import CURVES
from tests.fakes import FakeEngine
from tests.tracked import interrupted, resumed, search_of


class CsvListener:
    """Writes a row for each epoch of each trial."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[tuple[int, int], dict[str, float]] = {}

    def on_event(self, record: SweepRecord, event: Event) -> None:
        match event:
            case TrialStarted():  # another attempt repeats the epochs after its first one
                self._rows = {
                    (trial, epoch): row
                    for (trial, epoch), row in self._rows.items()
                    if trial != event.trial or epoch <= event.initial_epoch
                }
            case EpochEnded():
                self._rows[event.trial, event.epoch] = dict(event.metrics)

    def catch_up(self, directory: Path, events: Sequence[Event]) -> None:
        for end, event in enumerate(events, start=1):
            self.on_event(SweepRecord.of(directory, events[:end]), event)

    def close(self) -> None:
        with self._path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["trial", "epoch", *CURVES])
            writer.writerows([*key, *row.values()] for key, row in sorted(self._rows.items()))


def rows(path: Path) -> list[tuple[int, int, float]]:
    with path.open(newline="") as file:
        return [(int(row["trial"]), int(row["epoch"]), float(row["val/loss"])) for row in csv.DictReader(file)]


def expected(record: SweepRecord) -> list[tuple[int, int, float]]:
    return [
        (trial.trial, epoch, value)
        for trial in record.trials.values()
        for epoch, value in enumerate(trial.curves["val/loss"], start=1)
    ]


def test_a_listener_of_thirty_lines_tracks_a_sweep(composed: Callable[..., Job], tmp_path: Path) -> None:
    listener = CsvListener(tmp_path / "epochs.csv")
    search = search_of(composed("trials=3", "epochs=2"), listener)
    driver.run([search], FakeEngine())
    listener.close()
    assert rows(tmp_path / "epochs.csv") == expected(search.record)
    assert len(rows(tmp_path / "epochs.csv")) == 6


def test_after_a_resume_no_row_is_doubled_and_none_is_missing(composed: Callable[..., Job], tmp_path: Path) -> None:
    job, path = composed("trials=5", "epochs=2"), tmp_path / "epochs.csv"
    interrupted(job, CsvListener(path), after=4)
    before = rows(path)
    search = resumed(job, CsvListener(path))
    assert set(before) < set(rows(path))
    assert rows(path) == expected(search.record)
    assert len(rows(path)) == 10
