"""`text-sweeps list`: the sweeps here and in the store, each with its state and how to go on."""

import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conf.schema import ConfigError
from pipelines import list as listing
from sweeps import invocation, journal
from sweeps.journal import Event, Journal, SweepEnded
from sweeps.terminal.console import Console
from tests import confirmations, records
from tests.conftest import ROOT, composed_job
from tests.tracked import fill_store


def write(name: str, events: Sequence[Event]) -> Path:
    writer = Journal(Path("outputs", name))
    for event in events:
        writer.append(event)
    writer.close()
    return Path("outputs", name)


def shown(*arguments: str) -> tuple[bool, str]:
    """Whether the store could be read, and what was printed."""
    console = Console(file=io.StringIO(), width=120)
    complete = listing.show(listing.read_arguments(arguments), console)
    assert isinstance(console.file, io.StringIO)
    return complete, console.file.getvalue()


def facts(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    shown("format=json", *arguments)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["sweep"]: row for row in rows}


def test_each_sweep_has_a_row_with_its_state_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    write("done/imdb", records.events(3, sweep="done/imdb"))
    write("it is cut/imdb", records.events(9, sweep="it is cut/imdb", end=False)[:-2])
    write("works/reuters", records.events(2, sweep="works/reuters", dataset="reuters", end=False))
    failed = records.events(2, sweep="broken/imdb", failing=lambda trial: True, end=False)
    write("broken/imdb", [*failed, SweepEnded("failed", None, "max_failures", time=records.BEGAN + 99)])
    write("again/imdb", records.events(1, sweep="again/imdb", confirms="done/imdb", end=False))
    with journal.locked(Path("outputs/works")):
        rows = facts(capsys)
        _, table = shown()
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "done/imdb": "finished",
        "it is cut/imdb": "interrupted",
        "works/reuters": "running",
        "broken/imdb": "failed",
        "again/imdb": "interrupted",
    }
    sweep, confirm = (invocation.command(name) for name in ("sweep", "confirm"))
    assert {name: row["resume"] for name, row in rows.items() if row["resume"]} == {
        "it is cut/imdb": f"{sweep} 'resume=outputs/it is cut'",
        "broken/imdb": f"{sweep} resume=outputs/broken",
        "again/imdb": f"{confirm} resume=outputs/again",
    }
    assert (rows["it is cut/imdb"]["finished"], rows["it is cut/imdb"]["trials"]) == (8, 9)
    assert rows["done/imdb"]["best"] == pytest.approx(0.7, abs=0.1)
    for row in rows.values():
        assert row["state"] in table
        assert row["resume"] in table


def test_a_damaged_journal_is_a_row_with_its_reason_and_no_end() -> None:
    write("done/imdb", records.events(2, sweep="done/imdb"))
    path = write("bad/imdb", records.events(2, sweep="bad/imdb")) / journal.FILE
    path.write_bytes(path.read_bytes().replace(b'"trial": 1', b'"trial": "\x1b[31m"', 1))
    complete, output = shown()
    assert complete
    assert "finished" in output
    assert "unreadable" in output
    assert "bad/imdb: outputs/bad/imdb/journal.jsonl, line" in output
    assert "\x1b" not in output


def test_without_sweeps_and_without_a_store_it_says_so() -> None:
    complete, output = shown()
    assert complete
    assert output.startswith(f"no sweeps in {Path('outputs').absolute()} and sqlite:///")
    assert list(Path().iterdir()) == []


