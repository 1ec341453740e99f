"""Labelled texts written in every format in which users have them."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conf.schema import ConfigError
from pipelines.data.tables.scan import Columns, Table, read


def put(path, content=""):
    """Write a file below the working folder, with the folders that it needs."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def put_csv(path, rows, names=("text", "label"), **options):
    text = io.StringIO(newline="")
    csv.writer(text, **options).writerows([names, *rows])
    return put(path, text.getvalue())


def put_jsonl(path, rows, names=("text", "label")):
    return put(path, "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))


def put_parquet(path, rows, names=("text", "label"), **options):
    columns = list(zip(*rows, strict=True))
    pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), path, **options)
    return str(path)


def put_saved(folder, rows, names=("text", "label"), class_names=None, shards=2):
    """Write a folder as `save_to_disk` of Hugging Face's `datasets` does, with numbers for class names if given."""
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    features = {names[0]: {"dtype": "string", "_type": "Value"}}
    features[names[1]] = {"names": class_names, "_type": "ClassLabel"} if class_names else features[names[0]]
    size = -(-table.num_rows // shards)
    files = [f"data-{i:05d}-of-{shards:05d}.arrow" for i in range(shards)]
    for i, file in enumerate(files):
        part = table.slice(i * size, size)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as stream:
            stream.write_table(part, max_chunksize=1000)
        put(Path(folder, file), sink.getvalue().to_pybytes())
    put(Path(folder, "state.json"), json.dumps({"_data_files": [{"filename": file} for file in files], "_split": None}))
    put(Path(folder, "dataset_info.json"), json.dumps({"features": features}))
    return str(folder)


def table(files, columns=Columns(), test=()) -> Table:  # noqa: B008 - immutable
    return read("toy", [files] if isinstance(files, str) else files, columns, test)


def texts(result):
    return [text for batch in result.texts() for text in batch.to_pylist()]


def names(result):
    return [result.labels[place] for place in result.y]


def refusal(files, columns=Columns(), test=()):  # noqa: B008 - immutable
    """Return the line with which a table is refused."""
    try:
        result = table(files, columns, test)
        texts(result)
    except ConfigError as error:
        return str(error)
    raise AssertionError(f"not refused: {result}")
