"""A page gets everything once of a journal that grows, and shows in the end what the journal says."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps import journal
from sweeps.journal import EpochEnded, Event, SweepRecord, SweepResumed, TrialEnded, TrialStarted
from sweeps.journal.events import to_entry
from sweeps.live import view
from sweeps.live.view import View
from tests import records

FAILING = records.events(trials=6, epochs=3, failing=lambda trial: trial == 4)


class Page:
    """The script's memory: it takes in answers as the page does."""

    def __init__(self) -> None:
        self.view, self.events = "", 0
        self.curves: dict[int, dict[str, list[float]]] = {}
        self.last: dict[str, Any] = {}
        self.received: list[int] = []  # epochs, answer by answer

    def ask(self, shown: View, state: str = "running") -> None:
        shown.advance()
        self.last = json.loads(json.dumps(shown.changes(self.view, self.events, state), allow_nan=False))
        if self.last["view"] != self.view:
            self.curves = {}
        self.view, self.events = self.last["view"], self.last["events"]
        for trial in self.last["trials"]:
            known = self.curves.get(trial["trial"], {})
            tails = trial["curves"].items()
            self.curves[trial["trial"]] = {name: known.get(name, [])[: trial["kept"]] + tail for name, tail in tails}
        self.received.append(sum(len(tail) for trial in self.last["trials"] for tail in trial["curves"].values()))


def append(directory: Path, events: Sequence[Event], *, end: str = "\n") -> None:
    lines = "\n".join(json.dumps(to_entry(event)) for event in events)
    with (directory / journal.FILE).open("a") as file:
        file.write(lines + end)


