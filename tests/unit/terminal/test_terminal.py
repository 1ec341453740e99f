import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from conf.schema import Job, Value
from sweeps.analysis import confirmation
from sweeps.analysis.paired import Difference
from sweeps.journal import (
    EpochEnded,
    Event,
    ReferenceEnded,
    SweepEnded,
    SweepRecord,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialStarted,
)
from sweeps.terminal import sentences, tables
from sweeps.terminal.console import Console
from sweeps.terminal.progress import Terminal
from sweeps.terminal.tables import SHOWN, results
from sweeps.trials.spec import Timing
from tests import answered, confirmations, records
from tests.fakes import plan

OBJECTIVE = "val/accuracy"


def started(**changes: Any) -> SweepStarted:
    return records.started(**{"sweep": f"s/{changes.get('dataset', 'imdb')}", "trials": 3, **changes})


def completed(trial: int, objective: float, values: dict[str, Value] | None = None) -> list[Event]:
    """A trial of two epochs."""
    test = {"test/loss": 1.0, "test/accuracy": objective - 0.01, "test/macro_f1": objective - 0.02}
    epochs: list[Event] = [EpochEnded(trial, 1, epoch, {OBJECTIVE: objective}) for epoch in (1, 2)]
    return [
        TrialStarted(trial, 1, {"units": trial} if values is None else values, 1, 0, 2),
        *epochs,
        TrialEnded(trial, 1, "completed", "finished", objective, 1, test, {"seconds": 3.4}),
    ]


def failed(trial: int, reason: str) -> list[Event]:
    return [
        TrialStarted(trial, 1, {"units": trial}, 1, 0, 2),
        EpochEnded(trial, 1, 1, {OBJECTIVE: 0.1}),
        TrialEnded(trial, 1, "failed", reason, traceback="Traceback …"),
    ]


def record(*events: Event, start: SweepStarted | None = None) -> SweepRecord:
    return SweepRecord.of(Path(), [start or started(), *events])


def columns(table: Table) -> dict[str, list[str]]:
    return {str(column.header).replace("\n", ""): [str(cell) for cell in column.cells] for column in table.columns}


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_best_five_are_shown_and_the_baseline_though_it_is_worse() -> None:
    scores = [0.5, 0.61, 0.67, 0.63, 0.62, 0.66, 0.64, 0.65]
    table = results(record(*(event for trial, score in enumerate(scores) for event in completed(trial, score))))
    cells = columns(table)
    assert SHOWN == 5
    assert cells["trial"] == ["2", "5", "7", "6", "3", "baseline"]
    assert cells[OBJECTIVE] == ["0.6700", "0.6600", "0.6500", "0.6400", "0.6300", "0.5000"]
    assert cells["test/accuracy"] == ["0.6600", "0.6500", "0.6400", "0.6300", "0.6200", "0.4900"]
    assert cells["test/macro_f1"] == ["0.6500", "0.6400", "0.6300", "0.6200", "0.6100", "0.4800"]
    assert set(cells["epoch"]) == {"1/2"}
    assert cells["gain"] == ["+0.1700", "+0.1600", "+0.1500", "+0.1400", "+0.1300", ""]


@given(st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=9))
def test_the_baseline_is_shown_once_and_every_difference_is_to_it(scores: list[float]) -> None:
    table = results(record(*(event for trial, score in enumerate(scores) for event in completed(trial, score))))
    cells = columns(table)
    assert cells["trial"].count("baseline") == 1
    assert len(cells["trial"]) <= SHOWN + 1
    best = [float(value) for value in cells[OBJECTIVE][:SHOWN]]
    assert best == sorted(scores, reverse=True)[:SHOWN]
    for trial, objective, difference in zip(cells["trial"], cells[OBJECTIVE], cells["gain"], strict=True):
        expected = "" if trial == "baseline" else f"{float(objective) - scores[0]:+.4f}"
        assert difference.replace("-0.0000", "+0.0000") == expected.replace("-0.0000", "+0.0000")


