"""From the command line of a sweep to checked configurations, and Hydra's errors in one line.

Hydra only composes here. Every job of a multirun is checked before the first one starts, and a mistake leaves nothing
behind.
"""

from __future__ import annotations

import glob
import io
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError

from conf import arguments, habits, networks, secrets, stored, tables
from conf.arguments import GROUPS, GROUPS_OF_ONE, MULTIRUN
from conf.schema import SEARCHABLE, Config, ConfigError, Data, Job, did_you_mean

# Hydra lets only `++` add a key to a mapping, or override a mapping by one with other keys. Anything that is neither a
# hyperparameter nor an option of the tuner is refused by `sweeps.session.checks`.
SPACE = r"(model|optimizer|(?:networks|datasets)\.[^.=]+)\.space\."
FREE_KEYS = re.compile(rf"^\+{{0,2}}(?=({SPACE}|tuner\.))")

# A hyperparameter, and one that is given a list.
HYPERPARAMETER = re.compile(rf"^{SPACE}[^.=]+")
LISTED = re.compile(rf"^\+\+{SPACE}[^.=]+=\[.*\]$")

# Hydra's main function would close the handlers of all loggers of this process, and with them another's streams.
NO_LOGGING = ("hydra/job_logging=none", "hydra/hydra_logging=none")

# What OmegaConf says -> what that means on a command line.
MEANINGS = {
    "^Cannot merge (DictConfig|ListConfig)": (
        "a list and a mapping cannot be merged; a choice is written {kind: Choice, values: [1, 2], default: 1}"
    ),
    "dict is not a subclass of Data": "data= names no such dataset",
    "dict is not a subclass of Buildable": "model= lists no such network",
    r"^Cannot assign \w+ to Dict|is not a subclass of": "must be a mapping, {key: value}",
    r"^Value ('.*') of type .* could not be converted to Integer$": r"\1 is not a whole number",
    r"^Value ('.*') of type .* could not be converted to Float$": r"\1 is not a number",
    r"^Value ('.*') is not a valid bool": r"\1 is neither true nor false",
    "is not Optional$": "must have a value, not null",
    "does not support deletion$": "must be there; to change it, give its keys other values",
}


def compose(config_name: str = "sweep") -> list[Job]:
    """Return the jobs that `sys.argv` asks for: one, or several with `-m`; none for `--help`, `--cfg` and the like.

    Raises `ConfigError` for every mistake of the user's.
    """
    habits.refuse(sys.argv[1:])
    _check_groups(sys.argv[1:])
    line = [FREE_KEYS.sub("++", argument) for argument in arguments.prepared(sys.argv[1:])]
    multirun = any(argument in MULTIRUN for argument in line)
    overrides = [argument for argument in line if argument not in MULTIRUN]
    ConfigStore.instance().store(name="schema", node=Config)
    try:
        if any(argument.startswith("-") for argument in overrides):
            jobs = _jobs_with_flags(config_name, line if multirun else tables.expanded(line, _options("data")))
        else:
            jobs = _jobs(config_name, overrides, multirun=multirun)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(explain(error)) from error
    for composed in jobs:
        if composed.config.resume is not None and len(jobs) > 1:
            raise ConfigError(f"resume={composed.config.resume}: goes on with one job, -m asks for {len(jobs)}")
    return jobs


def _jobs(config_name: str, overrides: list[str], *, multirun: bool) -> list[Job]:
    with hydra.initialize_config_dir(str(Path(__file__).parent.resolve()), version_base="1.3"):
        lines = _multirun(overrides) if multirun else [overrides]
        lines = [tables.expanded(line, _options("data")) for line in lines]
        return [job(_composed(config_name, line), _without_hydra(line)) for line in lines]


def _composable(line: Sequence[str]) -> list[str]:
    """Return the overrides that Hydra composes; the others are left to `job`."""
    # A list over a mapping is no error here: `_replace_hyperparameters` makes a choice of it.
    return [override for override in networks.expanded(line) if not LISTED.match(override)]


