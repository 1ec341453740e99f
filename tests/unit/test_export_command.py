"""`python -m pipelines.export`: the tables of a sweep as files."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from conf.schema import ConfigError
from pipelines import export
from sweeps import frames
from sweeps.errors import SweepError
from sweeps.journal import Event, SweepRecord, TrialEnded, TrialStarted
from sweeps.journal.events import to_entry
from sweeps.terminal.console import Console
from tests import records
from tests.conftest import composed_job
from tests.tracked import fill_store

NAME = "lstm-20260101-000000-abcd/imdb"
TABLES = Path("exports", NAME)


def record_here(change: Callable[[Event], Event] = lambda event: event, name: str = NAME) -> SweepRecord:
    directory = Path("outputs", name)
    directory.mkdir(parents=True, exist_ok=True)
    events = [change(event) for event in records.events(3, failing=lambda trial: trial == 2, sweep=name)]
    lines = [json.dumps(to_entry(event)) for event in events]
    (directory / "journal.jsonl").write_text("\n".join([*lines, ""]))
    return SweepRecord.of(directory, events)


def run(*arguments: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    assert export.export(export.read_arguments(arguments), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_tables_of_a_sweep_are_read_back_with_their_types() -> None:
    record = record_here()
    output = run(f"sweep={NAME}")
    assert output.split() == [f"{TABLES}/trials.csv,", "3", "trials;", f"{TABLES}/curves.csv,", "8", "epochs"]
    frame, read = frames.trials([record]), pd.read_csv(TABLES / "trials.csv")
    assert list(read.columns) == list(frame.columns)
    for name in frame.columns:
        for before, after in zip(frame[name], read[name], strict=True):
            assert (pd.isna(after) and pd.isna(before)) or after == before
    assert str(read["lstm_units"].dtype) == "int64"
    assert str(read["baseline"].dtype) == "bool"
    pd.testing.assert_frame_equal(
        pd.read_csv(TABLES / "curves.csv"),
        frames.curves([record]),
        check_dtype=False,
        check_exact=True,
    )


def test_parquet_keeps_every_type() -> None:
    record = record_here()
    run("sweep=lstm-20260101-000000-abcd", "format=parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(TABLES / "trials.parquet"), frames.trials([record]))
    pd.testing.assert_frame_equal(pd.read_parquet(TABLES / "curves.parquet"), frames.curves([record]))


@pytest.mark.parametrize("form", export.FORMATS)
def test_its_own_tables_are_written_anew(form: str) -> None:
    record_here()
    run(f"sweep={NAME}", f"format={form}")
    before = (TABLES / f"trials.{form}").read_bytes()
    with (Path("outputs") / NAME / "journal.jsonl").open("a") as file:
        events = records.events(4, failing=lambda trial: trial == 2)
        started = next(event for event in events if isinstance(event, TrialStarted) and event.trial == 3)
        file.write(json.dumps(to_entry(started)) + "\n")
    run(f"sweep={NAME}", f"format={form}")
    assert (TABLES / f"trials.{form}").read_bytes() != before


@pytest.mark.parametrize(("form", "content"), [("csv", b"sweep,mine\n1,2\n"), ("csv", b""), ("parquet", b"PAR1 mine")])
def test_a_file_of_others_is_not_written_over(form: str, content: bytes) -> None:
    record_here()
    path = TABLES / f"trials.{form}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(SweepError, match=f"{path}: not a table of this command; move it away"):
        run(f"sweep={NAME}", f"format={form}")
    assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@SUM(1)", "\t=1"])
def test_a_text_that_spreadsheets_would_calculate_is_not_written_as_csv(text: str) -> None:
    def with_text(event: Event) -> Event:
        return replace(event, values={**event.values, "activation": text}) if isinstance(event, TrialStarted) else event

    record = record_here(with_text)
    with pytest.raises(SweepError, match=r"a value of activation.*a formula; format=parquet keeps it as it is"):
        run(f"sweep={NAME}")
    assert not TABLES.exists()
    run(f"sweep={NAME}", "format=parquet")
    assert set(pd.read_parquet(TABLES / "trials.parquet")["activation"]) == {text}
    assert len(record.trials) == 3


def test_a_metric_that_spreadsheets_would_calculate_is_not_written_as_csv() -> None:
    record_here(
        lambda event: replace(event, test={**event.test, "=1+1": 0.5}) if isinstance(event, TrialEnded) else event
    )
    with pytest.raises(SweepError, match="the name of a column"):
        run(f"sweep={NAME}")


def test_negative_numbers_are_no_formulas() -> None:
    record_here(
        lambda event: (
            replace(event, values={**event.values, "bias": -0.5}) if isinstance(event, TrialStarted) else event
        )
    )
    run(f"sweep={NAME}")
    assert pd.read_csv(TABLES / "trials.csv")["bias"].tolist() == [-0.5] * 3


@pytest.mark.parametrize("name", ["../imdb", "/tmp/x", "."])
def test_a_recorded_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    record = SweepRecord(tmp_path, records.started(sweep=name))
    with pytest.raises(SweepError, match="no name of a sweep"):
        export._folder(record)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "sweep: has no value"),
        (("sweep=x", "format=xlsx"), "format=xlsx: allowed: csv, parquet"),
        (("sweep=x", "format=parquett"), "did you mean 'parquet'"),
        (("swep=x",), "did you mean 'sweep'"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_a_missing_writer_is_named_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="format=parquet: pyarrow, which writes it, is not installed"):
        run("sweep=x", "format=parquet")


def test_a_sweep_that_is_not_here_comes_from_the_store(tmp_path: Path, empty_store: Path) -> None:
    (tmp_path / "store").mkdir()
    uri = fill_store(tmp_path / "store", empty_store, composed_job("trials=2", "epochs=2"))
    run("sweep=a", f"tracking.uri={uri}")
    assert len(pd.read_csv("exports/a/imdb/trials.csv")) == 2
    assert not math.isnan(pd.read_csv("exports/a/reuters/curves.csv")["val/loss"].sum())
    with pytest.raises(ConfigError, match="has no such sweep"):
        run("sweep=b/imdb", f"tracking.uri={uri}")
