"""The command lines of the jobs beside the sweep: `key=value`, and nothing to compose."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from conf.schema import ConfigError, did_you_mean


def show_help(arguments: Sequence[str], text: str | None) -> None:
    """End with a command's own help, if its arguments ask for that."""
    if {"-h", "--help"} & set(arguments):
        print(text)
        sys.exit()


def read_options(arguments: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
    """What each key was given, of several values the last; raises `ConfigError` for anything else."""
    given = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in allowed or not value:
            raise ConfigError(f"{argument}: allowed: {'=…, '.join(allowed)}=…{did_you_mean(key, allowed)}")
        given[key] = value
    return given
