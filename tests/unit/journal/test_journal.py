import fcntl
import json
import os
import re
import resource
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps import journal
from sweeps.journal import (
    EpochEnded,
    Event,
    Journal,
    ReferenceEnded,
    SweepEnded,
    SweepRecord,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialStarted,
)
from sweeps.journal.clock import Clock
from sweeps.journal.events import FORMAT, LAST, Environment
from sweeps.journal.file import LOCK
from tests import records
from tests.records import BEFORE_FORMATS

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
    environment=Environment(versions={"python": "3"}),
    time=0.0,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(0, LAST, exclude_max=True)
counts = st.integers(0, 10**6)
metrics = st.dictionaries(st.text(), finite, max_size=4)
values = st.fixed_dictionaries({"a": st.one_of(st.integers(), finite, st.text(), st.booleans())})
trials = st.integers(0, 2)
follow: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        TrialStarted,
        trial=trials,
        attempt=counts,
        values=values,
        seed=counts,
        initial_epoch=counts,
        epochs=counts,
        after=st.text(),
        bar=st.lists(st.none() | finite, max_size=3),
        origin=st.none() | counts,
        digest=st.text(),
        time=times,
    ),
    st.builds(EpochEnded, trials, counts, counts, metrics, times),
    st.builds(
        TrialEnded,
        trials,
        counts,
        st.just("failed"),
        st.text(),
        st.none() | finite,
        st.none() | counts,
        metrics,
        metrics,
        st.none() | st.text(),
        st.text(),
        st.lists(st.lists(counts, min_size=3, max_size=3), max_size=3),
        times,
    ),
    st.builds(SweepEnded, st.text(), st.none() | counts, st.text(), times),
    st.builds(
        SweepResumed,
        config=st.text(),
        trials=counts,
        environment=st.builds(
            Environment, versions=st.dictionaries(st.text(), st.text(), max_size=2), git_diff=st.text()
        ),
        time=times,
    ),
)


def in_order(later: list[Event]) -> list[Event]:
    """Start every trial that an event concerns before it, and number its epochs one after the other."""
    ordered: list[Event] = [STARTED, *(TrialStarted(n, 1, {"a": n}, 1, 0, 1, time=0.0) for n in range(3))]
    epochs = dict.fromkeys(range(3), 0)
    for event in later:
        if isinstance(event, TrialStarted):
            epochs[event.trial] = min(epochs[event.trial], event.initial_epoch)
        elif isinstance(event, EpochEnded):
            epochs[event.trial] += 1
            ordered.append(replace(event, epoch=epochs[event.trial]))
            continue
        ordered.append(event)
    return ordered


events = st.lists(follow, max_size=5).map(in_order)


def written(directory: Path, entries: list[Event]) -> bytes:
    record = Journal(directory)
    for event in entries:
        record.append(event)
    record.close()
    return (directory / journal.FILE).read_bytes()


