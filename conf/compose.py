"""Command line -> validated `Config`s, and Hydra's errors in one line.

Hydra only composes here: the task function collects the configurations, so that every job of a multirun is checked
before the first one starts, and a mistake leaves nothing behind.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError

from conf import resume
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
    jobs: list[Job | ConfigError] = []

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)
    def collect(cfg: DictConfig) -> None:
        overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        assert isinstance(overrides, list)
        try:
            jobs.append(job(cfg, overrides))
        except ConfigError as error:  # raised here, Hydra would print lines of its own around it
            jobs.append(error)

    # Without this Hydra prints its own errors and exits; with it they come here, to be told in one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _check_groups(sys.argv[1:])
    # Hydra lets only `++` override a mapping by one with other keys; what is not a hyperparameter is refused later.
    arguments = [re.sub(r"^(model|optimizer)\.space\.", r"++\g<0>", argument) for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as scratch:  # for what Hydra writes about a multirun
        # Beside another override: those before and after a flag are too many for argparse.
        overrides = [n for n, argument in enumerate(arguments) if "=" in argument and not argument.startswith("-")]
        arguments.insert(overrides[0] if overrides else len(arguments), f"hydra.sweep.dir={scratch}")
        sys.argv[1:] = arguments
        try:
            with _usage_in_one_line():
                collect()
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            raise ConfigError(explain(error)) from error
    for composed in jobs:
        if isinstance(composed, ConfigError):
            raise composed
        if composed.config.resume is not None and len(jobs) > 1:
            raise ConfigError(f"resume={composed.config.resume}: goes on with one job, -m asks for {len(jobs)}")
    return [composed for composed in jobs if isinstance(composed, Job)]


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """What argparse says of a wrong flag, without the usage above it."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as exit_:
        if exit_.code != 2:
            raise
        reason = said.getvalue().rstrip().rpartition("error: ")[2]
        raise ConfigError(f"{reason}; see --help") from exit_


def _check_groups(arguments: Sequence[str]) -> None:
    """Refuse what Hydra would take for a group without a word, or refuse without naming it."""
    for argument in arguments:
        key, is_override, value = argument.partition("=")
        if is_override and not key:
            raise ConfigError(f"{argument}: not of the form key=value")
        if not is_override or key not in GROUPS:
            continue
        if value in ("", "null") or value.startswith("{") or value.replace(".", "").isdecimal():
            raise ConfigError(f"{argument}: allowed: {', '.join(_options(key))}")
        if key != "data" and value.startswith("["):
            options = ",".join(value.strip("[]").split(","))
            raise ConfigError(f"{argument}: one option only; for several sweeps: -m {key}={options}")


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / group).glob("*.yaml"))


def job(cfg: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Check a composed configuration; `overrides` are the command line's."""
    try:
        if cfg.resume is not None:
            cfg = resume.restore(cfg, overrides)
        else:
            _replace_hyperparameters(cfg, overrides)
        _make_paths_absolute(cfg)
        config = OmegaConf.to_object(cfg)
        cfg.resume = None  # where a sweep is kept is no part of what it is
        yaml = OmegaConf.to_yaml(cfg, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    _refuse_extra_keys(config)
    return Job(config, yaml)


def _make_paths_absolute(cfg: DictConfig) -> None:
    """A sweep may be resumed in another folder."""
    for data in cfg.datasets.values():
        if data.archive is not None:
            data.archive = str(Path(data.archive).expanduser().resolve())
        if data.text.words is not None:
            data.text.words = str(Path(data.text.words).expanduser().resolve())


def _replace_hyperparameters(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Hydra merges a hyperparameter into the one that it overrides; one that names its kind is meant whole."""
    replaced: set[str] = set()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = str(override.key_or_group), override.value()
        hyperparameter = ".".join(key.split(".")[:3])
        if ".space." in key and isinstance(value, dict) and "kind" in value:
            OmegaConf.update(cfg, key, value, merge=False)
            replaced.add(hyperparameter)
        elif hyperparameter in replaced:  # what came after it on the command line holds again
            OmegaConf.update(cfg, key, value, merge=True, force_add=True)


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
    given = str(error).splitlines()[0].removeprefix("Error merging override ").replace("++", "")
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        options = error.options or _options(group)
        return f"{group}={option}: no such option; allowed: {', '.join(options)}{did_you_mean(option, options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override.lstrip('+')}: not of the form key=value ({given})"
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: has no value"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        override = re.search(r"use \+(\S.*)", str(error))  # Hydra repeats it in its advice to append
        value = f", given {override[1].lstrip('+')}" if override else ""
        return f"{cause.full_key}: no such key{value}{_near_keys(cause)}"
    if isinstance(cause, ValidationError):
        reason = str(cause.msg).splitlines()[0] if cause.msg else str(cause).splitlines()[0]
        return f"{given if '=' in given else cause.full_key}: {reason}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{given if '=' in given else cause.full_key}: {str(cause).splitlines()[0]}"
    said = str(error).partition("\n\n")[0]  # what follows are search paths, or a link
    return " ".join(line for line in said.splitlines() if not line.startswith("See https://"))


def _near_keys(cause: OmegaConfBaseException) -> str:
    parent = cause.parent_node
    keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
    if cause.full_key and "." not in cause.full_key:
        keys = sorted({*keys, *GROUPS} - {"datasets"})
    hint = did_you_mean(str(cause.full_key).rpartition(".")[2], keys)
    return hint or (f"; allowed: {', '.join(keys)}" if keys else "")
