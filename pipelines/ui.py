"""MLflow's pages for the runs of this folder, opened at the comparison of the newest sweep.

    python -m pipelines.ui                                 the store that sweeps of this folder log to
    python -m pipelines.ui tracking.uri=sqlite:///…/x.db   another one; of a server, only the link is printed
    python -m pipelines.ui port=5001 open=false            another port; no browser

A light server on 127.0.0.1 until Ctrl-C: one worker, no job runner.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import webbrowser
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.console import Console

from pipelines.command import read_options, show_help
from conf.schema import ConfigError
from sweeps.tracking import store, comparison_page
from sweeps.tracking.comparison_page import Comparison

HOST = "127.0.0.1"
KEYS = ("tracking.uri", "port", "open")
# MLflow's own start takes 43 s and 2 GB: four workers and what evaluates prompts. So 15 s and 0.5 GB.
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
STARTING = 180.0  # seconds that the server may take
ENDING = 5.0  # seconds that it gets to end in order


class Options(NamedTuple):
    uri: str
    port: int = 5000
    open: bool = True


def main() -> None:
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        show(read_arguments(sys.argv[1:]), console)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        console.print("ended")


def read_arguments(arguments: Sequence[str]) -> Options:
    """Raises `ConfigError` for what is no option."""
    show_help(arguments, __doc__)
    given = read_options(arguments, KEYS)
    port, opened = given.get("port", "5000"), given.get("open", "true")
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(f"port={port}: must be at least 1 and at most 65535")
    if opened not in ("true", "false"):
        raise ConfigError(f"open={opened}: allowed: true, false")
    return Options(store.uri(given.get("tracking.uri")), int(port), opened == "true")


def show(options: Options, console: Console) -> None:
    """Serve the store until Ctrl-C. Raises `ConfigError` where that cannot be."""
    if options.uri.startswith("http"):
        address = options.uri.rstrip("/")
        _point_to(f"{address}/{newest_comparison(address)}", options, console)
        return
    check_port(options.port)
    if options.uri.startswith(store.SQLITE):
        check_database(options.uri)
    console.print(f"starting MLflow on {store.without_password(options.uri)} …", soft_wrap=True)
    with serving(options) as address:
        _point_to(f"{address}/{newest_comparison(address)}", options, console)
        console.print("Ctrl-C ends it.")
        while True:
            signal.pause()


def check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: one may just have ended here
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"port={port}: {error.strerror}; give another one, e.g. port={port % 65535 + 1}"
            ) from error


def check_database(uri: str) -> None:
    """Known before the server's slow start: whether the file is there, and of a version that can be served."""
    path = store.database(uri)
    if not path.is_file():
        raise ConfigError(f"tracking.uri={uri}: no such file; a sweep makes it: python -m pipelines.sweep")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise ConfigError(f"tracking.uri={uri}: not a store of MLflow's: {error}") from error
    before = _revisions()
    mine = f"MLflow {metadata.version('mlflow')}"
    if revision not in before:
        raise ConfigError(
            f"tracking.uri={uri}: made by a newer MLflow than {mine}, which is installed; install that one"
        )
    if revision in before.values():
        raise ConfigError(
            f"tracking.uri={uri}: made by an older MLflow than {mine}; to upgrade it: mlflow db upgrade {uri}"
        )


def _revisions() -> dict[str, str]:
    """MLflow's versions of a database, each with the one before it; read, not imported, which would take seconds."""
    found = importlib.util.find_spec("mlflow")
    assert found is not None
    assert found.origin is not None
    scripts = (Path(found.origin).parent / "store/db_migrations/versions").glob("*.py")
    texts = [script.read_text(encoding="utf-8") for script in scripts]
    pattern = re.compile(r'^revision = "(\w+)"\ndown_revision = (?:"(\w+)"|None)', re.MULTILINE)
    return {match[1]: match[2] or "" for text in texts if (match := pattern.search(text))}


@contextmanager
def serving(options: Options) -> Iterator[str]:
    """The address of a server that answers; it and its children end with the block."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(options.port), "--workers", "1"]
    # Not as an argument, which every user of the machine can read: there may be a password in it.
    environment = {**os.environ, **LIGHT, "MLFLOW_BACKEND_STORE_URI": options.uri}
    address = f"http://{HOST}:{options.port}"
    with tempfile.TemporaryFile("w+") as said:
        # In a session of its own: Ctrl-C reaches this process alone, which then ends all of that session.
        server = subprocess.Popen(
            command, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_it_answers(server, address, said)
            yield address
        finally:
            _end(server)


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str, said: IO[str]) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        if server.poll() is not None:
            said.seek(0)
            *_, last = [line for line in said.read().splitlines() if line.strip()] or ["it said nothing"]
            raise ConfigError(f"MLflow's server ended with status {server.returncode}: {last.strip()}")
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise ConfigError(f"MLflow's server does not answer within {STARTING:.0f} s")


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)  # its workers too, also when it is gone itself
            server.wait(ENDING)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    server.wait()


def newest_comparison(address: str) -> str:
    """Below the address of a server: the comparison of the newest sweep, or the list of experiments where none is."""
    experiments = _ask(address, "experiments/search", {"max_results": 1000}).get("experiments", [])
    by_id = {experiment["experiment_id"]: experiment for experiment in experiments}
    search = {"experiment_ids": list(by_id), "filter": "tags.kind = 'sweep'", "max_results": 1}
    runs = _ask(address, "runs/search", {**search, "order_by": ["attributes.start_time DESC"]}).get("runs", [])
    if not runs:
        return "#/experiments"
    experiment = by_id[runs[0]["info"]["experiment_id"]]
    of_run = {tag["key"]: tag["value"] for tag in runs[0]["data"]["tags"]}
    shown = Comparison(of_run["sweep"], of_run["objective"])
    saved = comparison_page.tag_of(shown.sweep) in {tag["key"] for tag in experiment.get("tags", [])}
    return comparison_page.address(experiment["experiment_id"], shown, saved=saved)


def _ask(address: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    request = Request(f"{address}/api/2.0/mlflow/{what}", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if "MLFLOW_TRACKING_USERNAME" in os.environ:  # as MLflow's own clients say who they are
        user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
        request.add_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
    try:
        with urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))
    except (HTTPError, URLError, OSError, ValueError) as error:
        raise ConfigError(f"{address} does not answer as MLflow does: {error}") from error


def _point_to(link: str, options: Options, console: Console) -> None:
    console.print(f"compare the trials of the newest sweep:\n  {link}", soft_wrap=True, highlight=False, markup=False)
    has_display = sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    if options.open and has_display:  # without one, a browser in text mode would take the terminal
        webbrowser.open(link)


if __name__ == "__main__":
    main()
