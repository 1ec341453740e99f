"""Command line -> validated `Config`s, and Hydra's errors in one line.

Hydra only composes here: the task function collects the configurations, so that every job of a multirun is checked
before the first one starts, and a mistake leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from conf.schema import Config, ConfigError, did_you_mean

GROUPS = ("data", "model", "optimizer", "tuner", "stopping", "engine", "experiment")


@dataclass(frozen=True)
class Job:
    """One composed job: the configuration as objects and as the YAML that reproduces it."""

    config: Config
    yaml: str


def compose(config_name: str = "sweep") -> list[Job]:
    """The jobs that `sys.argv` asks for: one, or with `-m` several; none for `--help`, `--cfg` and the like.

    Raises `ConfigError` for anything the user got wrong.
    """
    jobs: list[Job] = []

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)
    def collect(cfg: DictConfig) -> None:
        overrides = list(HydraConfig.get().overrides.task)
        try:
            jobs.append(job(cfg, overrides))
        except ConfigError as error:
            mistakes.append(error)

    # Raised inside the task, Hydra would print its own lines around an error; so it is raised here.
    mistakes: list[ConfigError] = []
    # Without this Hydra prints its own errors and exits; with it they come here, to be told in one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Hydra lets only `++` override a mapping by one with other keys; what is not a hyperparameter is refused later.
    sys.argv[1:] = [re.sub(r"^(model|optimizer)\.space\.", r"++\g<0>", argument) for argument in sys.argv[1:]]
    try:
        collect()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error)) from error
    if mistakes:
        raise mistakes[0]
    return jobs


def job(cfg: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Check a composed configuration; `overrides` are the command line's, as Hydra parsed them."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = override.key_or_group, override.value()
        if key in GROUPS and key != "data" and isinstance(value, list):
            options = ",".join(map(str, value))
            raise ConfigError(f"{key}={value}: one option only; for several sweeps: -m {key}={options}")
        # Hydra would merge a hyperparameter into the one it replaces; one that names its kind is meant whole.
        if ".space." in str(key) and isinstance(value, dict) and "kind" in value:
            OmegaConf.update(cfg, key, value, merge=False)
    try:
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    _refuse_extra_keys(config)
    return Job(config, OmegaConf.to_yaml(cfg, resolve=True))


def _refuse_extra_keys(node: Any, prefix: str = "") -> None:
    """`+key=value` adds keys that the schema does not know; nothing would ever read them."""
    names = [spec.name for spec in fields(node)]
    for name, child in vars(node).items():
        if name not in names:
            raise ConfigError(f"{prefix}{name}={child}: no such key{did_you_mean(name, names)}")
        for key, value in child.items() if isinstance(child, dict) else [("", child)]:
            if is_dataclass(value):
                _refuse_extra_keys(value, f"{prefix}{name}.{key}." if key else f"{prefix}{name}.")


def explain(error: Exception) -> str:
    """What a user should read of an error of Hydra's or OmegaConf's: one line."""
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    given = str(error).splitlines()[0].removeprefix("Error merging override ")
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        options = ", ".join(error.options)
        return f"{group}={option}: no such option; allowed: {options}{did_you_mean(option, error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not of the form key=value ({given})"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return f"{cause.full_key}: no such key{_near_keys(cause)}"
    if isinstance(cause, ValidationError):
        reason = str(cause.msg).splitlines()[0] if cause.msg else str(cause).splitlines()[0]
        return f"{given if '=' in given else cause.full_key}: {reason}"
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("See https://"))


def _near_keys(cause: OmegaConfBaseException) -> str:
    parent = cause.parent_node
    keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
    if cause.full_key and "." not in cause.full_key:
        keys = sorted({*keys, *GROUPS} - {"datasets"})
    hint = did_you_mean(str(cause.full_key).rpartition(".")[2], keys)
    return hint or (f"; allowed: {', '.join(keys)}" if keys else "")
