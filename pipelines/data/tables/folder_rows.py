"""A folder of texts, one a file, in a folder for each label."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
from pyarrow import fs

from conf.schema import ConfigError
from pipelines.data.tables.csv_rows import BLOCK
from pipelines.data.tables.files import UNLABELLED, TableFile, failure, listed, reading, visible

TEXT, LABEL = "text", "label"


class FolderRows:
    def __init__(self, file: TableFile) -> None:
        self.file = file
        self.columns = [TEXT, LABEL]
        with reading(file):
            paths = _local(file.path) if isinstance(file.filesystem, fs.LocalFileSystem) else _remote(file)
        texts = sorted(path.split("/") for path in paths)
        self._texts = [names for names in texts if len(names) > 1 and names[0].lower() not in UNLABELLED]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Return the texts in the order of their paths below the folder; the first folder of a path is the label."""
        rows: list[tuple[str, str]] = []
        size = 0
        unreadable: list[str] = []
        for names in self._texts:
            try:
                content = self._content(names)
                rows.append((content.decode("utf-8-sig"), names[0]))
                size += len(content)
            except (OSError, UnicodeError, pa.ArrowException) as error:
                reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else failure(error)
                unreadable.append(f"{visible('/'.join(names), 200)} ({reason})")
            if size > BLOCK:
                yield _batch(rows, columns)
                rows, size = [], 0
        if unreadable:
            raise ConfigError(
                f"{self.file.setting}: cannot read {listed(unreadable)}; every file below a label's folder is a text"
            )
        if rows:
            yield _batch(rows, columns)

    def contents(self) -> Iterator[bytes]:
        """Yield the path and the content of every text, as bytes; one that cannot be read is refused by `batches`."""
        for names in self._texts:
            with suppress(OSError, pa.ArrowException):
                content = self._content(names)
                yield f"{'/'.join(names)}\0{len(content)}\0".encode(errors="surrogateescape") + content

    def where(self, rows: Sequence[int]) -> list[str]:
        """Name the files of some rows, which are counted from 1."""
        return [visible("/".join(self._texts[row - 1]), 200) for row in rows]

    def _content(self, names: Sequence[str]) -> bytes:
        with self.file.filesystem.open_input_stream("/".join((self.file.path.rstrip("/"), *names))) as stream:
            content: bytes = stream.read()
        return content


def _local(folder: str) -> list[str]:
    """Return the files below a folder; PyArrow's own listing leaves out links that lead nowhere."""
    paths = glob.glob("**", root_dir=folder, recursive=True)
    return [path for path in paths if not os.path.isdir(os.path.join(folder, path))]


def _remote(file: TableFile) -> list[str]:
    infos = file.filesystem.get_file_info(fs.FileSelector(file.path, recursive=True))
    below = [info.path[len(file.path.rstrip("/")) + 1 :] for info in infos if info.type != fs.FileType.Directory]
    return [path for path in below if not any(name.startswith(".") for name in path.split("/"))]


def _batch(rows: Sequence[tuple[str, str]], columns: Sequence[str]) -> pa.RecordBatch:
    values = dict(zip((TEXT, LABEL), zip(*rows, strict=True), strict=True))
    return pa.record_batch([pa.array(values[column], pa.string()) for column in columns], list(columns))
