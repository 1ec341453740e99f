"""Journals that were edited, cut or mixed up: each is read, or refused in one line that names the place."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps import journal
from sweeps.analysis import confirmation
from sweeps.analysis.summary import SweepSummary
from sweeps.journal import Journal, JournalError, SweepRecord, SweepStarted
from sweeps.journal.events import to_entry
from sweeps.report import tables
from sweeps.terminal.sentences import ending, progress_so_far
from sweeps.terminal.tables import results
from tests import answered, records

ENTRIES = [to_entry(event) for event in records.events(trials=3, epochs=2, failing=lambda trial: trial == 2)]
AUDIT = answered.audit(["a", "b"])
ENDED = next(number for number, entry in enumerate(ENTRIES) if entry["event"] == "trial_ended")


def written(directory: Path, entries: list[Any]) -> Path:
    (directory / journal.FILE).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return directory


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"objective": None}, "trial 0 is completed and has no objective"),
        ({"best_epoch": 9}, "best_epoch is 9, and trial 0 ran 2"),
        ({"status": "paused"}, "status is 'paused'"),
        ({"trial": 7}, "trial 7 has not started"),
        ({"trial": "0"}, "trial is '0'"),
        ({"time": float("nan")}, "time is nan"),
        ({"confusion": [[0, 1, 5], [0, 1]]}, "confusion has [0, 1], which is no label, answer and count"),
        ({"confusion": [[0, -1, 5]]}, "confusion has [0, -1, 5], which is no label, answer and count"),
        ({"confusion": [[0, 1, "5"]]}, "confusion is [[0, 1, '5']]"),
        ({"time": -1.0}, "time is -1.0"),
        ({"time": 1e18}, "time is 1e+18"),
        ({"test": {"test/accuracy": None}}, "test is {'test/accuracy': None}"),
        ({"reason": ["\x1b[31m"]}, r"reason is ['\x1b[31m']"),
    ],
)
def test_a_field_that_cannot_be_is_named(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    entries = [*ENTRIES[:ENDED], ENTRIES[ENDED] | change, *ENTRIES[ENDED + 1 :]]
    with pytest.raises(journal.JournalError) as error:
        journal.read(written(tmp_path, entries))
    assert str(error.value).startswith(f"{tmp_path / journal.FILE}, line {ENDED + 1} is damaged: {reason}")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audit": {"labels": ["a"]}}, "sizes is missing"),
        ({"audit": AUDIT.as_dict() | {"labels": "ab"}}, "labels is 'ab'"),
        ({"audit": AUDIT.as_dict() | {"of_label": {"train": [0.5]}}}, "of_label is {'train': [0.5]}"),
        ({"finalists": {"": 0}}, "finalists is {'': 0}"),
        ({"finalists": {"1": 0.5}}, "finalists is {'1': 0.5}"),
        ({"compared_by": "test/loss"}, "compared_by is 'test/loss'"),
    ],
)
def test_an_audit_finalists_or_a_metric_that_are_none_are_named(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(journal.JournalError) as error:
        journal.read(written(tmp_path, [ENTRIES[0] | change]))
    assert str(error.value) == f"{tmp_path / journal.FILE}, line 1 is damaged: {reason}"


def test_the_audit_of_the_data_is_read_as_it_was_written(tmp_path: Path) -> None:
    audit = AUDIT.as_dict()
    (started, *_) = journal.read(written(tmp_path, [ENTRIES[0] | {"audit": audit}]))
    assert isinstance(started, SweepStarted)
    assert started.audit == audit


@pytest.mark.parametrize("values", [{}, {"lstm_units": 3, "more": 1}])
def test_a_trial_with_other_hyperparameters_is_named(values: dict[str, int], tmp_path: Path) -> None:
    place = [number for number, entry in enumerate(ENTRIES) if entry["event"] == "trial_started"][1]
    entries = [*ENTRIES[:place], ENTRIES[place] | {"values": values}, *ENTRIES[place + 1 :]]
    with pytest.raises(journal.JournalError, match=rf"line {place + 1} is damaged: trial 1 has other hyperparameters"):
        journal.read(written(tmp_path, entries))


def test_each_of_several_networks_has_hyperparameters_of_its_own(tmp_path: Path) -> None:
    starts = [number for number, entry in enumerate(ENTRIES) if entry["event"] == "trial_started"]
    values = [{"model": "bag", "pairs": 1}, {"model": "lstm", "units": 2}, {"model": "bag", "units": 2}]

    def with_values(n: int) -> list[dict[str, Any]]:
        of_start = dict(zip(starts[:n], values, strict=False))
        return [entry | ({"values": of_start[place]} if place in of_start else {}) for place, entry in
                enumerate(ENTRIES[: starts[n - 1] + 1])]  # fmt: skip

    assert len(journal.read(written(tmp_path, with_values(2)))) == starts[1] + 1
    with pytest.raises(
        journal.JournalError, match=r"trial 2 has other hyperparameters than the first one: model, pairs"
    ):
        journal.read(written(tmp_path, with_values(3)))


@pytest.mark.parametrize("line", ["[" * 100_000, "7", "null", '"text"', '{"event": 7}', '{"event": "epoch_ended"}'])
def test_a_line_that_is_no_event_is_named(line: str, tmp_path: Path) -> None:
    written(tmp_path, ENTRIES[:1])
    with (tmp_path / journal.FILE).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(journal.JournalError, match=r"journal\.jsonl, line 2 is damaged: .") as error:
        journal.read(tmp_path)
    assert "Error" not in str(error.value)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
)


def damaged(data: st.DataObject) -> list[Any]:
    """Return the entries with one to three of them changed, left out, doubled or exchanged."""
    entries = [dict(entry) for entry in ENTRIES]
    for _ in range(data.draw(st.integers(1, 3))):
        number, other = (data.draw(st.integers(0, len(entries) - 1)) for _ in range(2))
        match data.draw(st.sampled_from(["change", "change", "leave out", "double", "exchange", "drop a field"])):
            case "change":
                entries[number][data.draw(st.sampled_from(sorted(entries[number])))] = data.draw(values)
            case "drop a field":
                entries[number].pop(data.draw(st.sampled_from(sorted(entries[number]))))
            case "leave out" if number:
                del entries[number]
            case "double":
                entries.insert(other, dict(entries[number]))
            case "exchange":
                entries[number], entries[other] = entries[other], entries[number]
        if not all(entries):
            break
    return entries


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_journal_is_refused_in_one_line_or_can_be_shown(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        written(Path(folder), damaged(data))
        message = shown(Path(folder))
        assert message.startswith(folder) or not message
        assert message.isprintable()


def shown(directory: Path) -> str:
    """Derive everything that commands say about a sweep, without its figures, or return why that is refused."""
    try:
        record = SweepRecord.of(directory, journal.read(directory))
    except journal.JournalError as error:
        return str(error)
    results(record), ending(record), progress_so_far(record), confirmation.outcomes(record)
    summary = SweepSummary.of(record)
    tables.leaderboard(summary), tables.endings(summary), tables.failures(summary)
    return ""


@pytest.mark.parametrize("text", ['{"kind": "of another program"}', "x", " "])
def test_the_only_line_of_another_programs_file_is_not_cut_off(text: str, tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text(text)
    with pytest.raises(JournalError, match=r"journal\.jsonl: not the journal of a sweep; move it away$"):
        Journal(tmp_path)
    assert (tmp_path / journal.FILE).read_text() == text


@pytest.mark.parametrize("text", ["", "{", '{"event": "sweep_started", "swe'])
def test_a_half_written_first_line_is_begun_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text(text)
    Journal(tmp_path).close()
    assert (tmp_path / journal.FILE).read_text() == ""
