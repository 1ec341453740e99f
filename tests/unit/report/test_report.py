import html
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sweeps.report import sweep_page, write
from sweeps.journal import SweepEnded, SweepRecord, SweepResumed
from conf.schema import Value
from tests import records

SECONDS = 10  # of processor time; what else the machine does is no property of the code


class Page(HTMLParser):
    """What a browser would make of it: text, and the attributes of each tag."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.tags, self.open = "", [], []  # type: str, list[tuple[str, dict[str, str | None]]], list[str]
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def made(**options: Any) -> tuple[Page, write.Report]:
    began = time.process_time()
    result = write.of(records.record(**options))
    assert time.process_time() - began < SECONDS
    page = Page(result.html)
    assert page.open == []
    return page, result


def names(result: write.Report) -> set[str]:
    return {figure.name for figure in result.figures}


def test_one_trial_is_a_report_too() -> None:
    page, result = made(trials=1)
    assert "The baseline has the best val/accuracy" in page.text
    assert "of 1 completed trial." in page.text
    assert "Too few trials to say" in page.text
    assert "luckiest" not in page.text
    assert {"val-loss", "best-by-trial", "slice-lstm_units", "validation-test"} <= names(result)


def test_where_all_trials_failed_their_reasons_are_the_report() -> None:
    page, result = made(trials=5, failing=lambda trial: True)
    assert "No trial completed" in page.text
    assert "5 failed: diverged: train/loss is nan in epoch 1" in page.text
    assert "5 failed" in page.text
    assert result.figures == ()


def test_a_sweep_that_has_only_begun_is_said_to() -> None:
    page, _ = made(trials=0, end=False)
    assert "not ended" in page.text


def test_two_hundred_trials_of_twelve_hyperparameters() -> None:
    space = records.many_hyperparameters(11)

    def accuracy(values: dict[str, Value], rng: Any) -> float:
        return 0.7 + float(values["hyperparameter_0"]) / 10 + float(rng.gauss(0, 0.005))

    page, result = made(trials=200, space=space, accuracy=accuracy, failing=lambda trial: trial % 20 == 7)
    assert len([name for name in names(result) if name.startswith("slice-")]) == 12
    assert "10 failed" in page.text
    assert "all 190 completed trials" in page.text
    assert "하이퍼볼릭" in page.text
    assert len(result.html) < 5_000_000  # can be mailed


def test_the_page_needs_nothing_else_and_no_script() -> None:
    _, result = made(trials=12)
    page = Page(result.html)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == len(result.figures)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert "url(" not in result.html
    assert "@media print" in result.html
    assert "viewport" in result.html


def test_whatever_a_name_holds_is_text() -> None:
    page, result = made(trials=2, model="<script>alert(1)</script> $x^2 한국어 모델", dataset="a&b")
    assert "<script>" not in result.html
    assert "<script>alert(1)</script> $x^2 한국어 모델 on a&b" in page.text


def test_the_best_is_validations_even_where_test_disagrees() -> None:
    record = records.record(trials=6)
    worst = record.ranking()[-1]
    worst.test = {"test/loss": 0.0, "test/accuracy": 1.0, "test/macro_f1": 1.0}
    best = record.best
    assert best is not None
    said = html.unescape(write.of(record).html)
    assert re.search(rf"(Trial {best.trial}|The baseline) has the best val/accuracy, {best.objective:.4f}", said)


def test_the_standard_error_and_the_winners_curse_are_stated_where_the_sizes_are_known() -> None:
    page, _ = made(trials=12)
    assert "winner's curse" in page.text
    assert re.search(r"0\.\d{4} ± 0\.006\d", page.text)  # sqrt(0.7 * 0.3 / 5000)
    assert "5,000 validation" in page.text
    older, _ = made(trials=12, sizes={})
    assert "±" not in older.text
    assert "not recorded" in older.text


def test_stand_in_data_and_a_test_set_that_validates_are_said_aloud() -> None:
    page, _ = made(trials=2, source="standin")
    assert "Stand-in data" in page.text
    page, _ = made(trials=1, held_out="test")
    assert "test set's" in page.text
    assert "pipelines.confirm" not in page.text


def test_time_that_nobody_ran_it_is_not_counted() -> None:
    events = records.events(trials=4)
    record = SweepRecord(Path("x"), events[:-1])
    day = 86_400.0
    record.add(SweepResumed("", 4, {}, time=records.BEGAN + day))
    record.add(SweepEnded("completed", 0, time=records.BEGAN + day + 1))
    assert "in 3 min" in Page(write.of(record).html).text


def test_figures_are_written_beside_the_page(tmp_path: Path) -> None:
    result = write.write(records.record(trials=3), tmp_path / "a" / "report.html", figures=tmp_path / "a")
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == result.html
    for figure in result.figures:
        assert (tmp_path / "a" / f"{figure.name}.png").read_bytes() == figure.png
        assert figure.png.startswith(b"\x89PNG")


def test_it_is_kept_once_and_made_again_after_a_later_end(tmp_path: Path) -> None:
    record = records.record(directory=tmp_path, trials=2)
    path = write.kept(record)
    assert path == tmp_path / "report.html"
    path.write_text("kept")
    assert write.kept(record) == path
    assert path.read_text() == "kept"
    record.add(SweepEnded("completed", 0, time=time.time() + 60))
    write.kept(record)
    assert path.read_text() != "kept"


def test_a_page_that_cannot_be_made_holds_nothing_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "report.html.part").mkdir()
    assert write.kept(records.record(directory=tmp_path, trials=1)) is None
    assert "could not be made" in caplog.text


def test_the_pareto_front_is_what_nothing_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (3.0, 0.7), (4.0, 0.9)]
    assert sweep_page.pareto(points) == [(1.0, 0.5), (2.0, 0.7), (4.0, 0.9)]