@given(events)
def test_what_is_appended_is_read(entries: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        written(Path(folder), entries)
        assert journal.read(Path(folder)) == entries


@given(events, st.data())
def test_a_journal_cut_at_any_byte_keeps_every_finished_line(entries: list[Event], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        content = written(Path(folder), entries)
        cut = data.draw(st.integers(0, len(content)))
        (Path(folder) / journal.FILE).write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert journal.read(Path(folder)) == entries[:whole]


@pytest.mark.parametrize("line", [b"{", b"[]", b"{}", b'{"event": "sweep_ended"}', b"\xff"])
def test_a_damaged_earlier_line_is_named(line: bytes, tmp_path: Path) -> None:
    content = written(tmp_path, [STARTED])
    (tmp_path / journal.FILE).write_bytes(content + line + b"\n" + content)
    with pytest.raises(journal.JournalError, match=r"journal\.jsonl, line 2 is damaged"):
        journal.read(tmp_path)


@pytest.mark.parametrize("first", [SweepResumed("", 1), TrialStarted(0, 1, {}, 1, 0, 1)], ids=lambda event: event.event)
def test_a_journal_that_begins_with_another_event_is_damaged_and_so_is_a_second_beginning(
    first: Event, tmp_path: Path
) -> None:
    written(tmp_path, [first])
    with pytest.raises(journal.JournalError, match=r"line 1 is damaged: .*begins with sweep_started"):
        journal.read(tmp_path)
    written(tmp_path / "twice", [STARTED, STARTED])
    with pytest.raises(journal.JournalError, match=r"line 2 is damaged"):
        journal.read(tmp_path / "twice")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mood": "good"}, "this version knows no field 'mood' of sweep_started"),
        ({"event": "sweep_paused"}, "this version knows no event 'sweep_paused'"),
        ({"format": FORMAT + 1}, f"its format is {FORMAT + 1}, this version reads up to {FORMAT}"),
    ],
)
def test_a_line_of_a_later_version_is_called_so_and_not_damaged(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    entry = json.loads(written(tmp_path, [STARTED])) | change
    (tmp_path / journal.FILE).write_text(json.dumps(entry) + "\n")
    with pytest.raises(journal.JournalError, match=f"line 1: written by a later version of text-sweeps: {reason}"):
        journal.read(tmp_path)


def test_the_first_event_has_the_format_and_the_environments_fields_beside_its_own(tmp_path: Path) -> None:
    entry = json.loads(written(tmp_path, [STARTED]))
    assert (entry["format"], entry["versions"], entry["git_diff"]) == (FORMAT, {"python": "3"}, "")
    assert "environment" not in entry


@given(events, events, st.data())
def test_a_journal_cut_at_any_byte_goes_on_after_its_last_whole_line(
    before: list[Event], after: list[Event], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        content = written(Path(folder), before)
        cut = data.draw(st.integers(0, len(content)))
        (Path(folder) / journal.FILE).write_bytes(content[:cut])
        whole = before[: content[:cut].count(b"\n")]
        following = after[1:] if whole else after  # a journal has one beginning
        written(Path(folder), following)
        assert journal.read(Path(folder)) == whole + following


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "../../svm"}, "name is '../../svm'"),
        ({"status": "good"}, "status is 'good'"),
        ({"scores": {}}, "svm is completed and has no test/accuracy"),
        ({"cost": {"seconds": 1.0}}, "svm is completed and has no documents"),
        ({"cost": {"documents": 1.0}}, "svm is completed and has no seconds"),
    ],
)
def test_a_reference_that_nobody_could_show_is_damage(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    written(tmp_path, [STARTED, replace(records.reference(), **changes)])
    with pytest.raises(journal.JournalError, match=f"line 2 is damaged: {re.escape(reason)}"):
        journal.read(tmp_path)


def test_references_are_read_as_written_and_the_latest_of_each_counts(tmp_path: Path) -> None:
    failed = ReferenceEnded("nbsvm", "failed", "too little memory")
    entries = [STARTED, failed, records.reference(), records.reference("nbsvm")]
    written(tmp_path, entries)
    assert journal.read(tmp_path) == entries
    record = SweepRecord.of(tmp_path, entries)
    assert {name: each.status for name, each in record.references.items()} == {"nbsvm": "completed", "svm": "completed"}


def test_a_line_that_does_not_follow_from_those_before_is_named(tmp_path: Path) -> None:
    written(tmp_path, [STARTED, EpochEnded(3, 1, 1, {})])
    with pytest.raises(journal.JournalError, match=r"journal\.jsonl, line 2 is damaged"):
        journal.read(tmp_path)


def test_where_nothing_began_there_are_no_events(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "nowhere") == []


def test_a_look_whether_a_directory_is_held_keeps_nobody_from_holding_it(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (look, fcntl.LOCK_UN)).start()
        with journal.locked(tmp_path):
            assert journal.in_use(tmp_path)


def test_a_directory_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        journal.locked(tmp_path),
        pytest.raises(journal.JournalError, match=rf"^{tmp_path} is in use by process {os.getpid()} on "),
        journal.locked(tmp_path),
    ):
        pass
    with journal.locked(tmp_path):  # again, after it was let go
        pass


def test_what_could_not_be_written_does_not_follow_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Journal(tmp_path)
    record.append(STARTED)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len((tmp_path / journal.FILE).read_bytes()) + 5, resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, match="File too large"):
            record.append(TrialStarted(0, 1, {}, 1, 0, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    record.close()
    assert (tmp_path / journal.FILE).read_bytes().count(b"\n") == 1
    assert journal.read(tmp_path) == [STARTED]


@pytest.mark.durable
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
    record = SweepRecord.of(Path(), events_)
    assert [t.trial for t in record.ranking()] == [2, 3, 0]


def test_the_best_trial_heads_the_ranking_after_every_event() -> None:
    promoted = trial(1, 0.9, 0.95, start=1)
    failing = [*promoted[:-1], TrialEnded(1, 1, "failed", "diverged")]
    record = SweepRecord(Path(), STARTED)
    for event in [*trial(0, 0.5), *trial(1, 0.9), *trial(2, 0.7), *promoted, *failing, *trial(3, 0.8)]:
        record.add(event)
        assert record.best is next(iter(record.ranking()), None)
    assert record.best is record.trials[3]
    confirmation = SweepRecord.of(Path(), [SweepStarted(**{**vars(STARTED), "confirms": "another"}), *trial(0, 0.5)])
    assert confirmation.best is None


def test_a_loss_is_better_when_it_is_smaller() -> None:
    started = SweepStarted(**{**vars(STARTED), "objective": "val/loss"})
    record = SweepRecord.of(Path(), [started, *trial(0, 0.5), *trial(1, 0.2)])
    assert record.best is not None
    assert record.best.trial == 1


def test_another_attempt_starts_the_curves_anew() -> None:
    record = SweepRecord.of(Path(), [STARTED, *trial(0, 0.1, 0.2)[:-1], *trial(0, 0.3, attempt=2)])
    assert record.trials[0].curves == {"val/accuracy": [0.3]}
    assert record.trials[0].attempt == 2


def test_a_promotion_goes_on_where_the_trial_stopped_and_its_costs_add_up() -> None:
    record = SweepRecord.of(Path(), [STARTED, *trial(0, 0.1, 0.2), *trial(0, 0.3, 0.4, start=2)])
    assert record.trials[0].curves == {"val/accuracy": [0.1, 0.2, 0.3, 0.4]}
    assert record.trials[0].cost == {"seconds": 4.0, "parameters": 7.0}


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=3), min_size=1, max_size=5))
def test_a_record_is_the_same_read_at_once_or_as_it_grows(curves: list[list[float]]) -> None:
    all_events = [STARTED, *(event for number, curve in enumerate(curves) for event in trial(number, *curve))]
    grown = SweepRecord(Path(), STARTED)
    for event in all_events[1:]:
        grown.add(event)
    assert vars(grown) == vars(SweepRecord.of(Path(), all_events))


