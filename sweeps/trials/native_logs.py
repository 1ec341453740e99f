"""Filters for the messages of TensorFlow and the libraries below it, which no setting of theirs keeps off the terminal.

TF_CPP_MIN_LOG_LEVEL has no effect on what is logged while TensorFlow loads ("Could not find cuda drivers"), nor on what
is logged when a network first runs on a GPU ("Loaded cuDNN version").
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from conf.schema import ConfigError
from sweeps.errors import SweepError


@contextmanager
def without_native_logs() -> Iterator[None]:
    """Hold back what is written to standard error; it is shown only if the block raises an error that nobody expects.

    An expected one is shown as one line, which says it all.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except (ConfigError, SweepError, OSError):
            raise
        except Exception:
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def drop_native_logs() -> None:
    """Let only Python write to standard error for as long as this process lives; what native code writes is dropped."""
    before = sys.stderr
    before.flush()
    sys.stderr = open(os.dup(2), "w", buffering=1, encoding=before.encoding, errors=before.errors)  # noqa: SIM115
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
