"""The check of the folder in which MLflow writes everything that it is about to log or has downloaded."""

from __future__ import annotations

import tempfile

from conf.schema import ConfigError

PROBE = 1 << 20  # bytes; a journal or a report may take as much


def check() -> None:
    """Raise `ConfigError` if it cannot be written or is full."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(PROBE))
            file.flush()
    except OSError as error:
        folder = f"the temporary folder {tempfile.tempdir}: " if tempfile.tempdir else ""
        raise ConfigError(f"{folder}{error.strerror}; make room there, or name another one in TMPDIR") from error
