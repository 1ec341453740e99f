"""Passwords in every place where one can be given, and a search for them in all that a sweep leaves behind."""

import os
import subprocess
import sys
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
from psycopg import sql

from tests.conftest import ROOT
from tests.servers import PASSWORD

SMALL = ("experiment=smoke", "data=imdb", "model=lstm", "trials=1", "epochs=1", "engine.workers=1")
# One for each place; they stand in no file that a journal could quote.
URL, TOKEN, WORDS, QUERY, ENVIRONMENT, DEFAULT, FILE = MARKED = [token_hex(8) for _ in range(7)]


def command(name: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit status of a command in this folder, and what it prints."""
    finished = subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout


def stored_rows(database: str) -> str:
    """All rows of all tables of a database, as text."""
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))).fetchall()
            for (name,) in tables
        ]
    return str(rows)


def assert_nowhere(*texts: str) -> None:
    files = {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.parts[0] != "own"}
    assert len(files) > 8
    for secret in (PASSWORD, *MARKED):
        assert [name for name, content in files.items() if secret.encode() in content] == []
        assert not any(secret in text for text in texts)


@pytest.mark.long
def test_no_password_is_left_behind_and_each_command_finds_the_store_again(database: str) -> None:
    public = database.replace(f":{PASSWORD}", "")
    own = Path("own/experiment")
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text(f"# @package datasets.imdb.text\nurl: https://me:{FILE}@h/w\n")
    status, output = command(
        "sweep",
        *SMALL,
        f"tracking.uri={database}?password=${{oc.env:PW}}".replace(f":{PASSWORD}", ""),
        f"datasets.imdb.url=https://me:{URL}@127.0.0.1:9/imdb.npz?token={TOKEN}&v=1",
        f"datasets.imdb.text.url=https://127.0.0.1:9/words.json?key={WORDS}",
        PW=PASSWORD,
    )
    assert status == 0, output
    (directory,) = Path("outputs").iterdir()
    texts = [output]
    assert f"uri: {public}?password=${{oc.env:PW}}" in (directory / "config.yaml").read_text()
    for name, arguments, environment in (
        ("sweep", (f"resume={directory}", "trials=2"), {"PW": PASSWORD}),
        ("sync", (), {"PGPASSWORD": PASSWORD}),
        ("report", (f"tracking.uri={database}?application_name=x",), {"MLFLOW_TRACKING_TOKEN": ENVIRONMENT}),
        ("report", (f"tracking.uri={public}",), {"MLFLOW_TRACKING_URI": database}),
    ):
        status, output = command(name, *arguments, **environment)
        assert status == 0, output
        texts.append(output)
    for arguments in (
        (*SMALL, "--config-dir=own", "experiment=mine", f"tracking.uri=postgresql://u:{QUERY}@127.0.0.1:9/x"),
        (*SMALL, f"tracking.uri=postgresql://u:${{oc.env:NONE,{DEFAULT}}}@127.0.0.1:bad/x", "trials=0"),
        (*SMALL, f"tracking.uri=postgresql://u@127.0.0.1:9/x?password={QUERY}&mark", "model.build=nothing.at_all"),
    ):
        status, output = command("sweep", *arguments)
        texts.append(output)
    assert_nowhere(*texts)
    rows = stored_rows(database)
    assert directory.name in rows
    for secret in (PASSWORD, *MARKED):
        assert secret not in rows
