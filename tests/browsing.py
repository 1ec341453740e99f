"""Debian's Chromium without a window, and waiting for what a page shows."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,2400",
)
PATIENCE = 90  # seconds; the machine may be busy
# MLflow 3.17 opens a chat beside the page on the first visit; as if it had been closed once.
CHAT_CLOSED = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
CARD = "[data-testid='experiment-view-compare-runs-card']"
SECTIONS = ("Hyperparameters to test accuracy", "Test accuracy", "Loss", "Accuracy", "Macro F1")  # of a sweep's view
NEEDED = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium is not here (Debian: chromium, chromium-driver)"
)
T = TypeVar("T")


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser that ends with the block; its profile is in this folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def text_of(browser: WebDriver) -> str:
    """All text on the page."""
    return str(browser.execute_script("return document.body.innerText"))


def until(condition: Callable[[], T], browser: WebDriver, patience: float = PATIENCE) -> T:
    """Wait for a condition, as the page is drawn piece by piece, and return its value."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if value := condition():
                return value
        except StaleElementReferenceException:
            pass
        assert time.monotonic() < deadline, text_of(browser)
        time.sleep(0.2)


def wait_for_saved_view(browser: WebDriver, link: str) -> None:
    """Wait for the view of a link that was just opened; open it again if MLflow has drawn its own charts instead.

    The page of MLflow 3.17 ignores the view in a link if its own filters reach the address before the experiment's tags
    have arrived, as they now and then do on a busy machine.
    """
    for _ in range(3):
        until(lambda: browser.find_elements("css selector", CARD), browser)
        with suppress(AssertionError):
            until(lambda: SECTIONS[0] in text_of(browser), browser, patience=10)
            return
        browser.get("about:blank")
        browser.get(link)
