"""The live page on this machine: a small server that only reads.

A page of another site must not read it, not even one whose name leads to 127.0.0.1 (DNS rebinding): the Host header
must be this server's own. There is no path but the ones named here.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from urllib.parse import parse_qsl

from sweeps.live.feed import Feed
from sweeps.report import page_file

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORT = 5050  # where a page that is open finds the next server again; if it is taken, any free one
LINGER = 2.5  # seconds in which a page that asks every second learns how the sweep ended
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
POLICY = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; {NOTHING_ELSE}"
REPORT_POLICY = f"default-src 'none'; script-src {{}}; style-src 'unsafe-inline'; img-src data:; {NOTHING_ELSE}"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Listens from the beginning, and answers once it is `started`."""

    daemon_threads = True

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        try:
            super().__init__((HOST, PORT), Handler)
        except OSError:
            super().__init__((HOST, 0), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        self.address = f"http://{HOST}:{self.server_port}/"

    def server_bind(self) -> None:
        """Bind without asking for the machine's name, for which `HTTPServer` may wait for a network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a fault of this code; a browser that has gone is none."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.warning("the live page: %s", error, exc_info=error)

    @contextmanager
    def started(self) -> Iterator[None]:
        """Answer during the block, and if it ends in order a moment longer: a page that is open learns of the end."""
        Thread(target=self.serve_forever, args=(0.1,), name="live page", daemon=True).start()
        try:
            yield
            if time.monotonic() - self.feed.asked < LINGER:
                time.sleep(LINGER)
        finally:
            self.shutdown()
            self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "text-sweeps", ""
    timeout = 30  # seconds for a request to come in

    def do_GET(self) -> None:
        if [host.lower() for host in self.headers.get_all("Host", [])] not in [[host] for host in self.server.hosts]:
            self._refuse(HTTPStatus.FORBIDDEN, "the Host header names another server")
            return
        path, _, query = self.path.partition("?")
        if path in FILES:
            name, kind = FILES[path]
            self._send(HTTPStatus.OK, (Path(__file__).parent / name).read_bytes(), kind)
        elif path == "/feed":
            answer = json.dumps(self.server.feed.answer(dict(parse_qsl(query))), allow_nan=False)
            self._send(HTTPStatus.OK, answer.encode(), "application/json")
        elif path.startswith("/report/") and (page := self.server.feed.report(path.removeprefix("/report/"))):
            self._send(HTTPStatus.OK, page, "text/html", REPORT_POLICY.format(page_file.script()))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is none, without repeating anything of it; `code` is the library's."""
        is_method = code == HTTPStatus.NOT_IMPLEMENTED
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED if is_method else HTTPStatus(code), "only GET is answered")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the library's name
        """Print nothing: the terminal is the sweep's."""

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, f"{why}\n".encode(), "text/plain")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, policy: str = POLICY) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", policy)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
