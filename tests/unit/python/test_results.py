"""The results of sweeps in scripts and notebooks."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from conf.schema import ConfigError
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord, TrialStarted
from tests import confirmations, records
from text_sweeps import Results, load, sweep
from text_sweeps.results import Report

MARKUP = "</iframe><script>alert(1)</script>\"'&"


def test_results_of_several_sweeps_are_one_table_and_each_is_found_by_its_dataset_and_its_names() -> None:
    both = Results([records.record(sweep=f"lstm-1/{name}", dataset=name) for name in ("imdb", "reuters")])
    assert both.names == ["lstm-1/imdb", "lstm-1/reuters"]
    assert both.trials["dataset"].value_counts().to_dict() == {"imdb": 12, "reuters": 12}
    assert both["reuters"].names == both["lstm-1/reuters"].names == ["lstm-1/reuters"]
    assert both["lstm-1"].names == both.names
    assert [each.names for each in both] == [["lstm-1/imdb"], ["lstm-1/reuters"]]
    with pytest.raises(ConfigError, match="enron: allowed: lstm-1/imdb, lstm-1/reuters"):
        both["enron"]
    with pytest.raises(ConfigError, match=r"2 sweeps: choose one, results\[…\]: lstm-1/imdb, lstm-1/reuters"):
        both.model()


def test_the_best_row_is_the_best_by_validation_and_of_a_confirmation_its_choice(tmp_path: Path) -> None:
    record = records.record()
    assert record.best is not None
    assert Results([record]).best["trial"] == record.best.trial
    confirmed = confirmations.record(tmp_path, {3: 0.05, 5: 0.01})
    assert Results([confirmed]).best["origin"] == 3


def test_a_sweep_without_a_completed_trial_is_unfinished_and_has_no_best() -> None:
    results = Results([records.record(trials=2, failing=lambda trial: True)])
    assert results.unfinished == results.names
    assert Results([records.record()]).unfinished == []
    assert Results([records.record(end=False)]).unfinished != []
    with pytest.raises(SweepError, match="no trial that could be chosen has completed"):
        results.best  # noqa: B018


def test_a_notebook_shows_the_best_trials_and_the_baseline_and_obeys_no_text() -> None:
    space = {**records.LSTM_SPACE, "activation": {"kind": "Choice", "values": [MARKUP], "default": MARKUP}}
    record = records.record(trials=20, space=space)
    shown = Results([record])._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    rows = shown.count("<tr")
    assert rows == 1 + 5 + (record.baseline not in record.ranking()[:5])
    assert len(shown) < 10_000


@pytest.mark.parametrize("count", [0, 1])
def test_a_sweep_that_has_just_begun_can_be_shown(count: int) -> None:
    events = [event for event in records.events(1) if not isinstance(event, TrialStarted)][:1]
    results = Results([SweepRecord.of(Path("x"), events)][:count])
    assert len(results) == count
    assert results._repr_html_()
    assert repr(results)


def test_stand_in_data_are_named() -> None:
    assert "generated STAND-IN data" in repr(Results([records.record(source="standin")]))


class _Frame(HTMLParser):
    """Collects the tags of a page, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_report_is_shown_whole_in_a_frame_in_which_nothing_runs() -> None:
    page = f"<p>{MARKUP}</p>"
    parser = _Frame()
    parser.feed(Report(page)._repr_html_())
    ((tag, attributes),) = parser.tags
    assert tag == "iframe"
    assert attributes["srcdoc"] == page
    assert attributes["sandbox"] in (None, "")
    assert MARKUP not in repr(Report(page))


def test_the_report_of_a_sweep_has_its_figures() -> None:
    page = Results([records.record(trials=4)]).report().html
    assert "data:image/png;base64," in page
    assert page.count("<script") == 1  # the one that sorts tables, which the notebook's frame does not run


def test_a_sweep_is_loaded_as_far_as_it_has_got(monkeypatch: pytest.MonkeyPatch) -> None:
    record = records.record(end=False)
    monkeypatch.setattr("sweeps.session.recorded.here", lambda name: [record] if name == "lstm/imdb" else [])
    assert load("lstm/imdb").trials.equals(Results([record]).trials)


def test_a_sweep_whose_weights_are_elsewhere_has_no_model(tmp_path: Path) -> None:
    results = Results([replace_directory(records.record(), tmp_path)])
    with pytest.raises(SweepError, match=r"its weights are not here; .*predict asks its registered model"):
        results.model()


def replace_directory(record: SweepRecord, directory: Path) -> SweepRecord:
    return SweepRecord.of(directory, [replace(record.started)])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("lstm", "lstm: not of the form key=value"),
        ("--help", "--help: not of the form key=value"),
        ("reproduce=abc", "reproduce=abc: a trial is repeated by the command line"),
    ],
)
def test_what_only_the_command_line_does_is_refused(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep(argument)


def test_one_text_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(ConfigError, match="a list of texts"):
        Results([records.record()]).classify("good")
