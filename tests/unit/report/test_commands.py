"""The commands on a page are whole, and can be pasted."""

import shlex
import sys
from pathlib import Path

import pytest

from conf.compose import compose
from sweeps.report import commands, sweep_page
from tests import records
from tests.pages import Page

BOTH = "datasets: {imdb: {maxlen: 100}, reuters: {maxlen: 100}}\n"


def test_advice_is_the_command_of_the_stored_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It composes what was recorded, on the one dataset, with the change that is advised."""
    monkeypatch.setattr(sys, "argv", ["sweep", "model=lstm", "epochs=7"])
    (job,) = compose()
    directory = tmp_path / "a b"
    (directory / "imdb").mkdir(parents=True)
    (directory / "config.yaml").write_text(job.yaml)
    record = records.record(directory / "imdb", trials=1, config=job.yaml)
    _, *arguments = shlex.split(commands.sweep_again(record).partition("sweep ")[2].join(["x ", ""]))
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments, "model.space.lstm_units.max_value=300"])
    (again,) = compose()
    assert list(job.config.datasets) == ["reuters", "imdb"]
    assert list(again.config.datasets) == ["imdb"]
    assert (again.config.epochs, again.config.model.space["lstm_units"]["max_value"]) == (7, 300)


def test_without_the_configuration_the_change_alone_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.report.figures.SWEEP_SECTIONS", ())
    record = records.record(Path("nowhere/imdb"), trials=1)
    assert commands.sweep_again(record) == ""


def test_a_name_is_quoted_for_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    record = records.record(trials=2, sweep="a b;c/imdb")
    assert shlex.split(commands.confirm(record))[-1] == "sweep=a b;c/imdb"


@pytest.mark.usefixtures("no_figures")
def test_generated_data_are_no_reason_to_change_anything() -> None:
    from tests.unit.analysis.test_data_findings import example

    facts = example(cut=0.4, lengths=(50, 80, 95, 150, 391, 700, 900)).as_dict()
    texts = [
        Page(sweep_page.build(records.record(trials=2, audit=facts, source=source)).html).text
        for source in ("archive", "standin")
    ]
    assert ["To try this in another sweep, add this to its command:" in text for text in texts] == [True, False]