def test_only_what_is_not_here_comes_from_the_store(
    empty_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = fill_store(tmp_path, empty_store, composed_job("trials=4", "epochs=2"))
    write("a/imdb", records.events(2, sweep="a/imdb"))
    rows = facts(capsys, f"tracking.uri={uri}")
    assert {name: (row["state"], row["finished"], row["trials"]) for name, row in rows.items()} == {
        "a/imdb": ("finished", 2, 2),  # the journal that is here, though the store has another one
        "a/reuters": ("finished", 4, 4),
        "cut/imdb": ("interrupted", 1, 4),
    }
    assert (rows["a/imdb"]["place"], rows["a/reuters"]["place"]) == ("outputs/a/imdb", uri)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/1' || run_uuid")
    rows = facts(capsys, f"tracking.uri={uri}")
    assert rows["cut/imdb"]["state"] == "unreadable"
    assert rows["cut/imdb"]["reason"] == "its journal.jsonl is not on this machine"


def test_a_store_that_cannot_be_read_is_named_and_the_sweeps_here_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("a/imdb", records.events(2, sweep="a/imdb"))
    Path("mlflow.db").write_text("no database, and long enough to be read as one" * 20)
    complete, output = shown()
    assert not complete
    assert "finished" in output
    assert "error: the store was not read: tracking.uri=sqlite:///" in capsys.readouterr().err


def test_one_sweep_is_shown_with_more() -> None:
    write("a/imdb", records.events(4, sweep="a/imdb", failing=lambda trial: trial == 2))
    write("b/imdb", records.events(2, sweep="b/imdb"))
    for name in ("a", "a/imdb", "outputs/a/"):
        _, output = shown(f"sweep={name}")
        assert "lstm on imdb: 3 trials completed, 1 failed" in output
        assert "trial 2 of a/imdb failed: diverged: train/loss is nan in epoch 1" in output
        assert "journal in outputs/a/imdb" in output
        assert "b/imdb" not in output
    with pytest.raises(ConfigError, match=r"^sweep=a/imbd: no such sweep; did you mean 'a/imdb'\?$"):
        shown("sweep=a/imbd")


def test_one_confirmation_is_shown_with_what_it_found() -> None:
    directory = Path("outputs/again/imdb")
    directory.mkdir(parents=True)
    write("again/imdb", confirmations.events(directory, {3: 0.03}))
    _, output = shown("sweep=again")
    assert "lstm on imdb, confirmation: means ± 95 % intervals" in output
    assert "Confirmed: trial 3, the search's choice, is better than the baseline." in output


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("format=yaml", "format=yaml: allowed: table, json"),
        ("directory=nowhere", "directory=nowhere: no such directory"),
        ("outputs", r"outputs: allowed: sweep=…, directory=…, tracking\.uri=…, format=…"),
        ("tracking.uri=mlruns", r"tracking\.uri=mlruns: must be sqlite:///"),
    ],
)
def test_a_mistake_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        listing.read_arguments([argument])


def test_it_loads_nothing_slow_for_journals_and_a_store_that_is_a_file(empty_store: Path) -> None:
    write("a/imdb", records.events(2, sweep="a/imdb"))
    program = (
        "import sys; from pipelines import list as l; from sweeps.terminal.console import Console\n"
        f"assert l.show(l.read_arguments(['tracking.uri=sqlite:///{empty_store}']), Console())\n"
        "assert not {'mlflow', 'tensorflow', 'sklearn', 'keras_tuner', 'dask', 'sqlalchemy'} & {*sys.modules}"
    )
    environment = {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "finished" in ended.stdout


@pytest.mark.parametrize(
    ("seconds", "age"), [(-5, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (3 * 86_400 + 5, "3 d")]
)
def test_ages_are_short(seconds: float, age: str) -> None:
    assert listing._age(seconds) == age


def test_a_directory_is_in_use_only_while_a_process_holds_it(tmp_path: Path) -> None:
    assert not journal.in_use(tmp_path)
    with journal.locked(tmp_path):
        assert journal.in_use(tmp_path)
        assert journal.in_use(tmp_path)  # to look changes nothing
    assert not journal.in_use(tmp_path)
    (tmp_path / journal.LOCK).write_text(f"process 999999999 on {time.time()}")
    assert not journal.in_use(tmp_path)
    with journal.locked(tmp_path.parent):
        assert not journal.in_use(tmp_path)
