"""TensorFlow's start-up messages, which no setting of its own keeps from the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_native_logs() -> Iterator[None]:
    """Keep what native code writes to standard error off the terminal, unless the block raises: then show it.

    TF_CPP_MIN_LOG_LEVEL does not hold for what is logged while TensorFlow loads ("Could not find cuda drivers").
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
