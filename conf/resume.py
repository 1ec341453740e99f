"""The configuration of a sweep that goes on: the stored one, and what of it may be given anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from conf.schema import RESUMABLE, Config, ConfigError

FILE = "config.yaml"
NAMED = ("model", "optimizer", "tuner", "stopping")  # groups whose option is told by its name


def restore(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration stored in `cfg.resume`, with those overrides that a sweep may be resumed with.

    `cfg` is what Hydra made of the overrides without the stored one. Raises `ConfigError` for every other override that
    says something else than what is stored.
    """
    directory = Path(cfg.resume)
    stored = _stored(directory)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = str(override.key_or_group)
        if key.partition(".")[0] in RESUMABLE:
            OmegaConf.update(stored, key, OmegaConf.select(cfg, key), merge=False)
        elif key == "experiment":
            raise ConfigError(
                f"experiment={override.value()}: {directory} has a configuration of its own; {_allowed()}"
            )
        elif key != "resume":
            _refuse_change(_as_named(key), _said(cfg, key), _said(stored, key), directory)
    stored.resume = cfg.resume
    return stored


def refuse_changes(directory: Path, started: str, config: str) -> None:
    """Raises `ConfigError` when a sweep that was `started` with one configuration (YAML) is to go on with another."""
    before, now = (dict(_flat(OmegaConf.to_container(_typed(yaml)))) for yaml in (started, config))
    for key in before | now:
        if key.partition(".")[0] not in (*RESUMABLE, "resume", "reproduce"):
            _refuse_change(key, now.get(key), before.get(key), directory)


def read(directory: Path) -> Config:
    """The configuration that the sweeps in a directory have; raises `ConfigError` where there is none."""
    config = OmegaConf.to_object(_stored(directory))
    assert isinstance(config, Config)
    return config


def parsed(yaml: str) -> Config:
    """The configuration that a journal has; raises `ConfigError` where this code knows no such one."""
    try:
        config = OmegaConf.to_object(_typed(yaml))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"the recorded configuration is none of this version's: {error}") from error
    assert isinstance(config, Config)
    return config


def as_yaml(config: Config) -> str:
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _stored(directory: Path) -> DictConfig:
    path = directory / FILE
    if not directory.is_dir():
        raise ConfigError(f"resume={directory}: no such directory")
    if not path.is_file():
        hint = f"; did you mean {directory.parent}?" if (directory.parent / FILE).is_file() else ""
        raise ConfigError(f"resume={directory}: no sweep was started there, {FILE} is missing{hint}")
    try:
        return _typed(path.read_text(encoding="utf-8"))
    except (OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
        raise ConfigError(f"{path}: not a configuration: {error}") from error


def _typed(yaml: str) -> DictConfig:
    typed = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(yaml))
    assert isinstance(typed, DictConfig)
    return typed


def _said(cfg: DictConfig, key: str) -> Any:
    if key == "data":
        return ",".join(sorted(map(str, cfg.datasets)))
    return OmegaConf.select(cfg, _as_named(key))


def _as_named(key: str) -> str:
    return f"{key}.name" if key in NAMED else key


def _refuse_change(key: str, now: Any, before: Any, directory: Path) -> None:
    if now != before:
        raise ConfigError(f"{key}={now}: {directory} was started with {key}={before}; {_allowed()}")


def _allowed() -> str:
    return f"on resume only {', '.join(RESUMABLE)} may change"


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _flat(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node
