"""Refuse what works in other programs that are built on Hydra and would do nothing here: Hydra only composes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise

from conf.schema import Config, ConfigError

PLACE = "a sweep makes its own directory in outputs/, below the folder in which the command is started"
LOGS = "the terminal shows what happens, and the journal in outputs/ keeps it"
# The beginning of an override of Hydra's own settings -> what to use instead.
INSTEAD_OF_SETTING = {
    r"(run|sweep(?!er)|output_subdir|job\.chdir|runtime)": PLACE,
    "launcher": "trials run on engine.workers=… processes, or on a Dask cluster with engine=cluster",
    "sweeper": "tuner=… chooses the trials, and -m key=a,b makes a sweep for each value",
    "mode": "-m key=a,b makes a sweep for each value",
    "(job_logging|hydra_logging|verbose)": LOGS,
    r"job\.env": "variables are set before the command: NAME=value text-sweeps sweep …",
    "job": "a sweep is named after its model and the time; tracking.experiment=… names its experiment in MLflow",
    "callbacks": "nothing calls them",
    "": "nothing reads it",
}
INSTEAD_OF_FLAG = {
    ("--shell-completion", "-sc"): 'eval "$(text-sweeps completion bash)"',
    ("--hydra-help",): "--help, and --help all",
    ("--version",): "text-sweeps --version",
    ("--experimental-rerun",): "resume=outputs/<sweep> goes on, reproduce=<run id> repeats a trial",
}
KEYS = {field.name for field in fields(Config)} | {"experiment"}
COMPOSING = "hydra.searchpath"  # has its effect while Hydra composes


def refuse(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for a setting or a flag of Hydra's that would be ignored."""
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+~")
        setting = re.match(r"hydra(?:[./]|$)", key)
        if setting and argument != "hydra" and key != COMPOSING:
            rest = key[setting.end() :]
            instead = next(words for start, words in INSTEAD_OF_SETTING.items() if re.match(start, rest))
            raise ConfigError(f"{argument}: has no effect here; {instead}")
        for flags, instead in INSTEAD_OF_FLAG.items():
            if key in flags:
                raise ConfigError(f"{argument}: not here; {instead}")
    _refuse_dashes(arguments)
    names = [argument.partition("=")[0] for argument in arguments]
    if {"-p", "--package"} & {*names} and not {"-c", "--cfg"} & {*names}:
        raise ConfigError("--package: has no effect without --cfg, which it narrows: --cfg job --package model")


def _refuse_dashes(arguments: Sequence[str]) -> None:
    """Refuse `--trials=3` and `--trials 3`, as other programs write them, with the form that is read here."""
    for argument, following in pairwise([*arguments, ""]):
        flag, equals, value = argument.partition("=")
        key = flag.removeprefix("--").replace("-", "_")
        if flag.startswith("--") and key.partition(".")[0] in KEYS:
            separate = following if not equals and not re.search("^-|=", following) else value
            raise ConfigError(f"{argument}: a key is written without dashes: {key}={separate or '…'}")
