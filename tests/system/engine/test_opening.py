"""Everything that keeps an engine from being opened is one line."""

import gc
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import dask
import pytest
from distributed import Client

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError
from sweeps.trials import certificates
from sweeps.trials.dask_engine import cluster as others
from sweeps.trials.dask_engine import local as embedded
from sweeps.trials.dask_engine.opening import open_engine


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tls://127.0.0.1:9", "tls:// needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE"),
        ("tcp://127.0.0.1:notaport", "no Dask scheduler answers there"),
        ("tcp://", "no Dask scheduler answers there"),
        ("http://127.0.0.1:9", "no Dask scheduler answers there"),
        ("nonsense", "no Dask scheduler answers there"),
        ("", "no Dask scheduler answers there"),
        ("127.0.0.1:99999", "no Dask scheduler answers there"),
        ("tcp://no-such-host.invalid:8786", "no Dask scheduler answers there"),
        ("inproc://127.0.0.1/1/1", "no Dask scheduler answers there"),
        ("ucx://127.0.0.1:1", "no Dask scheduler answers there"),
        ("ws://127.0.0.1:9", "no Dask scheduler answers there"),
    ],
)
def test_a_wrong_address_is_named_in_one_line(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    with pytest.raises(ConfigError) as error, open_engine(EngineConfig("cluster", scheduler=address)):
        pass
    assert str(error.value).startswith(f"engine.scheduler={address}: {message}")


def test_another_process_than_a_scheduler_is_named(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 1)
    with Client(cluster) as client:
        worker = next(iter(client.scheduler_info()["workers"]))
    with (
        pytest.raises(ConfigError, match="it is a Dask worker"),
        open_engine(EngineConfig("cluster", scheduler=worker)),
    ):
        pass
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match="no Dask scheduler answers there"),
            open_engine(EngineConfig("cluster", scheduler=address)),
        ):
            pass


def test_certificates_that_are_no_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    tls = {"distributed.comm.tls.ca-file": "missing.pem", "distributed.comm.tls.client.cert": "missing.pem"}
    with (
        dask.config.set(tls),
        pytest.raises(ConfigError, match=r"^engine\.scheduler=tls://127\.0\.0\.1:9: .*No such file"),
        open_engine(EngineConfig("cluster", scheduler="tls://127.0.0.1:9")),
    ):
        pass


def test_settings_of_dasks_that_forbid_a_connection_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    one, other = certificates.new(), certificates.new()
    (tmp_path / "certificate.pem").write_text(one.certificate)
    (tmp_path / "key.pem").write_text(other.key)
    files = {"ca-file": "certificate.pem", "client.cert": "certificate.pem", "client.key": "key.pem"}
    tls = {f"distributed.comm.tls.{name}": str(tmp_path / file) for name, file in files.items()}
    for address, settings, reason in (
        (
            "tcp://127.0.0.1:9",
            {"distributed.comm.require-encryption": True},
            "encryption required by Dask configuration",
        ),
        ("tls://127.0.0.1:9", tls, "key values mismatch"),
    ):
        line = rf"^engine\.scheduler={address}: Dask's settings allow no connection to it \(.*{reason}"
        with (
            dask.config.set(settings),
            pytest.raises(ConfigError, match=line),
            open_engine(EngineConfig("cluster", scheduler=address)),
        ):
            pass


def test_too_few_open_files_are_allowed_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    limits = iter([(64, 64), (64, 4096), (1024, 4096)])
    monkeypatch.setattr("resource.getrlimit", lambda _: next(limits))
    monkeypatch.setattr("resource.setrlimit", lambda _, pair: raised.append(pair))
    with (
        pytest.raises(SweepError, match=r"^ulimit -n 64: 2 workers need at least 112 open files"),
        open_engine(EngineConfig("local", workers=2)),
    ):
        pass
    for _ in range(2):
        embedded.allow_open_files(112, 2)
    assert raised == [(112, 4096)]


@pytest.fixture
def unopened() -> Iterator[None]:
    """Collect the clusters that a test could not open: Dask cannot close them, and warns of them later otherwise."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.mark.usefixtures("unopened")
def test_workers_that_cannot_be_started_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device", "temporary")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with (
        pytest.raises(
            SweepError,
            match=r"^the workers cannot be started: RuntimeError: Cluster failed to start: .*No space left on device",
        ),
        open_engine(EngineConfig("local", workers=1)),
    ):
        pass


def test_what_the_system_lacks_for_workers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    def full() -> IO[bytes]:
        return open("/dev/full", "wb")

    for name, replacement, message in (
        ("tempfile.TemporaryFile", refused, rf"^the temporary folder {tempfile.gettempdir()}: No space .* set TMPDIR"),
        ("tempfile.TemporaryFile", full, rf"^the temporary folder {tempfile.gettempdir()}: No space .* set TMPDIR"),
        (
            "multiprocessing.context.BaseContext.Lock",
            refused,
            r"^/dev/shm: No space left on device; workers need semaphores",
        ),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, replacement)
            with pytest.raises(SweepError, match=message), open_engine(EngineConfig("local", workers=1)):
                pass


@pytest.mark.usefixtures("unopened")
def test_a_setting_of_dasks_that_is_none_is_one_line() -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "soon"}),
        pytest.raises(SweepError, match=r"^the workers cannot be started: KeyError: Invalid time unit: soon"),
        open_engine(EngineConfig("local", workers=1)),
    ):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ANSWER", 0.5)
    with (
        pytest.raises(ConfigError, match=r"^engine\.scheduler=tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        open_engine(EngineConfig("cluster", scheduler="tcp://127.0.0.1:9")),
    ):
        pass
