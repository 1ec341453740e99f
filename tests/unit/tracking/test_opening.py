"""A store that will never take the runs is refused before training, in the same line by every command."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mlflow import MlflowClient
from sqlalchemy.exc import OperationalError

from conf.schema import ConfigError
from sweeps.errors import SweepError
from sweeps.tracking import database, failures, predictor, server, store
from sweeps.tracking.failures import StoreAwayError, StoreRefusesError
from sweeps.tracking.reader import StoredSweeps
from sweeps.tracking.tracker import Tracker
from tests.servers import free_port
from tests.tracked import plan, small

Open = Callable[[str], object]


def track(uri: str) -> None:
    tracker = Tracker(uri)
    try:
        tracker.wait_until_opened()
    finally:
        tracker.close(0)


COMMANDS: dict[str, Open] = {
    "sweep, confirm, sync": track,
    "report, reproduce, confirm": StoredSweeps,
    "predict": lambda uri: predictor.choose(uri, None),
}
UI: dict[str, Open] = {"ui": lambda uri: server.check(uri, free_port())}


def line(opening: Open, uri: str) -> str:
    began = time.monotonic()
    with pytest.raises(StoreRefusesError) as error:
        opening(uri)
    assert time.monotonic() - began < 10
    assert "\n" not in str(error.value)
    return str(error.value)


@contextmanager
def answering(status: int, content: str = "text/html", body: bytes = b"<html>", location: str = "") -> Iterator[str]:
    """Serve one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            self.send_header("Content-Type", content)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:  # as which a redirected POST comes back
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (401, "text/html", "takes no such user or password (HTTP 401); give them in MLFLOW_TRACKING_USERNAME"),
        (403, "application/json", "forbids this to this user or this machine (HTTP 403)"),
        (404, "text/html", "not a server of MLflow's, as it answers HTTP 404"),
        (200, "text/html", "not a server of MLflow's, as it answers with something else"),
    ],
)
def test_a_server_that_refuses(status: int, content: str, reason: str) -> None:
    with answering(status, content) as uri:
        lines = {line(opening, uri) for opening in COMMANDS.values()}
        with pytest.raises(StoreRefusesError) as error:
            server.newest_comparison(uri)
    (one,) = lines | {str(error.value)}
    assert one.startswith(f"tracking.uri={uri}: ")
    assert reason in one


NO_LIST = (b'{"ok": true}', b"[1, 2]", b"null", b"", b'{"experiments": [{"exp', b"[" * 100_000)


@pytest.mark.parametrize("body", NO_LIST, ids=lambda body: body[:9])
def test_a_server_that_answers_everything_in_json_is_not_taken_for_mlflows(body: bytes) -> None:
    with answering(200, "application/json", body) as uri:
        lines = {line(opening, uri) for opening in COMMANDS.values()}
    (one,) = lines
    assert one.startswith(f"tracking.uri={uri}: not a server of MLflow's, as it answers with something else")


@pytest.mark.parametrize("body", NO_LIST[1:], ids=lambda body: body[:9])
def test_the_pages_of_a_server_that_answers_with_no_object_are_not_opened(body: bytes) -> None:
    with answering(200, "application/json", body) as uri:
        one = line(server.newest_comparison, uri)
    assert one.startswith(f"tracking.uri={uri}: not a server of MLflow's, as it answers with something else")


def test_a_server_that_speaks_no_https_is_refused() -> None:
    with answering(200) as uri:
        secure = uri.replace("http:", "https:")
        lines = {line(opening, secure) for opening in COMMANDS.values()}
    assert lines == {f"tracking.uri={secure}: it does not speak https; give its address with http://"}


def test_a_server_that_sends_one_in_circles_is_refused() -> None:
    with answering(302, location="/") as uri:
        lines = {line(opening, uri) for opening in COMMANDS.values()}
    (one,) = lines
    assert "as it sends one from page to page" in one


def test_a_server_with_an_error_of_its_own_may_answer_later(capfd: pytest.CaptureFixture[str]) -> None:
    with answering(500) as uri:
        track(uri)  # the sweep starts
        for opening in (StoredSweeps, COMMANDS["predict"], server.newest_comparison):
            with pytest.raises(StoreAwayError, match=rf"^{uri} does not answer: it has an error of its own, HTTP 500$"):
                opening(uri)
    assert capfd.readouterr() == ("", "")