def test_the_smallest_loss_is_first() -> None:
    events = [*completed(0, 0.5), *completed(1, 0.7), *completed(2, 0.3)]
    cells = columns(results(record(*events, start=started(objective="val/loss"))))
    assert cells["trial"] == ["2", "baseline", "1"]
    assert cells["gain"] == ["+0.2000", "", "-0.2000"]  # less is better


def test_without_a_completed_baseline_there_are_no_differences() -> None:
    cells = columns(results(record(*failed(0, "diverged"), *completed(1, 0.7), *completed(2, 0.6))))
    assert cells["trial"] == ["1", "2"]
    assert cells["gain"] == ["", ""]


def test_only_hyperparameters_that_differ_are_shown() -> None:
    fixed: dict[str, Value] = {"embedding_dim": 100, "rate": 0.001}
    events = [
        *completed(0, 0.5, {**fixed, "units": 16, "dropout": 0.5}),
        *completed(1, 0.6, {**fixed, "units": 32, "dropout": 0.5}),
        *completed(2, 0.4, {**fixed, "units": 16, "dropout": 0.25}),
    ]
    cells = columns(results(record(*events)))
    assert cells["hyperparameters"] == ["units=32 dropout=0.5", "units=16 dropout=0.5", "units=16 dropout=0.25"]


@pytest.mark.parametrize(("source", "named"), [("standin", True), ("archive", False)])
def test_a_table_of_generated_data_says_so(source: str, named: bool) -> None:
    table = results(record(*completed(0, 0.5), start=started(source=source)))
    assert ("STAND-IN data, not the real corpus" in " ".join(printed(table).split())) == named


def test_failed_trials_are_counted_and_not_ranked() -> None:
    table = results(record(*completed(0, 0.5), *failed(1, "diverged"), *failed(2, "diverged"), *completed(3, 0.6)))
    assert "lstm on imdb: 2 trials completed, 2 failed" in printed(table)
    assert columns(table)["trial"] == ["3", "baseline"]


@pytest.mark.parametrize("events", [[], failed(0, "diverged")])
def test_a_sweep_without_a_completed_trial_has_an_empty_table(events: list[Event]) -> None:
    table = results(record(*events))
    assert table.row_count == 0
    assert f"0 trials completed, {len(events) and 1} failed" in printed(table)


def show(console: Console, *events: Event, start: SweepStarted | None = None) -> SweepRecord:
    """Do what the driver does: each event goes into the record, then to the listener."""
    first, *others = [start or started(), *events]
    record = SweepRecord.of(Path(), [first])
    with Terminal(console) as listener:
        listener.on_event(record, first)
        for event in others:
            record.add(event)
            listener.on_event(record, event)
    return record


def lines(events: Iterable[Event]) -> list[str]:
    """The lines that are printed into a file."""
    file = io.StringIO()
    show(Console(file=file, width=100), *events)
    return file.getvalue().splitlines()


def test_every_ended_trial_has_one_line() -> None:
    reason = "error: InvalidArgumentError: shapes [32,100] and [bold] [/bold] differ [/]"
    assert lines([*completed(0, 0.5), *failed(1, reason), *completed(2, 0.75), SweepEnded("completed", 2)]) == [
        "imdb trial 0: val/accuracy 0.5000 (epoch 1 of 2), test/accuracy 0.4900, 3 s",
        f"imdb trial 1 failed: {reason}",
        "imdb trial 2: val/accuracy 0.7500 (epoch 1 of 2), test/accuracy 0.7400, 3 s",
    ]


def test_names_and_values_from_outside_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    name, shown = "a[/x]\x1b]0;t\x07\n:smile:", "a[/x]\\u001b]0;t\\u0007\\n:smile:"
    start = started(dataset=name, model=name)
    for events in (
        [],
        completed(0, 0.5)[:2],
        failed(0, name),
        [*failed(0, name), SweepEnded("failed", None, "minutes")],
    ):
        file = io.StringIO()
        show(Console(file=file, width=200, terminal=True), *events, start=start)
        assert "\x1b]" not in file.getvalue()
        assert shown in file.getvalue()
    ended = record(*completed(0, 0.5, {"cell": name}), *completed(1, 0.6, {"cell": "b"}), start=start)
    assert f"{shown} on {shown}" in printed(results(ended))
    assert f"cell={shown}" in printed(results(ended))