def test_a_page_has_the_curves_of_the_journal(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    for event in FAILING:
        append(tmp_path, [event])
        page.ask(shown)
    record = SweepRecord.of(tmp_path, FAILING)
    for trial in record.trials.values():
        assert page.curves[trial.trial] == {
            name: [pytest.approx(value, rel=1e-4) for value in curve] for name, curve in trial.curves.items()
        }
    assert max(page.received) == 6  # never more than one epoch of six metrics


def test_an_answer_has_only_what_is_new(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    append(tmp_path, FAILING)
    page.ask(shown)
    assert len(page.last["trials"]) == 6
    page.ask(shown)
    assert page.last["trials"] == []
    assert page.received[-1] == 0


@settings(max_examples=8)  # each reads a configuration, which is slow
@given(cuts=st.lists(st.integers(0, 400), max_size=6), step=st.integers(1, 7))
def test_attempts_and_rounds_replace_the_epochs_that_they_void(
    cuts: list[int], step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = records.drawn(random.Random(1), records.LSTM_SPACE, 0)

    def epochs(attempt: int, first: int, last: int) -> list[Event]:
        numbers = range(first, last + 1)
        return [EpochEnded(0, attempt, number, {"val/loss": attempt + number / 10}) for number in numbers]

    events: list[Event] = [
        records.started(),
        TrialStarted(0, 1, values, 1, 0, 3),
        *epochs(1, 1, 2),
        TrialStarted(0, 2, values, 1, 0, 3, after="worker died"),
        *epochs(2, 1, 3),
        TrialEnded(0, 2, "completed", "finished", 0.5, 2),
        TrialStarted(0, 1, values, 1, 2, 5),
        *epochs(4, 3, 5),
    ]
    lines = [json.dumps(to_entry(event)) + "\n" for event in events]
    folder = tmp_path_factory.mktemp("journal")
    page, shown = Page(), View(folder)
    text = "".join(lines)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(view, "STEP", step)
        for cut in sorted(min(cut * 10, len(text)) for cut in [*cuts, 400]):  # in the middle of lines, too
            (folder / journal.FILE).write_text(text[:cut])
            page.ask(shown)
        (folder / journal.FILE).write_text(text)
        for _ in range(len(events)):
            page.ask(shown)
    assert page.curves[0]["val/loss"] == pytest.approx([2.1, 2.2, 4.3, 4.4, 4.5])
    assert not page.last["more"]


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    append(tmp_path, FAILING[:4])
    append(tmp_path, FAILING[4:5], end="")
    page.ask(shown)
    assert (page.events, page.last["fault"]) == (4, "")
    append(tmp_path, [], end="\n")
    page.ask(shown)
    assert page.events == 5


def test_a_damaged_line_is_named_and_what_stands_before_it_is_shown(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    append(tmp_path, FAILING[:6])
    with (tmp_path / journal.FILE).open("a") as file:
        file.write("{broken\n")
    for _ in range(2):
        page.ask(shown)
        assert "line 7 is damaged" in page.last["fault"]
    assert page.events == 6
    assert not page.last["more"]
    assert page.last["title"] == "lstm on imdb"


def test_a_journal_without_a_whole_first_line_shows_nothing(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    page.ask(shown)
    assert (page.events, page.last["trials"]) == (0, [])
    (tmp_path / journal.FILE).write_text('{"event": "sweep_st')
    page.ask(shown)
    assert (page.events, page.last["fault"]) == (0, "")


def test_a_page_of_another_journal_starts_again(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    append(tmp_path, FAILING)
    page.ask(shown)
    page.ask(again := View(tmp_path))
    assert len(page.last["trials"]) == 6
    page.events = 10**6  # a forged number
    page.ask(again)
    assert len(page.last["trials"]) == 6


def test_what_a_page_says_of_a_sweep(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    append(tmp_path, FAILING[:-1])
    page.ask(shown)
    assert page.last["status"] == "Running: 6 of 6 trials have ended."
    assert page.last["failures"] == ["trial 4: diverged: train/loss is nan in epoch 1"]
    assert page.last["facts"]["failed"] == "1"
    assert page.last["verdict"] == []
    page.ask(shown, "interrupted")
    assert page.last["status"].startswith("Interrupted: 6 of 6 trials have ended, and nothing runs it. To go on: ")
    assert page.last["unfinished"] == "cut off"
    append(tmp_path, FAILING[-1:])
    page.ask(shown, "completed")
    assert page.last["status"] == "This sweep has ended; 6 of 6 trials have ended."
    for budget, counted in ((9, "6 of 9"), (3, "6")):
        append(tmp_path, [SweepResumed(records.configuration(), budget)])
        page.ask(shown)
        assert page.last["status"] == f"Running: {counted} trials have ended."


def test_a_sweep_that_has_ended_says_what_it_found(tmp_path: Path) -> None:
    page, shown = Page(), View(tmp_path)
    append(tmp_path, [*FAILING[:-1], records.reference(), FAILING[-1]])
    page.ask(shown, "completed")
    assert page.last["references"] == ["TF-IDF with a linear SVM, C=0.3: test/accuracy 0.7760"]
    assert any("linear SVM" in sentence for sentence in page.last["verdict"])


@pytest.mark.long
def test_a_thousand_trials_are_quick(tmp_path: Path) -> None:
    append(tmp_path, records.events(trials=1000, epochs=20, end=False))
    page, shown = Page(), View(tmp_path)
    seconds = []
    while page.last.get("more", True):
        began = time.process_time()
        page.ask(shown)
        seconds.append(time.process_time() - began)
    assert page.events == 1 + 1000 * 22
    assert sorted(seconds)[len(seconds) * 9 // 10] < 0.1
    append(tmp_path, [EpochEnded(999, 1, 21, {"val/accuracy": 0.5})])
    began = time.process_time()
    page.ask(shown)
    assert time.process_time() - began < 0.05
    assert page.received[-1] == 1
    page.ask(View(tmp_path))  # a server that has begun anew tells everything again, in several answers
    assert page.last["more"]


def test_a_long_journal_comes_in_several_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "STEP", 10)
    monkeypatch.setattr(view, "READING", 60.0)
    append(tmp_path, FAILING)
    page, shown, answers = Page(), View(tmp_path), 0
    while page.last.get("more", True):
        page.ask(shown)
        answers += 1
    assert (len(FAILING), answers) == (29, 3)
    assert len(page.curves) == 6