def test_what_json_cannot_say_is_refused(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    with pytest.raises(ValueError, match="Out of range float"):
        record.append(EpochEnded(0, 1, 1, {"val/loss": float("nan")}))
    record.close()
    assert journal.read(tmp_path) == []


def test_a_sweep_that_is_resumed_has_not_ended_and_its_sessions_are_apart() -> None:
    first = [STARTED, *trial(0, 0.5), SweepEnded("completed", 0)]
    record = SweepRecord.of(Path(), [*first, SweepResumed("", 5, time=first[-1].time + 100), *trial(1, 0.7)])
    assert record.ended is None
    assert record.budget == 5
    assert [start for start, _ in record.sessions] == [STARTED.time, first[-1].time + 100]
    assert record.sessions[0][1] == first[-1].time


def test_attempts_lost_to_an_interruption_are_not_the_trials_fault() -> None:
    started = [STARTED, TrialStarted(0, 1, {}, 1, 0, 9)]
    again = [TrialStarted(0, 2, {}, 1, 0, 9, "interrupted"), TrialStarted(0, 3, {}, 1, 0, 9, "worker died")]
    assert [SweepRecord.of(Path(), started + again[:n]).trials[0].lost for n in range(3)] == [0, 0, 1]


def test_a_journal_from_before_there_were_formats_is_read_and_written_on(tmp_path: Path) -> None:
    """An interrupted Hyperband sweep on stand-in data; its trials have neither val/macro_f1 nor an origin."""
    old = journal.read(BEFORE_FORMATS / "imdb")
    record = SweepRecord.of(tmp_path, old)
    assert (record.started.kind, record.started.format, record.started.environment.machine["cores"]) == (
        "sweep",
        1,
        "2",
    )
    assert record.baseline is record.trials[0]
    assert record.best is not None
    assert record.best.at_best("val/accuracy") == record.best.objective
    assert record.best.at_best("val/macro_f1") is None
    assert (len(record.trials), record.finished) == (10, 8)
    (tmp_path / journal.FILE).write_bytes((BEFORE_FORMATS / "imdb" / journal.FILE).read_bytes())
    resumed = SweepResumed("", 12, Environment(versions={"python": "3"}), time=2e9)
    written(tmp_path, [resumed])
    assert journal.read(tmp_path) == [*old, resumed]


def test_the_chosen_epochs_scores_are_those_of_validation_and_test() -> None:
    epochs = [EpochEnded(0, 1, n, {"train/loss": 0.1, "val/loss": n, "val/accuracy": n / 10}) for n in (1, 2, 3)]
    ended = TrialEnded(0, 1, "completed", "finished", 0.2, 2, {"test/accuracy": 0.15})
    record = SweepRecord.of(Path(), [STARTED, TrialStarted(0, 1, {}, 1, 0, 3), *epochs, ended])
    assert record.trials[0].scores() == {"val/loss": 2, "val/accuracy": 0.2, "test/accuracy": 0.15}
    assert record.trials[0].at_best("val/macro_f1") is None


@pytest.mark.parametrize("event", [TrialStarted(0, 1, {}, 1, 0, 1), EpochEnded(0, 1, 1, {})], ids=lambda e: e.event)
def test_a_journal_that_was_taken_away_is_not_written_on(event: Event, tmp_path: Path) -> None:
    record = Journal(tmp_path / "imdb")
    record.append(STARTED)
    record.append(TrialStarted(0, 1, {}, 1, 0, 1))
    (tmp_path / "imdb").rename(tmp_path / "moved")
    before = (tmp_path / "moved" / journal.FILE).read_bytes()
    for _ in range(2):
        with pytest.raises(journal.JournalError, match=r"imdb/journal\.jsonl was removed, moved or replaced while"):
            record.append(event)
        written(tmp_path / "imdb", [])  # another one in its place
    record.close()
    assert (tmp_path / "moved" / journal.FILE).read_bytes() == before


def test_times_go_on_evenly_though_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    began = clock.now()
    monkeypatch.setattr("time.time", lambda: began - 7200)
    assert 0 <= clock.now() - began < 60
    clock.go_on_after(began + 3600)
    assert 0 <= clock.now() - began - 3600 < 60
    clock.go_on_after(began)
    assert 0 <= clock.now() - began - 3600 < 60