def _composed(config_name: str, line: Sequence[str]) -> DictConfig:
    cfg = hydra.compose(config_name, _composable(line), return_hydra_config=True)
    networks.refuse_merged(cfg)
    with open_dict(cfg):
        del cfg.hydra
    return cfg


def _multirun(overrides: list[str]) -> list[list[str]]:
    """Return the overrides of each job: every combination of the values of the keys that have several."""
    choices = []
    for override in OverridesParser.create().parse_overrides(overrides):
        if override.is_sweep_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([str(override.input_line)])
    return [list(line) for line in itertools.product(*choices)]


def _without_hydra(overrides: list[str]) -> list[str]:
    parsed = OverridesParser.create().parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if not override.is_hydra_override()]


def _jobs_with_flags(config_name: str, line: list[str]) -> list[Job]:
    """Let Hydra's own main function interpret its flags: `--help`, `--cfg`, `--config-dir` and the others."""
    collected: list[Job | ConfigError] = []
    composes = all(re.match("(-cd|--config-(dir|path|name))(=|$)|[^-]", argument) for argument in line)
    # Side by side: argparse does not take overrides both before and after a flag.
    given = [argument for argument in line if re.match("~|[^-][^=]*=", argument)]
    flags = [argument for argument in line if argument not in given]
    kept = _composable(given) if composes else networks.with_sections(given)
    left = [argument for argument in given if composes and argument not in kept]

    @hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)
    def collect(cfg: DictConfig) -> None:
        overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        assert isinstance(overrides, list)
        try:
            networks.refuse_merged(OmegaConf.create({**cfg, "hydra": HydraConfig.get()}))
            collected.append(job(cfg, overrides + left))
        except ConfigError as error:  # raised here, Hydra would print lines of its own around it
            collected.append(error)

    # Without this Hydra prints its errors itself and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    before = sys.argv
    with tempfile.TemporaryDirectory() as scratch:  # for the files that Hydra writes about a multirun
        sys.argv = [before[0], f"hydra.sweep.dir={scratch}", *NO_LOGGING, *kept, *flags]
        try:
            with _usage_in_one_line():
                collect()
        finally:
            sys.argv = before
    for composed in collected:
        if isinstance(composed, ConfigError):
            raise composed
    return [composed for composed in collected if isinstance(composed, Job)]


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """Turn argparse's complaint about a wrong flag into a `ConfigError` without the usage above it."""
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            yield
    except SystemExit as exit_:
        if exit_.code != 2:
            raise
        reason = complaint.getvalue().rstrip().rpartition("error: ")[2]
        raise ConfigError(f"{reason}; see --help") from exit_


def _check_groups(arguments: Sequence[str]) -> None:
    """Refuse the values that Hydra would silently take for an option of a group, or refuse without naming it."""
    for argument in arguments:
        key, is_override, value = argument.partition("=")
        if is_override and not key:
            raise ConfigError(f"{argument}: not of the form key=value")
        if key.lstrip("+") == "tuner.name":
            raise ConfigError(f"{argument}: would only rename the tuner; to choose one: tuner={value}")
        if is_override and key.lstrip("+") in GROUPS_OF_ONE and key.startswith("+"):
            raise ConfigError(f"{argument}: would be merged into another option; to choose it: {argument.lstrip('+')}")
        if not is_override or key not in GROUPS:
            continue
        if value in ("", "null") or value.startswith("{") or value.replace(".", "").isdecimal():
            raise ConfigError(f"{argument}: allowed: {', '.join(_options(key))}")
        if key not in ("data", "model") and value.startswith("["):
            options = ",".join(value.strip("[]").split(","))
            raise ConfigError(f"{argument}: one option only; for several sweeps: -m {key}={options}")


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / group).glob("*.yaml"))


