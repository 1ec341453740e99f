"""Stored configurations: the one of a sweep that goes on, and those that journals and runs recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import AliasEvent, YAMLError, parse

from conf import arguments, networks, secrets
from conf.schema import RESUMABLE, SEARCHABLE, Buildable, Config, ConfigError, Data, Parts

FILE = "config.yaml"
UNREADABLE = (OmegaConfBaseException, YAMLError, RecursionError)  # the last where it is nested too deeply
OPTIONS = Path(__file__).parent
OF_ONE_COMMAND = ("resume", "reproduce", "dry_run")  # keys that say what a command does, and nothing of its sweeps
CHOSEN_BY_NAME = ("model", "optimizer", "tuner", "stopping")  # groups whose option is identified by its `name`
# What a registered model needs besides its network; no trial depends on it, so that it may be given later.
SERVING = re.compile(r"datasets\.([^.=]+)\.text\.(words|url|sha256|labels)")
# The overrides that `reproduce=<run id>` takes; everything else comes from the run.
REPRODUCE_TAKES = re.compile(
    r"reproduce|tracking\.uri|engine\.(threads|memory|workers|workers_per_gpu)|datasets\.\w+\.(archive|read)"
    r"|(model|optimizer|networks\.[\w-]+)\.build|tuner\.oracle"
)


class Schedule(NamedTuple):
    """How long a sweep may take: what its end depends on besides the number of its trials."""

    epochs: int  # that a trial may have
    minutes: float | None  # that the sweeps of the command have together
    in_rounds: bool  # whether trials that have ended may go on
    may_end_early: bool  # whether a trial, or the sweep, may end before all its epochs, or trials


def restore(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration stored in `cfg.resume`, with those overrides that a resumed sweep may have.

    `cfg` is what Hydra composed of the overrides without the stored configuration. Raises `ConfigError` for every other
    override that differs from what is stored.
    """
    directory = Path(cfg.resume)
    stored = _stored(directory)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = str(override.key_or_group)
        serves = SERVING.fullmatch(key)
        if key.partition(".")[0] in RESUMABLE or (serves and serves[1] in stored.datasets):
            OmegaConf.update(stored, key, _unresolved(cfg, key), merge=False)
        elif key == "experiment":
            raise ConfigError(
                f"experiment={override.value()}: {directory} has a configuration of its own; {_allowed()}"
            )
        elif key != "resume":
            now, before = _value(cfg, key), _value(stored, key)
            if now != before and _public(now) == before:  # its password, which is not stored
                OmegaConf.update(stored, key, now, merge=False)
            else:
                _refuse_change(_with_name(key), now, before, directory)
    stored.resume = cfg.resume
    return stored


def refuse_changes(directory: Path, started: str, config: str) -> None:
    """Raise `ConfigError` if a sweep that was `started` with one configuration (YAML) would go on with another."""
    before, now = (dict(_flat(OmegaConf.to_container(_typed(yaml)))) for yaml in (started, config))
    for key in before | now:
        if key.partition(".")[0] not in (*RESUMABLE, "resume", "reproduce") and not SERVING.fullmatch(key):
            _refuse_change(key, now.get(key), before.get(key), directory)


def refuse_changes_of_a_trial(arguments: Iterable[str]) -> None:
    """Raise `ConfigError` for a command-line override of something that the run of a trial recorded."""
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "engine.workers" and value != "1":
            raise ConfigError(f"{argument}: reproduce= trains one trial, on one worker; allowed: 1")
        if not REPRODUCE_TAKES.fullmatch(key) and argument != "engine=local":
            raise ConfigError(
                f"{argument}: reproduce= trains what the run recorded, on this machine; "
                "only tracking.uri, engine.threads, engine.memory and datasets.<name>.archive may be given, "
                "and the functions that it names"
            )