@given(st.text("ab[]/ =#.(1@\\:x", max_size=40))
def test_a_reason_is_shown_as_it_is(reason: str) -> None:
    (line,) = lines(failed(0, f"<{reason}>"))
    assert line == f"imdb trial 0 failed: <{reason}>"


RETRIED_AND_PROMOTED: list[Event] = [
    TrialStarted(0, 1, {"units": 1}, 1, 0, 2),
    TrialStarted(1, 1, {"units": 2}, 2, 0, 2),
    EpochEnded(0, 1, 1, {OBJECTIVE: 0.5}),
    EpochEnded(1, 1, 1, {OBJECTIVE: 0.4}),
    TrialStarted(1, 2, {"units": 2}, 2, 0, 2, "worker died"),
    EpochEnded(1, 2, 1, {OBJECTIVE: 0.6}),
    EpochEnded(0, 1, 2, {OBJECTIVE: 0.6}),
    completed(0, 0.6)[-1],
    EpochEnded(1, 2, 2, {OBJECTIVE: 0.7}),
    TrialEnded(1, 2, "completed", "finished", 0.7, 2, {"test/accuracy": 0.7}, {"seconds": 1.0}),
    TrialStarted(1, 1, {"units": 2}, 2, 2, 4),
    *failed(2, "worker died [/]"),
    EpochEnded(1, 1, 3, {OBJECTIVE: 0.8}),
    EpochEnded(1, 1, 4, {OBJECTIVE: 0.7}),
    TrialEnded(1, 1, "completed", "finished", 0.8, 3, {"test/accuracy": 0.7}, {"seconds": 1.0}),
    SweepEnded("completed", 1),
]
ERASE_LINE = "\x1b[2K"


