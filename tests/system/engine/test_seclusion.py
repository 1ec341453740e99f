"""An embedded cluster lets nobody in and leaves no secret anywhere."""

import ssl
import urllib.request
from pathlib import Path

import psutil
import pytest
from distributed import Client
from distributed.security import Security

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.trials.dask_engine import cluster as others
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.engine import Finished
from tests.engines import embedded_workers, messages_until_idle
from tests.specs import spec


def test_nobody_without_the_certificate_is_let_in_and_no_page_is_served(
    local: DaskEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = [psutil.Process(), *embedded_workers()]
    ports = {c.laddr.port for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
    scheduler = local._client.scheduler.address
    assert scheduler.startswith("tls://127.0.0.1:")
    monkeypatch.setattr(others, "ANSWER", 0.5)
    for port in ports:
        with (
            pytest.raises(ConfigError, match="no Dask scheduler answers there"),
            open_engine(EngineConfig("cluster", scheduler=f"tcp://127.0.0.1:{port}")),
        ):
            pass
        for page in ("health", "metrics"):
            with pytest.raises(OSError, match=r"."):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=0.5)
    with pytest.raises(OSError, match=r"."):
        Client(scheduler, security=Security.temporary(), timeout=2)  # with another certificate
    local.submit("tests.specs.slow", spec())
    assert [type(message) for message in messages_until_idle(local)] == [Finished]


def test_the_certificate_is_never_readable_by_others_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = tmp_path / "temporary", []
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, certificate: str, key: str) -> None:
        seen.append(Path(key).parent.stat().st_mode & 0o077)
        load(context, certificate, key)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    with open_engine(EngineConfig("local", workers=1)):
        pass
    assert seen
    assert set(seen) == {0}
    assert [
        path for path in folder.rglob("*") if b"PRIVATE KEY" in (path.read_bytes() if path.is_file() else b"")
    ] == []


def test_everything_listens_on_loopback_only(local: DaskEngine) -> None:
    family = [psutil.Process(), *embedded_workers()]
    listening = [c.laddr.ip for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5  # a scheduler, two nannies, two workers
    assert set(listening) == {"127.0.0.1"}
