"""Make the pictures of README.md and docs/mlflow.md anew from a real sweep: comparison.png and trials.png.

    python -m tests.pictures datasets.imdb.archive=/path/imdb.npz …    overrides of the sweep; takes some minutes

Needs Chromium and its driver. Without the archive the sweep downloads it, and it is refused on stand-in data.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver.remote.webdriver import WebDriver

from tests.browsing import CARD, CHAT_CLOSED, chromium, text_of, until, wait_for_saved_view
from tests.conftest import ROOT
from tests.servers import free_port, processes

TRIALS = 6
SWEEP = ("model=conv_lstm", "data=imdb", "datasets.imdb.source=archive", f"trials={TRIALS}", "epochs=3")
# Headless, the toolbars of the charts are always there, and cover points.
NO_TOOLBARS = "const style = document.createElement('style'); style.textContent = '.modebar-container {display: none}';"
APPLIED = f"{NO_TOOLBARS} document.head.append(style);"
DRAWN = f"return document.querySelectorAll({CARD + ' .scatterlayer .trace path.js-line'!r}).length"
SETTLED = 3  # seconds in which MLflow moves its charts


def main() -> None:
    """Run the sweep, serve its store, and take the pictures."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with tempfile.TemporaryDirectory() as folder, processes() as start:
        command = [sys.executable, "-m", "pipelines.sweep", *SWEEP, *sys.argv[1:]]
        subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, check=True)
        port = free_port()
        command = [sys.executable, "-m", "pipelines.ui", f"port={port}", "open=false"]
        server = start(command, cwd=Path(folder), env=environment | {"PYTHONPATH": str(ROOT)})
        assert server.stdout is not None
        link = next(line.strip() for line in server.stdout if f":{port}" in line)
        with chromium(Path(folder) / "chromium") as browser:
            take(browser, link)
        server.send_signal(signal.SIGINT)
        server.wait(timeout=120)


def take(browser: WebDriver, link: str) -> None:
    """Save the charts and the list of a sweep's comparison, whose address is `link`."""
    browser.set_window_size(1400, 1500)
    browser.get(link)
    browser.execute_script(CHAT_CLOSED)
    browser.get("about:blank")
    browser.get(link)
    wait_for_saved_view(browser, link)
    until(lambda: browser.execute_script(DRAWN) >= TRIALS, browser)
    save(browser, "comparison")
    browser.set_window_size(1640, 840)
    listed = link.replace("compareRunsMode=CHART", "compareRunsMode=TABLE")
    browser.get("about:blank")
    browser.get(listed)
    until(lambda: "best/val/accuracy" in text_of(browser), browser)
    save(browser, "trials")


def save(browser: WebDriver, name: str) -> None:
    """Save what the browser shows, once it has settled."""
    browser.execute_script(APPLIED)
    time.sleep(SETTLED)
    browser.save_screenshot(str(ROOT / "docs" / f"{name}.png"))


if __name__ == "__main__":
    main()
