"""A real sweep in MLflow's pages, as Debian's Chromium shows them. Pictures go to $SCREENSHOTS, if that is set."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from selenium.webdriver.remote.webdriver import WebDriver

from sweeps.tracking import comparison_page
from sweeps.tracking.client import search_runs
from tests import browsing
from tests.browsing import CARD, CHAT_CLOSED, SECTIONS, text_of, until, wait_for_saved_view
from tests.conftest import ROOT
from tests.servers import free_port, processes
from tests.system.conftest import Searched

TRIALS = 3
SEARCHED = ("embedding_dim", "lstm_units", "dropout", "learning_rate")
# The number of different shapes (a CSS selector) that are visible in the chart with this title. MLflow draws each line
# twice, the second time smoothed, and may give two runs the same colour.
DRAWN = (
    f"const CARD = {CARD!r};"
    + """
const titled = [...document.querySelectorAll(CARD)].filter(
    card => card.innerText.trim().startsWith(arguments[0]));
const drawn = titled.flatMap(card => [...card.querySelectorAll(arguments[1])]).filter(
    shape => shape.getBoundingClientRect().width > 0);
return new Set(drawn.map(shape => shape.getAttribute("d") + getComputedStyle(shape).stroke)).size;
"""
)
HEADERS = "return [...document.querySelectorAll('[role=columnheader]')].map(header => header.innerText.trim())"
LINE, POINT = ".scatterlayer .trace path.js-line", ".scatterlayer .points path.point"

pytestmark = browsing.NEEDED


class Shown(NamedTuple):
    """A sweep, and the server that `python -m pipelines.ui` started on its store."""

    link: str
    address: str
    experiment: str
    parent: str  # the sweep's run
    trials: dict[str, str]  # name -> run


@pytest.fixture(scope="module")
def shown(searched: Searched) -> Iterator[Shown]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    runs = search_runs(MlflowClient(searched.uri), "tags.kind != ''")
    (parent,) = [run.info for run in runs if run.data.tags["kind"] == "sweep"]
    trials = {run.info.run_name: run.info.run_id for run in runs if run.data.tags["kind"] == "trial"}
    assert len(trials) == TRIALS
    with processes() as start:
        command = [sys.executable, "-m", "pipelines.ui", f"port={port}", "open=false"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        server = start(command, cwd=searched.folder, env=environment | {"PYTHONPATH": str(ROOT)})
        assert server.stdout is not None
        link = next(line.strip() for line in server.stdout if address in line)
        assert link.removeprefix(address) in searched.output  # the sweep printed the same
        yield Shown(link, address, parent.experiment_id, parent.run_id, trials)
        server.send_signal(signal.SIGINT)  # its own children are in a session of their own
        server.wait(timeout=120)


@pytest.fixture(scope="module")
def browser(shown: Shown, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with browsing.chromium(tmp_path_factory.mktemp("chromium")) as driver:
        driver.get(shown.address)
        driver.execute_script(CHAT_CLOSED)
        yield driver


@pytest.fixture
def picture(browser: WebDriver, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """A picture of the page at the end of the test, whether it passes or not."""
    yield
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(folder / f"{request.node.name}.png"))


@pytest.mark.usefixtures("picture")
def test_the_comparison_shows_the_curves_of_all_trials(browser: WebDriver, shown: Shown) -> None:
    browser.get("about:blank")
    browser.get(shown.link)
    wait_for_saved_view(browser, shown.link)
    for chart in ("val/loss", "train/loss", "val/accuracy", "train/accuracy", "val/macro_f1", "train/macro_f1"):
        until(lambda chart=chart: browser.execute_script(DRAWN, chart, LINE) == TRIALS, browser)
    text = text_of(browser)
    assert [name for name in shown.trials if name not in text] == []
    assert " random imdb" not in text  # the sweep's own run is no trial
    for section in SECTIONS:
        assert re.search(rf"^{section}", text, re.MULTILINE)
    titles = "return [...document.querySelectorAll('.dimension text.label')].map(title => title.textContent)"
    axes = browser.execute_script(titles)
    assert axes == [*SEARCHED, "test/accuracy"]
    cards = browser.find_elements("css selector", CARD)
    (scores,) = [card for card in cards if card.text.startswith("best/val/accuracy vs. test/accuracy")]
    assert len(scores.find_elements("css selector", POINT)) == TRIALS


@pytest.mark.usefixtures("picture")
def test_the_list_has_scores_and_searched_hyperparameters_best_first(browser: WebDriver, shown: Shown) -> None:
    browser.get("about:blank")
    browser.get(shown.link.replace("&compareRunsMode=CHART", ""))
    until(lambda: all(name in text_of(browser) for name in shown.trials), browser)
    columns = until(lambda: browser.execute_script(HEADERS), browser)
    assert [
        column for column in ("best/val/accuracy", *comparison_page.SCORES, *SEARCHED) if column not in columns
    ] == []
    cells = "[col-id='metrics.`best/val/accuracy`'][role=gridcell]"
    scores = [float(cell.text) for cell in until(lambda: browser.find_elements("css selector", cells), browser)]
    assert len(scores) == TRIALS
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("picture")
def test_the_experiment_has_a_view_of_its_trials_and_one_of_its_sweeps(browser: WebDriver, shown: Shown) -> None:
    browser.get("about:blank")
    browser.get(f"{shown.address}/#/experiments/{shown.experiment}/runs?workflowType=machine_learning")
    until(lambda: browser.find_elements("css selector", "[data-testid=saved-views-trigger]"), browser)[0].click()
    until(lambda: "Compare trials" in text_of(browser), browser)
    menu = browser.find_element("css selector", "[role=menu]").text
    assert (menu.count("Compare trials"), menu.count("Compare sweeps")) == (1, 1)


@pytest.mark.usefixtures("picture")
def test_the_view_of_sweeps_has_columns_for_score_settings_data_and_source(browser: WebDriver, shown: Shown) -> None:
    browser.get("about:blank")
    page = f"{shown.address}/#/experiments/{shown.experiment}/runs?{comparison_page.TRAINING}"
    browser.get(f"{page}&viewStateShareKey=compare-sweeps")
    wanted = {"Dataset", "Source", "best/val/accuracy", "model", "best"}
    browser.set_window_size(3000, 1200)  # MLflow draws only the columns that can be seen
    try:
        until(lambda: wanted <= set(browser.execute_script(HEADERS)), browser)
    finally:
        browser.set_window_size(1500, 2400)
    until(lambda: "text-sw" in text_of(browser), browser)


@pytest.mark.usefixtures("picture")
def test_the_sweep_expands_to_its_trials(browser: WebDriver, shown: Shown) -> None:
    browser.get("about:blank")
    browser.get(f"{shown.address}/#/experiments/{shown.experiment}/runs?workflowType=machine_learning")
    until(lambda: " random imdb" in text_of(browser), browser)
    assert [name for name in shown.trials if name in text_of(browser)] == []
    expand = "[col-id='attributes.`Run Name`'][role=gridcell] button"
    until(lambda: browser.find_elements("css selector", expand), browser)[0].click()
    until(lambda: all(name in text_of(browser) for name in shown.trials), browser)


@pytest.mark.usefixtures("picture")
def test_the_sweeps_page_shows_its_note_with_links(browser: WebDriver, shown: Shown) -> None:
    page = f"{shown.address}/#/experiments/{shown.experiment}/runs/{shown.parent}?workflowType=machine_learning"
    browser.get("about:blank")
    browser.get(page)
    for text in ("conv_lstm on imdb", "best: trial", "baseline: trial 0", f"searched: {', '.join(SEARCHED)}"):
        until(lambda text=text: text in text_of(browser), browser)
    until(lambda: browser.find_elements("xpath", "//*[text()='Show more']"), browser)[0].click()
    (link,) = until(lambda: browser.find_elements("link text", "compare the trials"), browser)
    address = str(link.get_attribute("href"))
    link.click()
    browser.switch_to.window(browser.window_handles[-1])  # MLflow opens links so
    wait_for_saved_view(browser, address)
    until(lambda: browser.execute_script(DRAWN, "val/loss", LINE) == TRIALS, browser)


@pytest.mark.usefixtures("picture")
def test_a_trials_page_shows_its_loss_curves(browser: WebDriver, shown: Shown) -> None:
    trial = next(iter(shown.trials.values()))
    page = f"{shown.address}/#/experiments/{shown.experiment}/runs/{trial}/artifacts/loss_curves.png"
    browser.get(f"{page}?workflowType=machine_learning")
    drawn = "return [...document.querySelectorAll('img')].map(image => [image.naturalWidth, image.width])"
    until(lambda: any(natural == 768 and width > 300 for natural, width in browser.execute_script(drawn)), browser)
