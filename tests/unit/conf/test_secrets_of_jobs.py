"""No password that a command line, a file or the environment gives is in what a job writes or says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conf import stored
from conf.compose import compose
from conf.schema import ConfigError, Job
from tests.conftest import composed_job

# A place for a password -> what is written of it.
PLACES = {
    "tracking.uri=http://bob:geheim@127.0.0.1:9": "uri: http://bob@127.0.0.1:9",
    "tracking.uri=postgresql://u:ge/heim@h/db": "uri: postgresql://u@h/db",
    "tracking.uri=postgresql://h/db?user=u&password=geheim": "uri: postgresql://h/db?user=u",
    "tracking.uri=postgresql://u:${oc.env:PW}@h/db": "uri: postgresql://u:${oc.env:PW}@h/db",
    "tracking.uri=postgresql://u:${oc.env:NONE,geheim}@h/db": "uri: postgresql://u:${oc.env:NONE}@h/db",
    "tracking.uri=${oc.env:STORE}": "uri: ${oc.env:STORE}",
    "tracking.uri=${datasets.imdb.url} datasets.imdb.url=https://u:geheim@h/x": "uri: https://u@h/x",
    "datasets.imdb.url=https://bob:geheim@host/imdb.npz": "url: https://bob@host/imdb.npz",
    "datasets.imdb.url=https://host/imdb.npz?token=geheim": "url: https://host/imdb.npz",
    "datasets.imdb.text.url=https://bob:geheim@host/w.json": "url: https://bob@host/w.json",
}


@pytest.fixture(autouse=True)
def in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "geheim")
    monkeypatch.setenv("STORE", "postgresql://u:geheim@h/db")


@pytest.mark.parametrize(("line", "written"), PLACES.items())
def test_the_password_is_in_memory_and_not_in_the_yaml(line: str, written: str) -> None:
    job = composed_job("data=imdb", *line.split())
    text = job.config.datasets["imdb"].text
    addresses = f"{job.config.tracking.uri} {job.config.datasets['imdb'].url} {text.url}"
    assert "heim" in addresses
    assert "heim" not in job.yaml + stored.as_yaml(job.config)
    assert written in [row.strip() for row in job.yaml.splitlines()]
    assert "geheim" not in repr(job.config)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tracking.uri=postgresql://u:p@geheim@h/db", "tracking.uri=postgresql://u@h/db: in a user name, a password"),
        ("tracking.uri=htp://u:geheim@h", "tracking.uri=htp://u@h: must be"),
        ("datasets.imdb.url=https://u:a/geheim@h/x.npz", "datasets.imdb.url=https://u@h/x.npz: in a user name"),
        ("datasets.imdb.archive=https://u:geheim@h/x.npz", "datasets.imdb.archive=https://u@h/x.npz: must be a file"),
        ("datasets.imdb.text.words=https://h/w?token=geheim", "datasets.imdb.text.words=https://h/w: must be a file"),
        ("engine.scheduler=tcp://u:geheim@h:8786 engine=cluster", "engine.scheduler=tcp://u@h:8786: Dask takes no"),
        ("engine.scheduler=tcp://u:geheim@h:8786", "engine.scheduler=tcp://u@h:8786: engine=local does not"),
        ("tracking.url=http://u:geheim@h", "tracking.url: no such key"),
        ("trials=http://u:geheim@h", "trials=http://u@h"),
        ("+tracking.other=http://u:geheim@h", "tracking.other=http://u@h: no such key"),
    ],
)
def test_no_message_about_a_wrong_address_shows_its_password(argument: str, message: str) -> None:
    from sweeps.session.checks import check

    with pytest.raises(ConfigError) as error:
        check(composed_job("data=imdb", *argument.split()).config)
    assert str(error.value).startswith(message)
    assert "geheim" not in str(error.value)


def resumable(folder: Path, *line: str) -> None:
    (folder / stored.FILE).write_text(composed_job("data=imdb", *line).yaml)


def test_a_resumed_sweep_resolves_its_variables_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, composed: Callable[..., Job]
) -> None:
    resumable(tmp_path, "tracking.uri=postgresql://u:${oc.env:PW}@h/db")
    monkeypatch.setenv("PW", "renewed")
    job = composed(f"resume={tmp_path}", "trials=77")
    assert job.config.tracking.uri == "postgresql://u:renewed@h/db"
    assert "uri: postgresql://u:${oc.env:PW}@h/db" in job.yaml
    monkeypatch.delenv("PW")
    with pytest.raises(ConfigError, match=r"^tracking\.uri: Environment variable 'PW' not found$"):
        composed(f"resume={tmp_path}", "trials=78")
    assert stored.read(tmp_path).tracking.uri is None  # whoever names another store does not need it
    assert stored.parsed((tmp_path / stored.FILE).read_text()).tracking.uri is None


def test_a_resumed_sweep_takes_a_variable_for_its_store(tmp_path: Path, composed: Callable[..., Job]) -> None:
    resumable(tmp_path)
    job = composed(f"resume={tmp_path}", "tracking.uri=postgresql://u:${oc.env:PW}@h/db")
    assert job.config.tracking.uri == "postgresql://u:geheim@h/db"
    assert "uri: postgresql://u:${oc.env:PW}@h/db" in job.yaml


def test_a_resumed_sweep_may_be_given_the_password_of_its_address_again(
    tmp_path: Path, composed: Callable[..., Job]
) -> None:
    resumable(tmp_path, "datasets.imdb.url=https://u:geheim@h/x.npz")
    job = composed(f"resume={tmp_path}", "datasets.imdb.url=https://u:geheim@h/x.npz")
    assert job.config.datasets["imdb"].url == "https://u:geheim@h/x.npz"
    assert "geheim" not in job.yaml
    with pytest.raises(ConfigError) as error:
        composed(f"resume={tmp_path}", "datasets.imdb.url=https://u:geheim@other/x.npz")
    assert "geheim" not in str(error.value)


def test_a_variable_that_is_no_address_is_resolved(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOW_MANY", "7")
    job = composed("epochs=${oc.env:HOW_MANY}", "tracking.experiment=${oc.env:HOW_MANY}", "patience=${epochs}")
    assert (job.config.epochs, job.config.patience) == (7, 7)
    assert "${" not in job.yaml


def test_an_experiments_password_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    experiment = "# @package _global_\ntracking:\n  uri: http://bob:geheim@host\n"
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(experiment)
    monkeypatch.setattr("sys.argv", ["sweep", f"--config-dir={tmp_path / 'own'}", "experiment=mine"])
    (job,) = compose()
    assert job.config.tracking.uri == "http://bob:geheim@host"
    assert "uri: http://bob@host" in job.yaml