def bars(events: Iterable[Event]) -> Iterator[str]:
    """The lines of the last picture on a terminal after these events, without colours."""
    file = io.StringIO()
    show(Console(file=file, width=100, terminal=True), *events)
    picture = file.getvalue().rpartition(ERASE_LINE)[2]
    return (line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", picture).splitlines() if line.strip())


@pytest.mark.parametrize("length", range(len(RETRIED_AND_PROMOTED) + 1))
def test_there_is_a_bar_for_the_sweep_and_each_running_trial_all_its_life(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    events = RETRIED_AND_PROMOTED[:length]
    trials = record(*events).trials.values()
    expected = {f"imdb trial {t.trial}": f"{t.epochs_run}/{t.epochs} epochs" for t in trials if t.running}
    if SweepEnded not in map(type, events):
        just_ended = bool(events) and isinstance(events[-1], TrialEnded)
        expected["lstm on imdb"] = f"{len(trials) - len(expected)}/3 trials" if just_ended else "/3 trials"
    pictured = [line for line in bars(events) if "━" in line]
    assert len(pictured) == len(expected)
    for name, count in expected.items():
        (bar,) = [line for line in pictured if line.startswith(name)]
        assert count in bar


def test_the_bar_of_the_sweep_names_the_best_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert any("none completed yet" in line for line in bars(failed(0, "diverged")))
    assert any("best 0.7000 (trial 1)" in line for line in bars([*completed(0, 0.6), *completed(1, 0.7)]))


def test_the_bars_of_two_sweeps_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    with Terminal(Console(file=file, width=100, terminal=True)) as listener:
        for dataset in ("imdb", "reuters"):
            first = started(dataset=dataset)
            record = SweepRecord.of(Path(), [first])
            listener.on_event(record, first)
            for event in (TrialStarted(0, 1, {}, 1, 0, 2), *failed(1, f"no {dataset}")):
                record.add(event)
                listener.on_event(record, event)
    picture = file.getvalue().rpartition(ERASE_LINE)[2]
    for name in ("lstm on imdb", "imdb trial 0", "lstm on reuters", "reuters trial 0"):
        assert picture.count(name) == 1
    assert "trial 1" not in picture


def test_a_sweep_that_goes_on_is_announced_with_its_progress() -> None:
    past = [started(), *completed(0, 0.5), *failed(1, "diverged"), TrialStarted(2, 1, {}, 1, 0, 2)]
    file = io.StringIO()
    listener = Terminal(Console(file=file, width=100))
    listener.catch_up(Path(), past)
    assert file.getvalue() == "resumed imdb: 2 of 3 trials finished\n"
    resumed = SweepResumed("", 5)
    listener.on_event(SweepRecord.of(Path(), [*past, resumed]), resumed)
    listener.close()
    listener.close()
    assert file.getvalue().count("\n") == 1


def test_a_sweep_that_goes_on_with_more_trials_is_announced_with_them(composed: Callable[..., Job]) -> None:
    file, more = io.StringIO(), planned(composed, "trials=9")
    Terminal(Console(file=file, width=100), [more]).catch_up(Path(), [started(sweep=more.sweep), *completed(0, 0.5)])
    assert file.getvalue() == "resumed imdb: 1 of 9 trials finished\n"


def test_the_reason_of_an_early_end_is_given() -> None:
    def ending(reason: str, *events: Event) -> str | None:
        text = sentences.ending(record(*events, SweepEnded("failed", None, reason)))
        return text.plain if text is not None else None

    trials = [*failed(0, "diverged"), *failed(1, "out of memory [/]")]
    assert ending("max_failures", *trials) == (
        "lstm on imdb: ended early, too many trials failed in a row; the last was trial 1: out of memory [/]"
    )
    assert ending("minutes") == "lstm on imdb: ended early, the time is up"
    assert ending("target") == "lstm on imdb: ended early, the target is reached"
    assert ending("trials") is None
    assert sentences.ending(record()) is None


def test_a_metric_that_an_old_journal_lacks_is_a_dash() -> None:
    *events, end = completed(0, 0.5)
    assert isinstance(end, TrialEnded)
    cells = columns(results(record(*events, replace(end, test={"test/accuracy": 0.49}))))
    assert (cells["test/accuracy"], cells["test/macro_f1"]) == (["0.4900"], ["–"])


def test_references_floor_and_ceiling_have_rows_below_the_trials() -> None:
    facts = {**answered.audit(["earn", "acq"]).as_dict(), "floor": 0.36, "ceiling": 0.94}
    whole = SweepRecord.of(Path("x"), records.events(trials=2, audit=facts))
    for reference in (records.reference(), ReferenceEnded("nbsvm", "failed", "too little")):
        whole.add(reference)
    cells = columns(results(whole))
    assert cells["trial"][-3:] == ["linear", "floor", "ceiling"]
    assert cells["val/accuracy"][-3:] == ["0.7860", "", ""]
    assert cells["test/accuracy"][-3:] == ["0.7760", "0.3600", "0.9400"]
    assert cells["hyperparameters"][-3:-1] == ["TF-IDF with a linear SVM, C=0.3; 6 s", "always answering earn"]


def test_each_reference_has_a_line_and_the_verdict_names_stand_in_data() -> None:
    known, failed = records.reference("svm", cached=True), ReferenceEnded("nbsvm", "failed", "too\x1b[1m little")
    assert lines([records.reference(), known, failed]) == [
        "imdb reference TF-IDF with a linear SVM, C=0.3: test/accuracy 0.7760, 6 s",
        "imdb reference TF-IDF with a linear SVM, C=0.3: test/accuracy 0.7760, known from an earlier sweep",
        "imdb reference NB-SVM failed: too\\u001b[1m little",
    ]
    whole = SweepRecord.of(Path("x"), [*records.events(trials=1, source="standin"), known])
    (sentence,) = sentences.verdict(whole)
    assert sentence.startswith("lstm on imdb; generated STAND-IN data: A linear model on counts of words")


def test_a_confirmation_has_a_row_for_each_configuration(tmp_path: Path) -> None:
    confirmed = confirmations.record(tmp_path, {3: 0.03})
    outcomes = confirmation.outcomes(confirmed)
    cells = columns(tables.confirmation_table(confirmed, outcomes, {}))
    assert cells["configuration"] == ["trial 3", "trial 5", "baseline"]
    assert cells["search'sval/accuracy"] == ["0.7600", "0.7500", "0.7000"]
    by_macro_f1 = confirmations.record(tmp_path / "f1", {3: 0.03}, compared_by="test/macro_f1")
    others = columns(tables.confirmation_table(by_macro_f1, confirmation.outcomes(by_macro_f1), {}))
    assert {"search'sval/macro_f1", "test/macro_f1"} < others.keys()
    first = outcomes[0]
    assert cells["test/accuracy"][0] == f"{first.mean:.4f} ± {first.half_width:.4f}"
    assert cells["gain(points)"][0] == f"{100 * first.gain.mean:+z.1f} ± {100 * first.gain.half_width:.1f}"
    assert cells["gain(points)"][-1] == ""
    assert cells["seeds"] == ["5", "5", "5"]
    assert "over linear(points)" not in cells


def test_a_confirmation_says_how_far_each_configuration_is_above_the_linear_model(tmp_path: Path) -> None:
    confirmed = confirmations.record(tmp_path, {3: 0.03}, shuffled=-0.2)
    leads = {3: Difference(5, 0.012, 0.004, None), 0: Difference(5, -0.02, 0.011, None)}
    table = tables.confirmation_table(confirmed, confirmation.outcomes(confirmed), leads)
    cells = dict(zip(*(columns(table)[name] for name in ("configuration", "over linear(points)")), strict=True))
    assert cells == {"trial 3": "+1.2 ± 0.4", "trial 5": "", "baseline": "-2.0 ± 1.1", "trial 3, words shuffled": ""}
    file = io.StringIO()
    Console(file=file, width=80).print(table)
    assert "+1.2 ± 0.4" in file.getvalue()
    assert "…" not in file.getvalue()


def test_an_estimate_has_the_sizes_and_the_time_of_all_trials(composed: Callable[..., Job]) -> None:
    sizes = {"smallest": ({"units": 2}, Timing(1_000, 0.25, 1.0)), "largest": ({"units": 9}, Timing(20_000, 2.0, 1.0))}
    # Not an `Estimate`, whose module imports TensorFlow.
    estimate: Any = SimpleNamespace(trials=12, epochs=120, sizes=sizes, seconds=7500.0)
    table = tables.estimate_table(plan(composed("model=lstm")), estimate)
    assert str(table.title) == "lstm on imdb: 12 trials, 120 epochs, about 2 h 05 min if no trial stops early"
    assert columns(table) == {
        "model": ["smallest", "largest"], "parameters": ["1,000", "20,000"], "seconds/epoch": ["0.2", "2.0"],
        "hyperparameters": ["units=2", "units=9"],
    }  # fmt: skip


def planned(composed: Callable[..., Job], *arguments: str) -> Any:
    searched = plan(composed("model=lstm", "data=imdb", *arguments))
    return searched._replace(sweep="s/imdb")


def timed(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
    plan: Any,
    *events: Event | tuple[int, float],
    seconds: float = 10,
) -> None:
    """Show events, or positions within a trial's epochs, of which each comes some seconds after the last one."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    first = started(source=plan.source)
    record = SweepRecord.of(Path(), [first])
    with Terminal(console, [plan]) as listener:
        listener.on_event(record, first)
        for event in events:
            now[0] += seconds
            if isinstance(event, tuple):
                listener.on_step(record, *event)
            else:
                record.add(event)
                listener.on_event(record, event)


def pictured(text: str) -> str:
    """The last picture, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.rpartition(ERASE_LINE)[2])


VALUES: dict[str, Value] = {"embedding_dim": 100, "lstm_units": 140, "dropout": 0.25, "learning_rate": 0.00149804123}


def test_a_bar_moves_within_an_epoch_and_says_how_long_the_trial_takes_at_most(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    begun = TrialStarted(0, 1, VALUES, 1, 0, 4)
    timed(Console(file=file, width=80, terminal=True), monkeypatch, planned(composed), begun, (0, 0.01))
    assert "at most" not in pictured(file.getvalue())  # nearly all of it was tracing
    file = io.StringIO()
    timed(Console(file=file, width=80, terminal=True), monkeypatch, planned(composed), begun, (0, 0.01), (0, 0.51))
    assert "1/4" not in pictured(file.getvalue())
    assert "at most 2 min" in pictured(file.getvalue())  # 10 s for half of one of 4 epochs, so 70 s
    file = io.StringIO()
    lasting = planned(composed, "stopping=none")
    timed(Console(file=file, width=80, terminal=True), monkeypatch, lasting, begun, (0, 0.5), (0, 1.0), (0, 3.0))
    assert "about 5 s" in pictured(file.getvalue())  # two epochs in 10 s; the first, which traces, counts no more


def test_the_sweeps_time_counts_every_trial_to_come(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    searched = planned(composed, "epochs=4")
    # 61 s for half an epoch after the first report, and 3.25 + 2 * 4 epochs to come on one worker.
    started, console = TrialStarted(0, 1, VALUES, 1, 0, 4), Console(file=file, width=80)
    timed(console, monkeypatch, searched, started, (0, 0.25), (0, 0.75), seconds=61)
    assert file.getvalue() == "imdb: 0 of 3 trials finished, 1 running, at most 23 min left\n"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_trials_line_names_what_was_searched_and_stand_in_data(
    width: int, terminal: bool, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    begun, *others = completed(0, 0.5, VALUES)
    timed(Console(file=file, width=width, terminal=terminal), monkeypatch, planned(composed), begun, *others)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    printed = text[text.index("imdb trial 0 (stand-in): val/accuracy") :]
    ended = printed[: printed.index("learning_rate=0.0015") + 20].splitlines()
    assert "lstm_units=140" in " ".join(ended)
    assert len(ended) > 1 if terminal and width <= 80 else width >= 140 or len(ended) == 1 or terminal
    assert all(len(line) <= width for line in ended) or not terminal
    assert all(line.startswith("  ") for line in ended[1:])


def test_at_80_columns_a_bar_is_one_line(composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    begun = [TrialStarted(trial, 1, VALUES, 1, 0, 20) for trial in (0, 11)]
    epochs = [EpochEnded(trial, 1, 1, {OBJECTIVE: 0.7}) for trial in (0, 11)]
    timed(Console(file=file, width=80, terminal=True), monkeypatch, planned(composed), *begun, *epochs)
    rows = [line.rstrip() for line in pictured(file.getvalue()).splitlines() if "━" in line]
    assert len(rows) == 3
    assert all(len(row) <= 80 for row in rows)
    assert any("imdb trial 11 (stand-in)" in row and "at most" in row and "val/accuracy 0.7000" in row for row in rows)


def test_one_table_has_the_choice_of_every_sweep_of_a_command() -> None:
    sweeps = [
        record(*completed(0, 0.5), *completed(1, 0.7), start=started(model="lstm")),
        record(*completed(0, 0.6), start=started(model="cnn", dataset="reuters", source="standin")),
        record(*failed(0, "diverged"), start=started(model="gru")),
    ]
    table = tables.overview(sweeps)
    cells = columns(table)
    assert cells["sweep"] == ["lstm on imdb", "cnn on reuters (stand-in data)", "gru on imdb"]
    assert cells["trials"] == ["2/3", "1/3", "0/3"]
    assert cells[OBJECTIVE] == ["0.7000", "0.6000", ""]
    assert cells["gain"] == ["+0.2000", "", ""]
    assert cells["test/accuracy"] == ["0.6900", "0.5900", ""]
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    assert max(map(len, console.file.getvalue().splitlines())) <= 80


def test_bars_are_not_drawn_while_a_line_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each drawing moves the cursor up by the height of the one before; out of order, it erases lines.
    with Terminal(Console(file=io.StringIO(), width=80, terminal=True)) as listener:
        bars = listener._bars
        drawn: list[bool] = []

        def printing(*_: object, **__: object) -> None:
            if threading.current_thread() is not threading.main_thread():
                return  # the drawing itself
            drawing = threading.Thread(target=bars.refresh)
            drawing.start()
            drawing.join(0.2)
            drawn.append(not drawing.is_alive())

        with monkeypatch.context() as patched:
            patched.setattr(bars.console, "print", printing)
            listener._print(Text("imdb trial 0: val/accuracy 0.9"))
        assert drawn[0] is False
