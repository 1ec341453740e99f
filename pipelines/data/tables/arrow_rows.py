"""Tables whose columns have types: Parquet files, Arrow streams, and folders that `datasets.save_to_disk` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from conf.schema import ConfigError
from pipelines.data.tables.csv_rows import BLOCK
from pipelines.data.tables.files import TableFile, quoted, reading

MOST_ROWS = 2**16  # in a batch


class ArrowRows:
    def __init__(self, file: TableFile) -> None:
        self.file = file
        with reading(file):
            self._paths = [file.path] if file.filesystem.get_file_info(file.path).is_file else self._shards()
            with self._open(self._paths[0]) as source:
                schema = _schema(source)
        self._names = _class_names(schema) | self._class_names_beside()
        self.columns = list(schema.names)
        repeated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if repeated:
            raise ConfigError(f"{file.setting}: two columns are called {quoted(repeated[0])}; rename one of them")

    @property
    def rows(self) -> int | None:
        """The number of rows; None for a stream, which tells it only at its end."""
        if self.file.format != "parquet":
            return None
        with reading(self.file), self._open(self.file.path) as source:
            return int(source.metadata.num_rows)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Return the rows in order, a batch never much larger than `BLOCK` bytes unless one row is.

        Numbers that stand for class names, by the schema that `datasets` writes, are replaced by these.
        """
        with reading(self.file):
            for path in self._paths:
                with self._open(path) as source:
                    for batch in _batches(source, columns):
                        arrays = [self._named(column, batch.column(column)) for column in columns]
                        yield pa.record_batch(arrays, list(columns))

    @staticmethod
    def where(rows: Sequence[int]) -> list[str]:
        """Name some data rows, which are counted from 1."""
        return [f"row {row:,}" for row in rows]

    @contextmanager
    def _open(self, path: str) -> Iterator[pq.ParquetFile | pa.ipc.RecordBatchStreamReader]:
        with self.file.filesystem.open_input_file(path) as source:
            if self.file.format == "parquet":
                # Without pre_buffer and with a buffer a row group is read page by page, however large it is.
                with pq.ParquetFile(source, pre_buffer=False, buffer_size=2**20) as parquet:
                    yield parquet
            else:
                with pa.ipc.open_stream(source) as stream:
                    yield stream

    def _shards(self) -> list[str]:
        """Return the stream files of a folder that `save_to_disk` wrote, in the order of their rows."""
        state = self._json("state.json")
        try:
            names = [entry["filename"] for entry in state["_data_files"]]
            indices = state.get("_indices_data_files") or state.get("_indices_files")
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.file.setting}: its state.json lists no data files") from error
        if not names or indices or not all(isinstance(name, str) and "/" not in name for name in names):
            raise ConfigError(
                f"{self.file.setting}: its state.json names no stream files of this folder, or an order beside them; "
                "write it again with flatten_indices() and save_to_disk()"
            )
        return [f"{self.file.path.rstrip('/')}/{name}" for name in names]

    def _json(self, name: str) -> Any:
        with self.file.filesystem.open_input_stream(f"{self.file.path.rstrip('/')}/{name}") as stream:
            try:
                return json.loads(stream.read())
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{self.file.setting}: its {name} is no JSON") from error

    def _class_names_beside(self) -> dict[str, list[str]]:
        """Return the class names that the folder's `dataset_info.json` gives, by column."""
        path = f"{self.file.path.rstrip('/')}/dataset_info.json"
        with reading(self.file):
            if self.file.filesystem.get_file_info(path).type == fs.FileType.NotFound:
                return {}
            return _names_in(self._json("dataset_info.json"))

    def _named(self, column: str, values: pa.Array) -> pa.Array:
        names = self._names.get(column)
        if not names or not pa.types.is_integer(values.type):
            return values
        places = [place if place is not None and place >= 0 else None for place in values.to_pylist()]
        if max(filter(None, places), default=0) >= len(names):
            raise ConfigError(
                f"{self.file.setting}: the column {quoted(column)} holds {max(filter(None, places))}; its schema names "
                f"{len(names)} classes, from 0 to {len(names) - 1}"
            )
        return pa.array(names, pa.string()).take(pa.array(places, pa.int64()))


def _schema(source: Any) -> pa.Schema:
    return source.schema_arrow if isinstance(source, pq.ParquetFile) else source.schema


def _batches(source: Any, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if isinstance(source, pq.ParquetFile):
        yield from source.iter_batches(_rows_in_a_block(source.metadata), columns=list(columns))
        return
    for batch in source:
        rows = max(1, min(MOST_ROWS, BLOCK * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield batch.select(list(columns)).slice(start, rows)


def _rows_in_a_block(metadata: Any) -> int:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1.0)
    return max(1, min(MOST_ROWS, int(BLOCK / max(largest, 1.0))))


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    try:
        return _names_in(json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info"))
    except (ValueError, AttributeError, RecursionError):
        return {}


def _names_in(info: Any) -> dict[str, list[str]]:
    """Return the names of the classes of each column that `datasets` describes as a ClassLabel."""
    features = info.get("features") if isinstance(info, dict) else None
    if not isinstance(features, dict):
        return {}
    names = {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    return {column: [str(name) for name in listed] for column, listed in names.items() if isinstance(listed, list)}
