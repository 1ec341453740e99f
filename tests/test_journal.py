import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps import journal
from sweeps.journal import EpochEnded, Event, Journal, SweepEnded, SweepRecord, SweepStarted, TrialEnded, TrialStarted

STARTED = SweepStarted(
    sweep="s/imdb",
    config="trials: 2\n",
    fingerprint="f",
    dataset="imdb",
    model="lstm",
    tuner="random",
    objective="val/accuracy",
    seed=1,
    trials=2,
    source="standin",
    digest="d",
    held_out="validation",
    versions={"python": "3"},
    git_commit=None,
    git_dirty=None,
    time=0.0,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**6)
metrics = st.dictionaries(st.text(), finite, max_size=4)
values = st.dictionaries(st.text(), st.one_of(st.integers(), finite, st.text(), st.booleans()), max_size=4)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(TrialStarted, counts, counts, values, counts, counts, counts, st.text(), finite),
    st.builds(EpochEnded, counts, counts, counts, metrics, finite),
    st.builds(
        TrialEnded, counts, counts, st.text(), st.text(), st.none() | finite, st.none() | counts, metrics, metrics
    ),
    st.builds(SweepEnded, st.text(), st.none() | counts, finite),
    st.just(STARTED),
)


def written(directory: Path, entries: list[Event]) -> bytes:
    record = Journal(directory)
    for event in entries:
        record.append(event)
    record.close()
    return (directory / journal.FILE).read_bytes()


@given(st.lists(events, max_size=6))
def test_what_is_appended_is_read(entries: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        written(Path(folder), entries)
        assert journal.read(Path(folder)) == entries


@given(st.lists(events, min_size=1, max_size=4), st.data())
def test_a_journal_cut_at_any_byte_keeps_every_finished_line(entries: list[Event], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        content = written(Path(folder), entries)
        cut = data.draw(st.integers(0, len(content)))
        (Path(folder) / journal.FILE).write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert journal.read(Path(folder)) == entries[:whole]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"event": "unknown"}', b'{"event": "sweep_ended"}', b"\xff"])
def test_a_damaged_earlier_line_is_named(line: bytes, tmp_path: Path) -> None:
    content = written(tmp_path, [STARTED])
    (tmp_path / journal.FILE).write_bytes(content + line + b"\n" + content)
    with pytest.raises(journal.JournalError, match=r"journal\.jsonl, line 2 is damaged"):
        journal.read(tmp_path)


def test_a_second_sweep_cannot_take_the_journal(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with pytest.raises(FileExistsError):
        Journal(tmp_path)


def test_started_and_ended_are_on_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    path = tmp_path / "s" / journal.FILE
    record = Journal(path.parent)
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(path.read_bytes()))
    for event in (STARTED, TrialStarted(0, 1, {}, 1, 0, 1), EpochEnded(0, 1, 1, {}), TrialEnded(0, 1, "completed", "")):
        record.append(event)
    record.close()
    assert [json.loads(content.splitlines()[-1])["event"] for content in synced] == [
        "sweep_started",
        "trial_started",
        "trial_ended",
    ]


def trial(number: int, *curve: float, status: str = "completed", attempt: int = 1, start: int = 0) -> list[Event]:
    """The events of a trial whose objective took this course."""
    epochs = [EpochEnded(number, attempt, start + i, {"val/accuracy": value}) for i, value in enumerate(curve, start=1)]
    return [
        TrialStarted(number, attempt, {"a": number}, 1, start, 9),
        *epochs,
        TrialEnded(number, attempt, status, "", max(curve, default=None), cost={"seconds": 2.0, "parameters": 7.0}),
    ]


def test_the_best_trial_is_the_best_completed_one_and_of_equals_the_earlier() -> None:
    events_ = [STARTED, *trial(0, 0.5), *trial(1, 0.9, status="failed"), *trial(2, 0.7), *trial(3, 0.7)]
    record = SweepRecord(Path(), events_)
    assert [t.trial for t in record.ranking()] == [2, 3, 0]


def test_a_loss_is_better_when_it_is_smaller() -> None:
    started = SweepStarted(**{**vars(STARTED), "objective": "val/loss"})
    record = SweepRecord(Path(), [started, *trial(0, 0.5), *trial(1, 0.2)])
    assert record.best is not None
    assert record.best.trial == 1


def test_another_attempt_starts_the_curves_anew() -> None:
    record = SweepRecord(Path(), [STARTED, *trial(0, 0.1, 0.2)[:-1], *trial(0, 0.3, attempt=2)])
    assert record.trials[0].curves == {"val/accuracy": [0.3]}
    assert record.trials[0].attempt == 2


def test_a_promotion_goes_on_where_the_trial_stopped_and_its_costs_add_up() -> None:
    record = SweepRecord(Path(), [STARTED, *trial(0, 0.1, 0.2), *trial(0, 0.3, 0.4, start=2)])
    assert record.trials[0].curves == {"val/accuracy": [0.1, 0.2, 0.3, 0.4]}
    assert record.trials[0].cost == {"seconds": 4.0, "parameters": 7.0}


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=3), min_size=1, max_size=5))
def test_a_record_is_the_same_read_at_once_or_as_it_grows(curves: list[list[float]]) -> None:
    all_events = [STARTED, *(event for number, curve in enumerate(curves) for event in trial(number, *curve))]
    grown = SweepRecord(Path())
    for event in all_events:
        grown.add(event)
    assert vars(grown) == vars(SweepRecord(Path(), all_events))


def test_what_json_cannot_say_is_refused(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    with pytest.raises(ValueError, match="Out of range float"):
        record.append(EpochEnded(0, 1, 1, {"val/loss": float("nan")}))
    record.close()
    assert journal.read(tmp_path) == []