def job(cfg: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Check a composed configuration; `overrides` are those of the command line."""
    try:
        if OmegaConf.get_type(cfg) is not Config:  # a stored one, which `--config-path` names
            cfg = stored.typed(cfg)
        overrides = networks.complete(cfg, overrides)
        if cfg.resume is not None:
            cfg = stored.restore(cfg, overrides)
        else:
            _replace_hyperparameters(cfg, overrides)
            _complete_settings(cfg)
        _make_paths_absolute(cfg)
        config = OmegaConf.to_object(cfg)
        # The place of a sweep, and whether a page shows it, are no part of its configuration.
        cfg.resume, cfg.ui = None, False
        yaml = stored.written(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    _refuse_extra_keys(config)
    networks.check(config)
    for _, address in config.addresses():
        secrets.remember(address or "")
    return Job(config, yaml)


def _make_paths_absolute(cfg: DictConfig) -> None:
    """Make the paths of data absolute, because a sweep may be resumed in another folder."""
    for data in cfg.datasets.values():
        if data.archive is not None and "://" not in data.archive:
            data.archive = str(Path(os.path.expanduser(data.archive)).resolve())
        if data.text.words is not None and "://" not in data.text.words:
            data.text.words = str(Path(os.path.expanduser(data.text.words)).resolve())
        data.files = [tables.absolute(path) for path in data.files]
        if isinstance(data.test, str | ListConfig):
            files = [data.test] if isinstance(data.test, str) else data.test
            data.test = [tables.absolute(str(path)) for path in files]


def _replace_hyperparameters(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Replace a hyperparameter by an override that names its kind, or lists values; Hydra would merge the two."""
    replaced: set[str] = set()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = str(override.key_or_group), override.value()
        hyperparameter = HYPERPARAMETER.match(key)
        if hyperparameter is None:
            continue
        if LISTED.match(str(override.input_line)):
            section = key.rpartition(".space.")[0]
            if OmegaConf.select(cfg, section) is None:
                hint = did_you_mean(section.removeprefix("datasets."), map(str, cfg.datasets))
                raise ConfigError(f"{key}={value}: data= names no such dataset{hint}")
            value = _choice(str(override.input_line), value, _before(cfg, key))
        if isinstance(value, dict) and "kind" in value:
            OmegaConf.update(cfg, key, value, merge=False, force_add=True)
            replaced.add(hyperparameter[0])
        elif hyperparameter[0] in replaced:  # a later override of the replaced hyperparameter
            OmegaConf.update(cfg, key, value, merge=True, force_add=True)


def _complete_settings(cfg: DictConfig) -> None:
    """Give each searched setting of a dataset its configured value as its default; a fixed one is just set."""
    for section, data in cfg.datasets.items():
        for name, entry in list(data.space.items()):
            key = f"datasets.{section}.{name}"
            if name not in SEARCHABLE or OmegaConf.is_missing(data, name):
                continue  # is refused with all other mistakes
            if isinstance(entry, DictConfig) and entry.get("default") is None:
                OmegaConf.update(cfg, f"datasets.{section}.space.{name}.default", data[name], force_add=True)
            elif not isinstance(entry, DictConfig | ListConfig):
                OmegaConf.update(cfg, key, entry)
                with open_dict(data.space):
                    del data.space[name]


def _before(cfg: DictConfig, key: str) -> Any:
    """Return what has the default of a hyperparameter before it is listed: for a setting of a dataset, its value."""
    section, _, name = key.rpartition(".space.")
    is_setting = section.startswith("datasets.") and name in SEARCHABLE
    return OmegaConf.select(cfg, f"{section}.{name}" if is_setting else key)


def _choice(argument: str, values: Any, before: Any) -> dict[str, Any]:
    """Return the choice among listed values; its default is the hyperparameter's, which must be among them."""
    default = before.get("default") if isinstance(before, DictConfig) else before
    if default is None and values:
        default = values[0]
    if default not in values and values and not isinstance(values[0], list | dict):
        key, _, listed = argument.lstrip("+").partition("=")
        first = listed.strip("[]").partition(",")[0]
        setting = key.replace(".space.", ".") if key.startswith("datasets.") else ""
        choice = f"'{key}={{kind: Choice, values: {listed}, default: {first}}}'"
        remedy = f"{setting}={first}" if setting else choice
        raise ConfigError(
            f"{key}={listed}: the default is {default}, which is not in the list; with another default: {remedy}"
        )
    return {"kind": "Choice", "values": values, "default": default}


def _refuse_extra_keys(node: Any, prefix: str = "") -> None:
    """Refuse keys that `+key=value` added and that nothing would ever read."""
    names = [spec.name for spec in fields(node)]
    for name, child in vars(node).items():
        if name not in names:
            raise ConfigError(f"{prefix}{name}={child}: no such key{did_you_mean(name, names)}")
        for key, value in child.items() if isinstance(child, dict) else [("", child)]:
            if is_dataclass(value):
                _refuse_extra_keys(value, f"{prefix}{name}.{key}." if key else f"{prefix}{name}.")


def explain(error: Exception) -> str:
    """Put an error of Hydra's or OmegaConf's into one line for the user."""
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    first_line = str(error).splitlines()[0].removeprefix("Error merging override ").replace("++", "")
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        options = error.options or _options(group)
        files = glob.glob("*.*") if group == "data" else []
        allowed = ", ".join(options) + (", and the path of a table" if group == "data" else "")
        return f"{group}={option}: no such option; allowed: {allowed}{did_you_mean(option, [*options, *files])}"
    if isinstance(error, OverrideParseException):
        argument = error.override.lstrip("+")
        return f"{argument}: not of the form key=value; {arguments.remedy(argument) or first_line}"
    if isinstance(cause, MissingMandatoryValue):
        dataset = re.match(r"datasets\.(\w+)\.", cause.full_key or "")
        remedy = f"; if an experiment has settings of {dataset[1]}, give data={dataset[1]} too" if dataset else ""
        return f"{cause.full_key}: has no value{remedy}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        override = re.search(r"use \+(\S.*)", str(error))  # Hydra repeats it in its advice to append
        value = f", given {override[1].lstrip('+')}" if override else ""
        return f"{cause.full_key}: no such key{value}{_near_keys(cause)}"
    in_file = re.match(r"In '(.+?)': ValidationError raised", first_line)
    if in_file and isinstance(error.__context__, ValidationError):
        return f"{in_file[1]}: {error.__context__.full_key}: {_reason(error.__context__)}"
    if isinstance(cause, ValidationError):
        return f"{first_line if '=' in first_line else cause.full_key}: {_reason(cause)}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{first_line if '=' in first_line else cause.full_key}: {_reason(cause)}"
    if ambiguous := re.match(r"Ambiguous value for argument '(?:\+\+)?(.*?)=(.*)'$", str(error).splitlines()[0]):
        key, values = ambiguous.groups()
        return f"{key}={values}: one value only; a list: {key}=[{values}]; a job for each: --multirun {key}={values}"
    message = str(error).partition("\n\n")[0].replace("++", "")  # search paths or a link follow
    return " ".join(line for line in message.splitlines() if not line.startswith("See https://"))


def _reason(cause: OmegaConfBaseException) -> str:
    reason = str(cause.msg or cause).splitlines()[0]
    for pattern, meaning in MEANINGS.items():
        if found := re.search(pattern, reason):
            return found.expand(meaning)
    failed = re.fullmatch(r"\w+ raised while resolving interpolation: \W?(.*?)\W?", reason)
    return failed[1] if failed else reason


def _near_keys(cause: OmegaConfBaseException) -> str:
    parent = cause.parent_node
    keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
    if cause.full_key and "." not in cause.full_key:
        if isinstance(parent, DictConfig) and cause.full_key in {each.name for each in fields(Data)}:
            named = list(parent.get("datasets") or ())
            return f"; of a dataset: datasets.{named[0] if len(named) == 1 else '<name>'}.{cause.full_key}"
        keys = sorted({*keys, *GROUPS} - {"datasets", "hydra"})
    hint = did_you_mean(str(cause.full_key).rpartition(".")[2], keys)
    return hint or (f"; allowed: {', '.join(keys)}" if keys else "")
