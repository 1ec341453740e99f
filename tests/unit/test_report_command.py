"""`python -m pipelines.report`: pages of the sweeps of a store, from nothing but the store."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf import stored
from conf.schema import ConfigError, Job
from pipelines import report, sync
from sweeps import driver, files, journal
from sweeps.errors import SweepError
from sweeps.tracking import store
from sweeps.tracking.reader import StoredSweeps
from tests.conftest import composed_job
from tests.fakes import FakeEngine
from tests.tracked import fill_store, search_of


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> str:
    return fill_store(tmp_path_factory.mktemp("store"), empty_store, composed_job("trials=4", "epochs=2"))


def run(*arguments: str) -> tuple[bool, str]:
    """Whether all pages were written, and what the command printed."""
    console = Console(file=io.StringIO(), width=200)
    complete = report.write_reports(report.read_arguments(arguments), console)
    assert isinstance(console.file, io.StringIO)
    return complete, console.file.getvalue()


def test_all_sweeps_have_pages_and_an_overview(uri: str) -> None:
    complete, output = run(f"tracking.uri={uri}")
    assert complete
    for name in ("a/imdb", "a/reuters", "cut/imdb"):
        assert (Path("reports") / name / "report.html").is_file()
        assert (Path("reports") / name / "val-loss.png").is_file()
        assert f"reports/{name}/report.html" in output
    overview = Path("reports/index.html").read_text(encoding="utf-8")
    for text in ("imdb (stand-in)", 'href="a/reuters/report.html"', "best: val", "baseline: val"):
        assert text in overview


def test_a_name_that_is_wrong_leaves_no_folder(uri: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'a/reuters'"):
        run("sweep=a/reuter", f"tracking.uri={uri}")
    assert not Path("reports").exists()


@pytest.mark.parametrize("argument", ["sweep", "sweep=", "sweeps=a", "--all"])
def test_another_argument_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed: sweep=…, tracking\.uri=…"):
        report.read_arguments([argument])


def test_a_run_whose_journal_is_damaged_is_named_and_the_others_have_their_pages(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = journal.read

    def damaged(directory: Path) -> list[journal.Event]:
        events = original(directory)
        if len(events) < 12:  # the interrupted one
            raise journal.JournalError("line 3 is damaged")
        return events

    monkeypatch.setattr(journal, "read", damaged)
    complete, output = run(f"tracking.uri={uri}")
    assert not complete
    assert "line 3 is damaged" in output
    assert Path("reports/a/imdb/report.html").is_file()


def test_a_sweep_whose_name_no_folder_can_have_is_named_and_the_others_have_their_pages(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps, too_long = StoredSweeps.sweeps, f"{'x' * 300}/imdb"
    monkeypatch.setattr(
        StoredSweeps,
        "sweeps",
        lambda *those: [*(one._replace(name=too_long) for one in sweeps(*those)[:1]), *sweeps(*those)],
    )
    complete, output = run(f"tracking.uri={uri}")
    assert not complete
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert error == f"error: reports/{too_long}: File name too long"
    assert Path("reports/index.html").is_file()


@pytest.mark.usefixtures("fresh_store")
def test_a_report_that_a_store_has_missed_comes_with_the_sync(composed: Callable[..., Job]) -> None:
    job, directory = composed("trials=2", "epochs=2"), Path("outputs/later")
    driver.run([search_of(job, directory=directory / "imdb")], FakeEngine())
    files.write_text(directory / stored.FILE, job.yaml)
    assert sync.sync(directory, store.local(), Console(file=io.StringIO()))
    assert (directory / "imdb" / "report.html").is_file()
    (sweep,) = StoredSweeps(store.local()).sweeps("sweep")
    assert "report.html" in {artifact.path for artifact in MlflowClient(store.local()).list_artifacts(sweep.run)}


def test_a_page_of_another_program_is_not_written_over(uri: str) -> None:
    overview, page = Path("reports/index.html"), Path("reports/a/imdb/report.html")
    page.parent.mkdir(parents=True)
    page.write_text("<h1>Coverage</h1>")
    complete, output = run(f"tracking.uri={uri}")
    assert not complete
    assert page.read_text() == "<h1>Coverage</h1>"
    assert f"error: {page}: not a page of this command; move it away" in output
    assert Path("reports/a/reuters/report.html").is_file()
    assert not run(f"tracking.uri={uri}")[0]  # its own pages are written anew
    overview.write_text("<h1>Coverage</h1>")
    with pytest.raises(SweepError, match=rf"^{overview}: not a page of this command; move it away$"):
        run(f"tracking.uri={uri}")
    assert overview.read_text() == "<h1>Coverage</h1>"