def test_nobody_who_listens_may_do_so_later(capfd: pytest.CaptureFixture[str]) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    track(uri)
    for opening in (StoredSweeps, COMMANDS["predict"], server.newest_comparison):
        with pytest.raises(StoreAwayError, match=rf"^{uri} does not answer: Connection refused$"):
            opening(uri)
    with pytest.raises(SweepError, match="does not answer"):
        StoredSweeps(uri).trial("0" * 32)
    assert capfd.readouterr() == ("", "")


def test_a_database_that_is_away_may_answer_later(capfd: pytest.CaptureFixture[str]) -> None:
    uri = f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/db"
    track(uri)
    for opening in (*COMMANDS.values(), *UI.values()):
        if opening is not track:
            with pytest.raises(
                StoreAwayError, match=r"^postgresql\+psycopg://me@127\.0\.0\.1:\d+/db does not answer: "
            ):
                opening(uri)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("mysql://me:secret@127.0.0.1/db", "the database's driver is not installed here: MySQLdb"),
        ("mysql+pymysql://me:secret@127.0.0.1/db", "the database's driver is not installed here: pymysql"),
        ("postgresql+nonsense://me:secret@127.0.0.1/db", "there is no such driver: "),
        ("postgresql+psycopg://me:secret@127.0.0.1:port/db", "not an address that can be read"),
        ("postgresql+psycopg://me:a@b/c@127.0.0.1/db", "not an address that can be read; / and @ in a password are "),
    ],
)
def test_a_database_that_cannot_be_asked(uri: str, reason: str) -> None:
    (one,) = {line(opening, uri) for opening in (COMMANDS | UI).values()}
    assert f": {reason}" in one


def not_a_database(path: Path) -> None:
    path.write_bytes(b"precious" * 100)


def a_folder(path: Path) -> None:
    path.mkdir()


def somebody_elses(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")


def revised(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (not_a_database, "file is not a database; correct that, or name another store: tracking.uri=…"),
        (a_folder, "a folder; give a file that can be read, as sqlite:///path/to/mlflow.db"),
        (os.mkfifo, "not a regular file; give a file that can be read, as sqlite:///path/to/mlflow.db"),
        (somebody_elses, "not a store of MLflow's, but a database with songs"),
    ],
)
def test_a_file_that_is_no_store(make: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    (one,) = {line(opening, store.uri(None)) for opening in (COMMANDS | UI).values()}
    assert one == f"tracking.uri=sqlite:///{path}: {reason}"
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("fresh_store")
def test_a_store_of_another_version(tmp_path: Path) -> None:
    database.check(store.uri(None))
    revised(tmp_path / "mlflow.db", "ffffffffffff")
    (newer,) = {line(opening, store.uri(None)) for opening in (COMMANDS | UI).values()}
    assert ": made by a newer MLflow than MLflow 3.17" in newer
    revised(tmp_path / "mlflow.db", next(revision for revision in database.revisions().values() if revision))
    (older,) = {line(opening, store.uri(None)) for opening in (COMMANDS | UI).values()}
    assert older.endswith(f"; to upgrade it: mlflow db upgrade sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.usefixtures("fresh_store")
def test_a_file_that_cannot_be_written_is_refused_for_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    # Whoever runs the tests may be allowed to write everything.
    monkeypatch.setattr(
        "sweeps.tracking.creation.sqlite3.connect", lambda path, **_: connect(f"file:{path}?mode=ro", uri=True)
    )
    assert line(track, store.uri(None)).startswith(
        f"tracking.uri={store.uri(None)}: attempt to write a readonly database; "
    )


@pytest.mark.usefixtures("fresh_store")
def test_a_locked_file_may_be_free_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr("sweeps.tracking.creation.sqlite3.connect", lambda path, **_: connect(path, timeout=0.1))
    with closing(connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        track(store.uri(None))


def test_a_host_that_does_not_exist() -> None:
    for uri in ("http://no-such-host.invalid:5000", "postgresql+psycopg://u:p@no-such-host.invalid/db"):
        try:
            assert ": there is no such host; correct its name" in line(StoredSweeps, uri)
        except StoreAwayError:  # nothing resolves names here
            pytest.skip("no name server answers")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tempfile.TemporaryFile", partial(open, "/dev/full", "wb"))  # a file can be made
    for opening in COMMANDS.values():
        with pytest.raises(ConfigError, match=rf"^the temporary folder {tmp_path}: No space left on device; make room"):
            opening(store.uri(None))


def test_a_temporary_folder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    for opening in COMMANDS.values():
        with pytest.raises(ConfigError, match=rf"^the temporary folder {tmp_path}/absent: No such file or directory; "):
            opening(store.uri(None))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            sqlite3.OperationalError("database or disk is full"),
            "database or disk is full: there must be room for the files of sqlite:////x.db, and in the ",
        ),
        (
            OperationalError("SELECT 1", {}, sqlite3.OperationalError("database or disk is full")),
            "database or disk is full: there must be room for the files of sqlite:////x.db, and in the ",
        ),
        (
            OperationalError("SELECT 1", {}, sqlite3.OperationalError("no such table: metrics")),
            "tracking.uri=sqlite:////x.db: no such table: metrics; ",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a/mlruns"),
            "sqlite:////x.db cannot be used: /a/mlruns: Not a directory",
        ),
    ],
)
def test_a_database_without_room_tables_or_a_place_for_files_is_told_as_such(error: Exception, line: str) -> None:
    if isinstance(error, OperationalError):
        error.add_detail("raised as a result of Query-invoked autoflush")
    assert str(failures.of("sqlite:////x.db", error)).startswith(line)


