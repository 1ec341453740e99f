"""The live page of this folder's sweeps, and MLflow's pages for its runs, opened at the newest sweep's comparison.

    python -m pipelines.ui                                 the store that sweeps of this folder log to
    python -m pipelines.ui tracking.uri=sqlite:///…/x.db   another store; of a server, only the link is printed
    python -m pipelines.ui port=5001 open=false            another port for MLflow; no browser

The live page shows the journals in outputs/ while they grow: curves, trials, time left and failures. Both are light
servers on 127.0.0.1 that run until Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from conf.schema import ConfigError
from pipelines.command import SIGNALS, execute, read_options, show_help
from sweeps.session import outputs
from sweeps.tracking import store

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.live.server import Server

KEYS = ("tracking.uri", "port", "open")


class Options(NamedTuple):
    uri: str
    port: int = 5000
    open: bool = True


def main() -> NoReturn:
    execute(lambda console: show(read_arguments(sys.argv[1:]), console), on_signal=interrupt)


def interrupt(number: int, _: object) -> NoReturn:
    """End in order, whatever signal follows: the server must not outlive this process."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def read_arguments(arguments: Sequence[str]) -> Options:
    """Return the options; raises `ConfigError` for anything else."""
    show_help(arguments, __doc__)
    options = read_options(arguments, KEYS)
    port, browser = options.get("port", "5000"), options.get("open", "true")
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(f"port={port}: must be at least 1 and at most 65535")
    if browser not in ("true", "false"):
        raise ConfigError(f"open={browser}: allowed: true, false")
    return Options(store.uri(options.get("tracking.uri")), int(port), browser == "true")


def show(options: Options, console: Console) -> bool:
    """Serve the live page and the store until Ctrl-C, and return True; raises `ConfigError` if that is impossible."""
    try:
        if options.uri.startswith("http"):
            _open(options.uri.rstrip("/"), options, console)
            if outputs.all_directories():
                _serve_live_page(console)
        else:
            _serve(options, console)
    except KeyboardInterrupt:
        console.print("ended")
    return True


def _serve(options: Options, console: Console) -> NoReturn:
    from sweeps.tracking import server

    server.check(options.uri, options.port)
    # Its thread begins only when MLflow's process has begun: a process with one thread is forked safely.
    page = _live_page()
    with server.serving(options.uri, options.port) as when_it_answers, page.started():
        _print_live_page(page, console)
        console.print(f"starting MLflow on {store.without_password(options.uri)} …", soft_wrap=True)
        _open(when_it_answers(), options, console)
        _wait(console)


def _serve_live_page(console: Console) -> NoReturn:
    page = _live_page()
    with page.started():
        _print_live_page(page, console)
        _wait(console)


def _live_page() -> Server:
    from sweeps.live.feed import Feed
    from sweeps.live.server import Server

    return Server(Feed(outputs.all_directories))


def _print_live_page(page: Server, console: Console) -> None:
    console.print("the sweeps of this folder, live:")
    console.print(f"  {page.address}", soft_wrap=True)


def _wait(console: Console) -> NoReturn:
    console.print("Ctrl-C ends it.")
    while True:
        signal.pause()


def _open(address: str, options: Options, console: Console) -> None:
    from sweeps.tracking import server

    link = f"{store.server(address)}/{server.newest_comparison(address)}"
    console.print("compare the trials of the newest sweep:")
    console.print(f"  {link}", soft_wrap=True)
    has_display = sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    if options.open and has_display:  # without a display, a browser in text mode would take the terminal
        webbrowser.open(link)


if __name__ == "__main__":
    main()
