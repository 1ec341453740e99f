"""The conditions of MLflow's searches: the one place where a value from outside becomes a part of one."""

from __future__ import annotations

from conf.schema import ConfigError


def equals(column: str, value: str) -> str:
    """Return the condition that a column has a value.

    MLflow's grammar escapes nothing: a quote can stand between quotes of the other kind alone. Raises `ConfigError` for
    a value that neither kind can hold.
    """
    if "'" not in value and not value.endswith("\\"):  # which would escape the single quote alone
        return f"{column} = '{value}'"
    if '"' not in value:
        return f'{column} = "{value}"'
    raise ConfigError(f"{value}: a name in which MLflow cannot search: it may have ' or \", but not both")
