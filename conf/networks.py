"""Several networks in one sweep: `model=[bag,cnn]` makes a section `networks.<name>` for each of them.

Hydra by itself would merge the listed options into one section, with the last one's builder over a union of spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from conf.arguments import GROUPS_OF_ONE
from conf.schema import Config, ConfigError, did_you_mean

OF_ALL = "model.space."  # the hyperparameters of every network; those of one are in `networks.<name>.space`
SPACES = re.compile(r"(model|networks\.[^.=]+)\.space\.")
HYPERPARAMETER = re.compile(r"networks\.[^.]+\.space\.[^.]+")


def expanded(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of one job as Hydra can compose them, where `model=` lists networks.

    Those of their spaces are left to `complete`: a section of all networks has to be merged into each one before them.
    """
    sections = with_sections(overrides)
    if len(sections) == len(overrides):  # one network
        return sections
    return [override for override in sections if not SPACES.match(override.removeprefix("++"))]


def with_sections(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of one job with a section for each network that `model=` lists."""
    lines: list[str] = []
    chosen = [override for override in overrides if override.startswith("model=")]
    if len(chosen) > 1 and any(map(_networks, chosen)):
        raise ConfigError(f"{chosen[-1]}: {chosen[0]} is given too")
    for override in overrides:
        names = _networks(override)
        if len(names) == 1:
            lines.append(f"model={names[0]}")
        elif names:
            lines += ["~model", *(f"+model@networks.{name}={name}" for name in names)]
        else:
            lines.append(override)
    return lines


def _networks(override: str) -> list[str]:
    """Return the networks that an override lists; none if it is another override. Raises `ConfigError` for others."""
    parsed = _parsed([override])[0] if override.startswith("model=[") else None
    if parsed is None or parsed.is_sweep_override():
        return []
    value = parsed.value()
    names = [str(name) for name in value] if isinstance(value, list) else []
    if not names or not all(re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII) for name in names):
        raise ConfigError(f"{override}: must be a list of networks, e.g. model=[bag,lstm]")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{override}: {name} is listed twice")
    return names


def refuse_merged(cfg: DictConfig) -> None:
    """Raise `ConfigError` if Hydra merged several options of a group, the last one's name over the values of all.

    `cfg` has Hydra's own section, in whose choices a group with several options is missing.
    """
    missing = [group for group in GROUPS_OF_ONE if group not in cfg.hydra.runtime.choices]
    if not missing:
        return
    overrides = [*cfg.hydra.overrides.hydra, *cfg.hydra.overrides.task]
    loader = GlobalHydra.instance().config_loader()
    defaults = loader.compute_defaults_list(cfg.hydra.job.config_name, overrides, RunMode.RUN).defaults
    for group in missing:
        paths = [default.config_path or "" for default in defaults if default.package == group]
        options = [path.removeprefix(f"{group}/") for path in paths if path.startswith(f"{group}/")]
        if len(options) > 1:
            raise ConfigError(f"{group}: Hydra would merge {' and '.join(options)} into one; one option only")


def complete(cfg: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Name the sweep of several networks, and give each of them the hyperparameters that are given for all.

    Returns the overrides of the command line with those for all networks repeated for each one.
    """
    if not cfg.networks:
        return list(overrides)
    repeated = list(_repeated(overrides, list(map(str, cfg.networks))))
    for network in cfg.networks.values():
        with open_dict(network):
            network.space = OmegaConf.merge(network.space, cfg.model.space)
    for override in _parsed(repeated):
        key, value = str(override.key_or_group), override.value()
        if SPACES.match(key) and not override.is_delete():
            _refuse_another(cfg, key)
            if not (isinstance(value, list) and HYPERPARAMETER.fullmatch(key)):  # that becomes a choice later
                OmegaConf.update(cfg, key, value, merge=True, force_add=True)
    if OmegaConf.is_missing(cfg.model, "name"):
        cfg.model.name = "-".join(str(network.name) for network in cfg.networks.values())
    without_builder(cfg)
    return repeated


def without_builder(cfg: DictConfig) -> None:
    """Leave building to the networks, if there are several: then the section `model` is but their name."""
    if cfg.networks and OmegaConf.is_missing(cfg.model, "build"):
        cfg.model.build, cfg.model.space = "", {}


def check(config: Config) -> None:
    """Raise `ConfigError` if the trials are too few for the networks' defaults, each of which is a trial."""
    networks = config.networks
    if config.trials < len(networks) and config.reproduce is None:
        raise ConfigError(
            f"trials={config.trials}: model=[{','.join(networks)}] needs at least {len(networks)}, "
            "one for the defaults of each network"
        )


def without_empty(plain: DictConfig) -> None:
    """Take the sections from a configuration that its one network, or its several, would leave empty."""
    with open_dict(plain):
        if not plain.networks:
            del plain.networks
        else:
            del plain.model.build, plain.model.space


def _repeated(overrides: Sequence[str], networks: Sequence[str]) -> Iterator[str]:
    for override in overrides:
        mark, rest = ("++", override.lstrip("+")) if override.startswith("+") else ("", override)
        if rest.startswith(OF_ALL):
            yield from (f"{mark}networks.{name}.space.{rest.removeprefix(OF_ALL)}" for name in networks)
        else:
            yield override


def _refuse_another(cfg: DictConfig, key: str) -> None:
    name = key.split(".")[1]
    if name not in cfg.networks:
        names = list(map(str, cfg.networks))
        raise ConfigError(f"{key}: model=[{','.join(names)}] has no such network{did_you_mean(name, names)}")


def _parsed(overrides: Sequence[str]) -> list[Override]:
    parsed: list[Override] = OverridesParser.create().parse_overrides(list(overrides))
    return parsed
