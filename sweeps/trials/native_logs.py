"""A filter for TensorFlow's start-up messages, which none of its own settings keeps off the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_native_logs() -> Iterator[None]:
    """Hold back what native code writes to standard error; it is shown only if the block raises an error.

    TF_CPP_MIN_LOG_LEVEL has no effect on what is logged while TensorFlow loads ("Could not find cuda drivers").
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
