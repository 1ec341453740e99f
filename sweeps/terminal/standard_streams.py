"""Standard output and standard error whose reader may go away, as in `… | head -2` or when a terminal is closed."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from errno import EBADF, EIO, EPIPE
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STREAMS = ("stdin", "stdout", "stderr")  # of the descriptors 0, 1 and 2


class _Unread(io.FileIO):
    """A stream whose text is dropped when nobody can read it any more."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in (EPIPE, EIO):
                raise
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let this process go on when nobody reads what it prints. A stream that was closed is opened to nowhere.

    Without that the next file that is opened would get the stream's descriptor, and everything printed.
    """
    for descriptor, name in enumerate(STREAMS):
        _keep_open(descriptor)
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", closefd=False))  # noqa: SIM115
        elif descriptor and stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _without_reader(stream, descriptor))


def _keep_open(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError as error:
        if error.errno != EBADF:
            raise
        os.open(os.devnull, os.O_RDWR)  # the lowest that is free: those below are open


def _without_reader(stream: io.TextIOWrapper, descriptor: int) -> io.TextIOWrapper:
    with suppress(OSError):
        stream.flush()
    raw = _Unread(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
