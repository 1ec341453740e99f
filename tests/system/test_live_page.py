"""The live page while a sweep runs, as Chromium shows it. Pictures go to $SCREENSHOTS, if that is set."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from sweeps import journal
from sweeps.journal.events import to_entry
from sweeps.live import server
from sweeps.live.feed import Feed
from sweeps.live.server import Server
from sweeps.report import sweep_page
from sweeps.report.figures import style
from tests import browsing, records
from tests.browsing import text_of, until
from tests.servers import Start, free_port

pytestmark = browsing.NEEDED
COMMAND = ("experiment=smoke", "model=lstm", "trials=3", "epochs=4", "stopping=none", "engine.workers=1", "ui=true")
EPOCHS = """
return [...document.querySelectorAll("#curves polyline")].map(line => line.getAttribute("points").split(" ").length);
"""
HOSTILE = "<img src=x onerror=\"document.title='obeyed'\"><b>bold</b>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with browsing.chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(autouse=True)
def picture(browser: WebDriver, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    yield
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(folder / f"{request.node.name}.png"))
    browser.get("about:blank")


@pytest.fixture
def page() -> Iterator[Server]:
    page = Server(Feed(lambda: [path.parent for path in Path("outputs").glob("*/*/journal.jsonl")]))
    with page.started():
        yield page
        page.feed.asked = 0.0


def errors(browser: WebDriver) -> list[str]:
    """Return the browser's complaints, but for a server that has gone and for a page with a question open."""
    messages = [str(entry["message"]) for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    return [message for message in messages if "feed?" not in message and "Failed to fetch" not in message]


@pytest.mark.long
def test_curves_grow_while_a_sweep_runs_and_its_end_is_shown(browser: WebDriver, start: Start) -> None:
    sweep = start([sys.executable, "-m", "pipelines.sweep", *COMMAND])
    assert sweep.stdout is not None
    assert sweep.stdout.readline().startswith("searching ")
    address = sweep.stdout.readline().split()[-1]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    browser.get(address)
    seen: list[int] = []

    def has_ended() -> bool:
        seen.append(sum(browser.execute_script(EPOCHS)))  # type: ignore[no-untyped-call]
        return "This sweep has ended; 3 of 3 trials have ended." in text_of(browser)

    until(has_ended, browser, patience=600)
    assert len(set(seen)) > 4
    assert sorted(seen) == seen
    assert seen[-1] == 3 * 4
    text = text_of(browser)
    assert "STAND-IN" in text
    assert "TF-IDF with a linear SVM" in text
    assert sweep.wait(timeout=120) == 0
    until(lambda: "No answer from the server since" in text_of(browser), browser)
    assert "This sweep had ended." in text_of(browser)
    assert errors(browser) == []


def write(directory: Path, events: list[journal.Event], mode: str = "w") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / journal.FILE).open(mode) as file:
        file.writelines(json.dumps(to_entry(event)) + "\n" for event in events)


def test_nothing_that_a_sweep_says_is_markup(browser: WebDriver, page: Server) -> None:
    events = records.events(
        trials=3, failing=lambda trial: trial == 1, dataset=HOSTILE, model=HOSTILE, sweep=HOSTILE,
        config=records.configuration(records.many_hyperparameters(3) | {HOSTILE: records.RATE}),
    )  # fmt: skip
    changed = [
        journal.TrialEnded(1, 1, "failed", HOSTILE, time=event.time)
        if isinstance(event, journal.TrialEnded) and event.trial == 1
        else event
        for event in events
    ]
    write(Path("outputs/a/imdb"), changed)
    browser.get(page.address)
    until(lambda: "onerror" in text_of(browser), browser)
    assert f"trial 1: {HOSTILE}" in text_of(browser)
    assert "obeyed" not in browser.title.replace(HOSTILE, "")
    assert browser.find_elements("css selector", "img, b") == []
    assert errors(browser) == []


