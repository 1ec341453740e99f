import base64
import itertools
import os
import random
import time
from pathlib import Path

import pytest

from conf.schema import Value
from sweeps import journal
from sweeps.journal import Journal, RunLinks, SweepEnded, SweepRecord
from sweeps.report import write
from sweeps.report.figures import style
from tests import confirmations, records
from tests.pages import Page


def test_the_page_needs_no_other_file_and_its_figures_are_written_beside_it_with_their_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pngs = (b"PNG %d" % number for number in itertools.count())
    monkeypatch.setattr(style, "png", lambda figure: next(pngs))
    report = write.write(records.record(trials=3), tmp_path / "a" / "report.html", figures=tmp_path / "a")
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == report.html
    for figure in report.figures:
        assert (tmp_path / "a" / f"{figure.name}.png").read_bytes() == figure.png
        assert (tmp_path / "a" / f"{figure.name}.csv").read_bytes() == figure.csv
        assert figure.csv.count(b"\n") > 1, figure.name
    assert len(list((tmp_path / "a").iterdir())) == 1 + 2 * len(report.figures)
    shown = Page(report.html)
    assert not {tag for tag, _ in shown.tags} & {"link", "iframe"}
    assert shown.attributes("script") == [{}]
    downloads = {link["download"]: link["href"] or "" for link in shown.attributes("a") if "download" in link}
    assert [*downloads] == [f"{figure.name}.csv" for figure in report.figures]
    for figure in report.figures:
        start, _, content = downloads[f"{figure.name}.csv"].partition("base64,")
        assert start == "data:text/csv;charset=utf-8;"
        assert base64.b64decode(content) == figure.csv
    images = shown.attributes("img")
    assert len(images) == len(report.figures) > 10
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in images)
    assert all(image["alt"] for image in images)
    assert "url(" not in report.html
    assert "@media print" in report.html
    assert "viewport" in report.html


def test_a_page_is_written_again_when_its_sweep_has_been_confirmed(tmp_path: Path) -> None:
    sweep, confirmed = tmp_path / "lstm" / "imdb", tmp_path / "lstm-confirm" / "imdb"
    record = SweepRecord.of(sweep, [*records.events(sweep=confirmations.SWEEP, trials=6), SweepEnded("completed", 1)])
    page = write.ensure_written(record)
    assert page is not None
    assert "Not confirmed" not in page.read_text(encoding="utf-8")
    for directory in (confirmed, tmp_path / "damaged" / "imdb"):
        directory.mkdir(parents=True)
    (tmp_path / "damaged" / "imdb" / journal.FILE).write_text("{}\n")
    writer = Journal(confirmed)
    for event in confirmations.events(confirmed, {}, noise=0.01):
        writer.append(event)
    writer.close()
    write.ensure_written(record)
    assert "Not confirmed: the search" in page.read_text(encoding="utf-8")
    written = page.stat().st_mtime_ns
    write.ensure_written(record)
    assert page.stat().st_mtime_ns == written


@pytest.mark.long
def test_two_hundred_trials_of_twelve_hyperparameters_are_drawn_soon_and_can_be_mailed() -> None:
    def by_first(values: dict[str, Value], rng: random.Random) -> float:
        return 0.7 + float(values["hyperparameter_0"]) / 10 + rng.gauss(0, 0.005)

    space = records.many_hyperparameters(11)
    record = records.record(trials=200, space=space, accuracy=by_first, failing=lambda trial: trial % 20 == 7)
    began = time.process_time()
    report = write.build(record)
    assert time.process_time() - began < 10  # of processor time, which other processes do not change
    assert len([figure for figure in report.figures if figure.name.startswith("slice-")]) == 12
    assert len(report.html) < 5_000_000


@pytest.mark.usefixtures("no_figures")
def test_a_page_is_written_once_and_again_after_a_later_end(tmp_path: Path) -> None:
    record = records.record(directory=tmp_path, trials=2)
    path = write.ensure_written(record)
    assert path == tmp_path / "report.html"
    first = path.read_text()
    os.utime(path, (0, 0))  # of no meaning: the clock may have been set
    assert write.ensure_written(record) == path
    assert path.stat().st_mtime == 0
    os.utime(path, (2e10, 2e10))
    record.add(SweepEnded("completed", 0, time=record.sessions[-1][1]))
    write.ensure_written(record)
    assert path.read_text() != first
    path.write_text("a page that another version wrote, or a user")
    write.ensure_written(record)
    assert "a page that" not in path.read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_page_that_cannot_be_written_holds_up_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sweep").write_text("a file in the directory's place")
    assert write.ensure_written(records.record(directory=tmp_path / "sweep", trials=1)) is None
    assert "could not be written" in caplog.text


@pytest.mark.usefixtures("no_figures")
def test_a_page_without_links_is_written_again_when_the_runs_are_known_and_not_the_other_way(tmp_path: Path) -> None:
    record = records.record(directory=tmp_path, trials=2)
    path = write.ensure_written(record)
    assert path is not None
    assert Page(path.read_text()).attributes("a") == [{"class": "skip", "href": "#main"}]
    record.links = RunLinks({1: "http://host/#/experiments/1/runs/ab"})
    write.ensure_written(record)
    linked = path.read_text()
    assert {"href": "http://host/#/experiments/1/runs/ab"} in Page(linked).attributes("a")
    assert "link to their runs in MLflow." in Page(linked).text
    record.links = RunLinks()
    write.ensure_written(record)
    assert path.read_text() == linked


@pytest.mark.usefixtures("no_figures")
def test_links_into_a_database_come_with_the_command_that_serves_it() -> None:
    record = records.record(trials=2)
    record.links = RunLinks({0: "http://127.0.0.1:5000/#/experiments/1/runs/ab"}, "text-sweeps ui")
    text = " ".join(Page(write.build(record).html).text.split())
    assert "which open on this machine while this runs: text-sweeps ui The best trials" in text
