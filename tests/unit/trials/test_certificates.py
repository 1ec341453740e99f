"""The certificate of an embedded cluster: two ends that have it connect at any time, and no others do."""

import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from sweeps.trials import certificates
from sweeps.trials.certificates import Certificate


def context(purpose: ssl.Purpose, own: Certificate, trusted: Certificate, folder: Path) -> ssl.SSLContext:
    """The context of an end that shows `own` and asks for `trusted`, as Dask makes it."""
    folder.mkdir(exist_ok=True)
    files = folder / "certificate", folder / "key"
    for file, content in zip(files, own, strict=True):
        file.write_text(content)
    made = ssl.create_default_context(purpose, cadata=trusted.certificate)
    made.check_hostname, made.verify_mode = False, ssl.CERT_REQUIRED
    made.load_cert_chain(*files)
    return made


def connects(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    ends = socket.socketpair()

    def greet() -> None:
        try:
            with server.wrap_socket(ends[0], server_side=True) as connection:
                connection.sendall(b"hello")
        except OSError:
            ends[0].close()

    thread = threading.Thread(target=greet)
    thread.start()
    try:
        with client.wrap_socket(ends[1]) as connection:
            return connection.recv(5) == b"hello"
    except OSError:
        return False
    finally:
        ends[1].close()
        thread.join()


def test_those_who_have_it_connect_and_others_do_not(tmp_path: Path) -> None:
    own, other = certificates.new(), certificates.new()
    server = context(ssl.Purpose.CLIENT_AUTH, own, own, tmp_path)
    assert connects(server, context(ssl.Purpose.SERVER_AUTH, own, own, tmp_path))
    assert not connects(server, context(ssl.Purpose.SERVER_AUTH, other, own, tmp_path))
    assert not connects(server, context(ssl.Purpose.SERVER_AUTH, own, other, tmp_path))


@pytest.mark.parametrize("year", [1970, 2000, 2025, 2038, 2107, 9998])
def test_it_is_valid_whatever_the_clock_says(year: int) -> None:
    made = x509.load_pem_x509_certificate(certificates.new().certificate.encode())
    when = datetime(year, 1, 2, tzinfo=UTC)
    assert made.not_valid_before_utc < when < made.not_valid_after_utc
