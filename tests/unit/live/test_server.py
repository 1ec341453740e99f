"""Whom the live page's server answers, and what."""

import base64
import hashlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from sweeps.live import server
from sweeps.live.feed import Feed
from sweeps.live.server import Server
from sweeps.report import page_file, write
from tests import records
from tests.unit.live.test_feed import all_of_them, begun, sweep


@pytest.fixture
def page() -> Iterator[Server]:
    page = Server(Feed(all_of_them))
    with page.started():
        yield page
        page.feed.asked = 0.0  # nobody is waiting


def request(page: Server, path: str, *, method: str = "GET", host: str | None = None) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", page.server_port, timeout=20)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{page.server_port}"})
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response, content


def raw(page: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", page.server_port), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_page_and_its_parts_are_served_with_a_policy(page: Server) -> None:
    for path, (_, kind) in server.FILES.items():
        response, content = request(page, path)
        assert response.status == 200
        assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", content)  # no address outside; SVG's name is none


def test_the_script_writes_no_markup() -> None:
    script = (Path(server.__file__).parent / "page.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|DOMParser|Function\(", script)
    assert len(script.splitlines()) <= 260


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}"])
def test_another_host_is_refused(page: Server, host: str) -> None:
    sweep("secret", begun("secret", 0))
    for path in ("/", "/feed"):
        response, content = request(page, path, host=host.format(port=page.server_port))
        assert response.status == 403
        assert "secret" not in content


def test_hosts_of_this_machine_are_answered(page: Server) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert request(page, "/", host=f"{host}:{page.server_port}")[0].status == 200


def test_a_request_without_a_host_or_with_two_is_refused(page: Server) -> None:
    host = f"Host: 127.0.0.1:{page.server_port}\r\n".encode()
    for headers in (b"", host + b"Host: evil.example\r\n", host + host):
        assert b" 403 " in raw(page, b"GET /feed HTTP/1.1\r\n" + headers + b"\r\n").splitlines()[0]
    assert b"403" in raw(page, b"GET /feed\r\n\r\n") or raw(page, b"GET /feed\r\n\r\n").startswith(b"the Host")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "X"])
def test_only_get_is_answered(page: Server, method: str) -> None:
    response, _ = request(page, "/feed", method=method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/page.html",
            "/server.py",
            "/../server.py",
            "/%2e%2e/server.py",
            "//etc/passwd",
            "/..",
            "/feed/",
            "/report/",
        ),
        *("/report/../../../etc/passwd", "/report/%2e%2e", "http://evil.example/feed", "/outputs/", "/favicon.ico"),
    ],
)
def test_no_other_path_is_served(page: Server, path: str) -> None:
    sweep("a", begun("a", 0))
    response, content = request(page, path)
    assert (response.status, content) == (404, "there is no such page\n")


def test_a_request_that_is_none_is_answered_without_its_words(page: Server) -> None:
    for line in (b"\x00\x01", b"GET / HTTP/9", b"GET <script> x y", b"GET /" + b"a" * 70000, b"<script> / HTTP/1.1"):
        answer = raw(page, line + b"\r\n\r\n")
        assert b"script>" not in answer
        assert b"aaaa" not in answer


@pytest.mark.parametrize(
    "query", ["sweep=%00", "events=-1", "events=9e9", "events=" + "9" * 400, "view=%ff&sweep", "&&="]
)
def test_any_query_is_answered(page: Server, query: str) -> None:
    sweep("a", begun("a", 0))
    response, content = request(page, f"/feed?{query}")
    assert response.status == 200
    assert json.loads(content)["sweeps"][0]["name"] == "a/imdb"


def test_a_report_runs_the_script_of_this_project_alone(page: Server) -> None:
    directory = sweep("a", begun("a", 0))
    write.write(records.record(trials=4), directory / page_file.FILE)
    key = json.loads(request(page, "/feed")[1])["sweeps"][0]["key"]
    response, content = request(page, f"/report/{key}")
    assert response.status == 200
    (script,) = re.findall("<script>(.*?)</script>", content, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    expected = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
    assert response.headers["Content-Security-Policy"].startswith(expected)


def test_it_listens_on_loopback_only_and_two_have_two_ports(page: Server) -> None:
    another = Server(Feed(all_of_them))
    try:
        assert page.server_address[0] == another.server_address[0] == "127.0.0.1"
        assert page.server_port != another.server_port
        assert another.address == f"http://127.0.0.1:{another.server_port}/"
    finally:
        another.server_close()


def test_it_prints_nothing(page: Server, capfd: pytest.CaptureFixture[str]) -> None:
    request(page, "/nothing")
    raw(page, b"\x00\r\n\r\n")
    socket.create_connection(("127.0.0.1", page.server_port)).close()  # a browser that goes at once
    request(page, "/")
    assert capfd.readouterr() == ("", "")


def test_a_page_that_is_open_learns_how_the_sweep_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(server.time, "sleep", waited.append)

    def serve(*, asks: bool, interrupted: bool = False) -> None:
        page = Server(Feed(all_of_them))
        with suppress(KeyboardInterrupt), page.started():
            if asks:
                request(page, "/feed")
            if interrupted:
                raise KeyboardInterrupt

    serve(asks=False)
    serve(asks=True, interrupted=True)  # after Ctrl-C nobody waits
    assert waited == []
    serve(asks=True)
    assert waited == [server.LINGER]