def with_serving(config: Config, overrides: Sequence[str]) -> Config:
    """Return a configuration with other keys of `SERVING`, of those of its datasets that have any in `overrides`."""
    try:
        cfg = OmegaConf.structured(config)
        for override in OverridesParser.create().parse_overrides(arguments.prepared(overrides)):
            key = str(override.key_or_group)
            if (serves := SERVING.fullmatch(key)) and serves[1] in config.datasets:
                OmegaConf.update(cfg, key, override.value(), merge=False)
        changed = OmegaConf.to_object(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{' '.join(overrides)}: {reason}") from error
    assert isinstance(changed, Config)
    return changed


def read(directory: Path) -> Config:
    """Return the configuration of the sweeps in a directory; raises `ConfigError` where there is none."""
    config = OmegaConf.to_object(_without_lost_store(_stored(directory)))
    assert isinstance(config, Config)
    return config


def parsed(yaml: str) -> Config:
    """Return the configuration that a journal holds; raises `ConfigError` if this version does not know its keys."""
    try:
        config = OmegaConf.to_object(_without_lost_store(_typed(yaml)))
    except UNREADABLE as error:
        raise ConfigError(f"the recorded configuration does not fit this version: {error}") from error
    assert isinstance(config, Config)
    return config


def foreign(yaml: str) -> Config:
    """Return the configuration that the journal of a store holds, without the address of its store.

    Raises `ConfigError` also where it would take values of this machine, such as `${oc.env:PASSWORD}`, to anywhere.
    """
    try:
        content: Any = OmegaConf.to_container(_content(yaml))
    except (*UNREADABLE, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the recorded configuration cannot be read: {reason or 'it is no mapping'}") from error
    if not isinstance(content, dict):
        raise ConfigError("the recorded configuration cannot be read: it is no mapping")
    if isinstance(content.get("tracking"), dict):
        content["tracking"]["uri"] = None
    for key, value in _flat(content):
        if "${" in str(value):
            raise ConfigError(f"the recorded configuration has {key}={value}, which would be filled in on this machine")
    return parsed(OmegaConf.to_yaml(OmegaConf.create(content)))


def parts(yaml: str, dataset: str) -> Parts:
    """Return the parts of a recorded sweep, whose configuration may hold keys that are unknown here."""
    recorded: Any = OmegaConf.to_container(_content(yaml))
    data = recorded.get("datasets", {}).get(dataset, {})
    settings = {key: data[key] for key in ("files", "space", *SEARCHABLE) if key in data}
    optimizer = Buildable(**recorded["optimizer"])
    return {**_models(recorded), "optimizer": optimizer, f"datasets.{dataset}": Data(**settings)}


def datasets(yaml: str) -> list[str]:
    """Return the names of the datasets of a recorded configuration."""
    return list(map(str, OmegaConf.select(OmegaConf.create(yaml), "datasets", default={})))


def models(yaml: str) -> list[Buildable]:
    """Return the networks of a recorded configuration, which may hold keys that are unknown here."""
    return list(_models(OmegaConf.to_container(_content(yaml))).values())


def _models(recorded: Any) -> dict[str, Buildable]:
    """Return the networks by their sections, as `Config.models` does."""
    several = recorded.get("networks") or {}
    return {f"networks.{key}": Buildable(**each) for key, each in several.items()} or {
        "model": Buildable(**recorded["model"])
    }


def engine(yaml: str) -> str:
    """Return the name of the engine of a recorded configuration, which may hold keys that are unknown here."""
    return str(OmegaConf.select(OmegaConf.create(yaml), "engine.name", default="local"))


@lru_cache(maxsize=8)
def schedule(yaml: str) -> Schedule:
    """Return the schedule of a recorded configuration, which may hold keys that are unknown here."""
    content = OmegaConf.create(yaml)
    minutes, target = OmegaConf.select(content, "minutes"), OmegaConf.select(content, "target")
    return Schedule(
        int(OmegaConf.select(content, "epochs", default=1)),
        None if minutes is None else float(minutes),
        in_rounds=OmegaConf.select(content, "tuner.name") == "hyperband",
        may_end_early=bool(
            minutes is not None or target is not None or OmegaConf.select(content, "stopping.name") != "none"
        ),
    )


def as_yaml(config: Config) -> str:
    """Return the YAML that reproduces a configuration, without its passwords."""
    return written(OmegaConf.structured(config))


def written(cfg: DictConfig) -> str:
    """Return the YAML that reproduces a composed configuration.

    Its addresses have no passwords, and keep their interpolations of environment variables; all others are resolved.
    """
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(plain, DictConfig)
    networks.without_empty(plain)
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    for key, address in config.addresses():
        if address is not None:
            raw = str(_unresolved(cfg, key))
            OmegaConf.update(plain, key, _public(raw if secrets.VARIABLE.search(raw) else address))
    return OmegaConf.to_yaml(plain)


def agrees(directory: Path, yaml: str) -> bool:
    """Return whether the file of a directory has this configuration, whatever comments and order it has."""
    with suppress(*UNREADABLE, ValueError, OSError):
        return _content_of_sweeps((directory / FILE).read_text(encoding="utf-8")) == _content_of_sweeps(yaml)
    return False


def _content_of_sweeps(yaml: str) -> dict[Any, Any]:
    content = OmegaConf.to_container(_typed(yaml), resolve=False)
    assert isinstance(content, dict)
    return {**content, **dict.fromkeys(OF_ONE_COMMAND)}


def _stored(directory: Path) -> DictConfig:
    path = directory / FILE
    if not directory.is_dir():
        raise ConfigError(f"resume={directory}: no such directory")
    recorded = "" if path.is_file() else _in_journal(directory)
    if not path.is_file() and not recorded:
        hint = f"; did you mean {directory.parent}?" if (directory.parent / FILE).is_file() else ""
        raise ConfigError(f"resume={directory}: no sweep was started there, {FILE} is missing{hint}")
    try:
        return _typed(recorded or path.read_text(encoding="utf-8"))
    except (*UNREADABLE, ValueError, OSError) as error:
        raise ConfigError(f"{path}: not a configuration: {error}") from error


def _without_lost_store(stored: DictConfig) -> DictConfig:
    """Return a record whose store is None where its environment variable is not set: another one may be named."""
    try:
        OmegaConf.select(stored, "tracking.uri")
    except OmegaConfBaseException:
        stored.tracking.uri = None
    return stored


def _unresolved(cfg: DictConfig, key: str) -> Any:
    """Return the value of a key as it was written, with its interpolations."""
    place, _, name = key.rpartition(".")
    parent = OmegaConf.select(cfg, place) if place else cfg
    if not OmegaConf.is_interpolation(parent, name):
        return parent[name]
    written: Any = OmegaConf.to_container(parent, resolve=False)
    return written[name]


def _public(value: Any) -> Any:
    return secrets.public(value) if isinstance(value, str) else value


def _in_journal(directory: Path) -> str:
    """Return the configuration (YAML) that the journals of a directory recorded last; empty where there is none."""
    for path in sorted(directory.glob("*/journal.jsonl")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in reversed([line for line in lines if '"config"' in line]):
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get("config"), str):
                    return str(entry["config"])
    return ""


def _content(yaml: str) -> DictConfig | ListConfig:
    if any(isinstance(event, AliasEvent) for event in parse(yaml)):
        raise YAMLError("it has aliases, of which few lines could unfold without end")
    return OmegaConf.create(yaml)


def _typed(yaml: str) -> DictConfig:
    return typed(_content(yaml))


def typed(content: DictConfig | ListConfig) -> DictConfig:
    """Return a stored configuration as `Config` has it; raises one of `UNREADABLE` if it does not fit."""
    if isinstance(content, DictConfig):
        _upgrade(content)
    merged = OmegaConf.merge(OmegaConf.structured(Config), content)
    assert isinstance(merged, DictConfig)
    networks.without_builder(merged)
    return merged


def _upgrade(content: DictConfig) -> None:
    """Rename the keys of configurations that were stored before journals had a format.

    Their tuners have no `oracle` and the options of all tuners, and their datasets have `load` instead of `read`.
    """
    tuner = content.get("tuner")
    if isinstance(tuner, DictConfig) and "oracle" not in tuner:
        option = OPTIONS / "tuner" / f"{tuner.get('name')}.yaml"
        if option.is_file():
            defaults = OmegaConf.load(option)
            content.tuner = {key: tuner.get(key, value) for key, value in defaults.items()}
    datasets = content.get("datasets")
    for data in datasets.values() if isinstance(datasets, DictConfig) else ():
        if isinstance(data, DictConfig) and "load" in data:
            load = data.pop("load")
            data.read = Data.read if load == "pipelines.data.load" else load


def _value(cfg: DictConfig, key: str) -> Any:
    if key == "data":
        return ",".join(sorted(map(str, cfg.datasets)))
    return OmegaConf.select(cfg, _with_name(key))


def _with_name(key: str) -> str:
    return f"{key}.name" if key in CHOSEN_BY_NAME else key


def _refuse_change(key: str, now: Any, before: Any, directory: Path) -> None:
    if now != before:
        raise ConfigError(f"{key}={now}: {directory} was started with {key}={before}; {_allowed()}")


def _allowed() -> str:
    return f"on resume only {', '.join(RESUMABLE)} and datasets.<name>.text may change"


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _flat(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node