def test_a_page_finds_its_server_again(browser: WebDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PORT", free_port())
    events = records.events(trials=4, end=False)
    write(Path("outputs/a/imdb"), events[:-3])
    find = [Path("outputs/a/imdb")]
    first = Server(Feed(lambda: find))
    with first.started():
        browser.get(first.address)
        until(lambda: "3 of 4 trials" in text_of(browser), browser)
        first.feed.asked = 0.0
    until(lambda: "No answer from the server" in text_of(browser), browser)
    write(Path("outputs/a/imdb"), events[-3:], "a")
    second = Server(Feed(lambda: find))
    with second.started():
        until(lambda: "4 of 4 trials" in text_of(browser), browser)
        assert "No answer" not in text_of(browser)
        second.feed.asked = 0.0


def test_a_reader_without_a_mouse_or_without_pictures_gets_everything(browser: WebDriver, page: Server) -> None:
    write(Path("outputs/a/imdb"), records.events(trials=4))
    write(Path("outputs/b/imdb"), records.events(trials=2, sweep="b/imdb", time=records.BEGAN - 10))
    browser.get(page.address)
    until(lambda: "This sweep has ended; 4 of 4" in text_of(browser), browser)
    reached = []
    for _ in range(12):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        focused = browser.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.tag_name)
        if focused.tag_name == "summary":
            focused.send_keys(Keys.ENTER)
    assert [each for each in ("metric", "summary", "to-trials", "order", "a") if each not in reached] == []
    cells = [cell.text for cell in browser.find_elements("css selector", "#numbers td")]
    assert len(cells) == 4 * 4
    for chart in browser.find_elements("css selector", "svg"):
        assert "table" in str(chart.get_attribute("aria-label"))
    assert len(browser.find_elements("css selector", "#trials tbody tr")) == 4
    browser.find_elements("css selector", "#sweeps a")[1].send_keys(Keys.ENTER)
    until(lambda: "This sweep has ended; 2 of 2" in text_of(browser), browser)
    assert errors(browser) == []


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_no_wider_than_its_window(browser: WebDriver, page: Server, width: int) -> None:
    write(Path("outputs/a/imdb"), records.events(trials=4, sweep="a" * 200, failing=lambda trial: trial == 2))
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # type: ignore[attr-defined]
    browser.get(page.address)
    until(lambda: "What failed" in text_of(browser), browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width  # type: ignore[no-untyped-call]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_a_report_is_no_wider_than_its_window_and_cuts_nothing_off(
    browser: WebDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "png", lambda figure: b"png")
    environment = journal.events.Environment(versions={"keras": "3"}, git_commit="c0ffee" * 8, git_dirty=False)
    sweep = records.several(4, accuracy=lambda values, rng: rng.random(), environment=environment)
    (tmp_path / "report.html").write_text(sweep_page.build(sweep).html)
    for width in (390, 1440):
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # type: ignore[attr-defined]
        browser.get((tmp_path / "report.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width  # type: ignore[no-untyped-call]
        cut = "return [...document.querySelectorAll('.scroll')].filter(part => part.scrollWidth > part.clientWidth + 1)"
        assert browser.execute_script(cut) == []  # type: ignore[no-untyped-call]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


def test_an_interrupted_sweep_says_so_and_how_it_goes_on(browser: WebDriver, start: Start) -> None:
    write(Path("outputs/a/imdb"), records.events(trials=4, end=False)[:-2])
    ui = start([sys.executable, "-m", "pipelines.ui", "open=false", "tracking.uri=http://127.0.0.1:9"])
    assert "does not answer" in ui.communicate()[0]  # a store that is away is named at once
    page = Server(Feed(lambda: [Path("outputs/a/imdb")]))
    with page.started():
        browser.get(page.address)
        until(lambda: "Interrupted: 3 of 4 trials have ended, and nothing runs it." in text_of(browser), browser)
        assert "resume=outputs/a" in text_of(browser)
        assert "cut off" in text_of(browser)
        page.feed.asked = 0.0


def test_a_curve_of_one_epoch_is_a_dot_that_can_be_seen(browser: WebDriver, page: Server) -> None:
    write(Path("outputs/a/imdb"), records.events(trials=4, epochs=1))
    browser.get(page.address)
    until(lambda: "4 of 4 trials" in text_of(browser), browser)
    widths = (
        "return [...document.querySelectorAll('#curves polyline')].map(line => getComputedStyle(line).strokeWidth);"
    )
    assert browser.execute_script(widths) == ["6px"] * 4  # type: ignore[no-untyped-call]


def test_the_best_curve_has_its_name_where_that_of_the_baseline_would_cover_it(
    browser: WebDriver, page: Server
) -> None:
    rising = iter((0.7, 0.701, 0.702))
    write(Path("outputs/a/imdb"), records.events(trials=3, accuracy=lambda values, rng: next(rising)))
    browser.get(page.address)
    until(lambda: "3 of 3 trials" in text_of(browser), browser)
    names = "return [...document.querySelectorAll('#curves .name')].map(name => name.textContent);"
    assert browser.execute_script(names) == ["2"]  # type: ignore[no-untyped-call]


def test_a_sweep_that_has_ended_promises_nothing_more(browser: WebDriver, page: Server) -> None:
    write(Path("outputs/a/imdb"), records.events(trials=2, failing=lambda trial: True))
    browser.get(page.address)
    until(lambda: "What failed" in text_of(browser), browser)
    text = text_of(browser)
    assert text.count("Nothing to draw: no trial has a value.") == 2
    assert "There are none." in text
    assert "yet" not in text
    assert "After each epoch" not in text  # a menu without entries
    assert "baseline" not in [entry.text for entry in browser.find_elements("css selector", ".legend span")]