def start(**tracking: str) -> None:
    """Open the store for a sweep that is about to run."""
    job = small(1, 1, **tracking)
    tracker = Tracker(store.uri(None), job.config.tracking.experiment, sweeps=[plan(job)])
    try:
        tracker.wait_until_opened()
    finally:
        tracker.close(0)


@pytest.mark.usefixtures("fresh_store")
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("sftp://host/x", ", which writes there, is not installed; install it, or name another one"),
        ("nonsense://me:geheim@host/x", "MLflow knows no such place, or name another one"),
    ],
)
def test_artifacts_in_a_place_to_which_nothing_here_can_write_are_refused(place: str, reason: str) -> None:
    uri = store.uri(None)
    MlflowClient(uri).create_experiment("imdb-standin", place)
    refused = line(lambda _: start(), uri)
    assert refused.startswith(f"tracking.uri={uri}: the files of the experiment imdb-standin are kept in ")
    assert reason in refused
    assert "geheim" not in refused


@pytest.mark.usefixtures("fresh_store")
def test_a_deleted_experiment_is_refused_until_it_is_restored(tmp_path: Path) -> None:
    client = MlflowClient(store.uri(None))
    experiment = client.create_experiment("imdb-standin")
    client.delete_experiment(experiment)
    with pytest.raises(ConfigError) as error:
        start()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert str(error.value) == (
        f"tracking.uri={uri}: its experiment imdb-standin is deleted; name another one, tracking.experiment=…, "
        f"or restore it: MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {experiment}"
    )
    start(experiment="another")
    client.restore_experiment(experiment)
    start()


@pytest.mark.usefixtures("fresh_store")
def test_a_project_run_that_is_away_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(ConfigError, match=r": has no run 0{32}, which MLFLOW_RUN_ID names; unset it$"):
        start()
    client = MlflowClient(store.uri(None))
    run = client.create_run("0").info.run_id
    client.delete_run(run)
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    with pytest.raises(ConfigError, match=rf": its run {run}, which MLFLOW_RUN_ID names, is deleted; unset it$"):
        start()


@pytest.mark.usefixtures("fresh_store")
def test_an_experiment_whose_files_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlruns").touch()
    with pytest.raises(
        ConfigError, match=r": the files of the experiment imdb-standin cannot be written to .*/mlruns/"
    ):
        start()


@pytest.mark.usefixtures("fresh_store")
def test_an_experiment_whose_files_a_server_keeps_is_refused() -> None:
    MlflowClient(store.uri(None)).create_experiment("imdb-standin", "mlflow-artifacts:/7")
    with pytest.raises(ConfigError, match="a server made the experiment imdb-standin and keeps its artifacts: log to "):
        start()
