"""A light MLflow server for the pages of a local store, and the address of the newest sweep's comparison.

MLflow itself is never imported here, which would take seconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from conf import secrets
from conf.schema import ConfigError
from sweeps.metrics import OBJECTIVES
from sweeps.tracking import comparison_page, database, failures
from sweeps.tracking.comparison_page import Comparison

HOST = "127.0.0.1"
# MLflow's own settings take 43 s and 2 GB: four workers, and processes that evaluate prompts. These take 15 s, 0.5 GB.
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
STARTING = 180.0  # seconds that the server may take
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
ENDING = 5.0  # seconds that it gets to end in order


def check(uri: str, port: int) -> None:
    """Raise an error for a fault of port or database that would otherwise show after the server's slow start."""
    _check_port(port)
    database.check(uri)


@contextmanager
def serving(uri: str, port: int) -> Iterator[str]:
    """Serve a store during the block, and yield the address of a server that answers; its children end with it."""
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # With -P, a folder `mlflow` in the working directory is not taken for it.
    # The URI is no argument, which every user of the machine could read: it may hold a password.
    environment = {**os.environ, **LIGHT, "MLFLOW_BACKEND_STORE_URI": uri}
    address = f"http://{HOST}:{port}"
    with tempfile.TemporaryFile("w+") as output:
        # In a session of its own: Ctrl-C reaches this process alone, which then ends all of that session.
        server = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # there is one thread
        )
        try:
            _wait_until_it_answers(server, address, output)
            yield address
        finally:
            _end(server)


def _end_with_parent() -> None:
    """Ask the kernel to end this process with the one that started it, which may be killed and end nothing itself."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def newest_comparison(address: str) -> str:
    """Return the page below a server's address that compares the newest sweep's trials.

    Without any sweep it is the list of experiments. Raises `StoreRefusesError` or `StoreAwayError`.
    """
    experiments = _ask(address, "experiments/search", {"max_results": 1000}).get("experiments", [])
    by_id = {experiment["experiment_id"]: experiment for experiment in experiments}
    search = {"experiment_ids": list(by_id), "filter": "tags.kind = 'sweep'", "max_results": 100}
    runs = _ask(address, "runs/search", {**search, "order_by": ["attributes.start_time DESC"]}).get("runs", [])
    tagged = [(run, {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}) for run in runs]
    # A shared store may have runs of others with this kind.
    ours = [(run, tags) for run, tags in tagged if "sweep" in tags and tags.get("objective") in OBJECTIVES]
    if not ours:
        return f"#/experiments?{comparison_page.TRAINING}"
    run, tags = ours[0]
    experiment = by_id[run["info"]["experiment_id"]]
    comparison = Comparison(tags["sweep"], tags["objective"])
    saved = comparison_page.tag_of(comparison.sweep) in {tag["key"] for tag in experiment.get("tags", [])}
    return comparison_page.address(experiment["experiment_id"], comparison, saved=saved)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # As the server will have it: another one may just have ended on this port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            another = port % 65535 + 1
            raise ConfigError(f"port={port}: {error.strerror}; give another one, e.g. port={another}") from error


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str, output: IO[str]) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        if server.poll() is not None:
            output.seek(0)
            *_, last = [line for line in output.read().splitlines() if line.strip()] or ["it printed nothing"]
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
            os.killpg(server.pid, number)  # its workers too, even if it has ended itself
            server.wait(ENDING)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    server.wait()


def _ask(address: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
    place, headers = secrets.for_urllib(address)
    request = Request(f"{place}/api/2.0/mlflow/{method}", json.dumps(body).encode(), headers)
    request.add_header("Content-Type", "application/json")
    if not headers and "MLFLOW_TRACKING_USERNAME" in os.environ:  # the variables of MLflow's own clients
        user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
        request.add_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
    try:
        with urlopen(request, timeout=60) as answer:
            content = json.load(answer)
    except HTTPError as error:
        error.close()
        raise failures.of_status(address, error.code) from error
    except (ValueError, RecursionError) as error:
        raise failures.of_page(address) from error
    except OSError as error:
        raise failures.of(address, error) from error
    if not isinstance(content, dict):
        raise failures.of_page(address)
    return content
