#!/usr/bin/env bash
# PyArrow 25.0.1: `pyarrow.compute.binary_join_element_wise` with null_handling="skip" drops rows.
#
# It joins columns element by element, as one does with the title and the body of a text. With "skip", says its
# documentation, null values are skipped while joining. One expects as many rows as the columns have, with an empty
# string or a null where all columns of a row are null. It returns fewer: such a row has no value at all in the result,
# and every later row is one place further up, without an error or a warning. Put back beside the labels of the table,
# the texts have those of their neighbours; `Table.set_column` at least refuses the length. With null_handling="replace"
# there are as many rows as before.
#
# Seen 2026-11-29: columns of 3 rows, the second null in both: "skip" 2 rows, "replace" and "emit_null" 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1 2>"$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 2; }
cat >"$folder/join.py" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.compute as pc

title = pa.array(["Rates rise", None, "Rain"])
body = pa.array(["again", None, None])
joined = {
    how: pc.binary_join_element_wise(title, body, " ", null_handling=how).to_pylist()
    for how in ("skip", "replace", "emit_null")
}
print(f"pyarrow {pa.__version__}: {len(title)} rows joined")
for how, texts in joined.items():
    print(f"  {how:<9} {len(texts)} rows: {texts}")
rows = {how: len(texts) for how, texts in joined.items()}
sys.exit(0 if rows == {"skip": 2, "replace": 3, "emit_null": 3} else "this has changed")
PYTHON
"$folder/venv/bin/python" "$folder/join.py"
