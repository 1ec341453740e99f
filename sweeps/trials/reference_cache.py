"""The references of data that were trained before: a file for each digest of data, which is believed only whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sweeps import files
from sweeps.trials.spec import Predictions, Reference

ARRAYS = ("predictions", "final_predictions")
DESCRIPTION, DIGEST = "description", "digest"


def write(path: Path, references: Sequence[Reference]) -> None:
    """Keep references that all completed; a cache that cannot be written is done without."""
    if any(reference.failure for reference in references):
        return
    plain = [{**each._asdict(), **dict.fromkeys(ARRAYS)} for each in references]
    arrays: dict[str, Any] = {DESCRIPTION: np.frombuffer(json.dumps(plain).encode(), np.uint8)}
    for number, reference in enumerate(references):
        for name in ARRAYS:
            if (predictions := getattr(reference, name)) is not None:
                arrays |= {f"{number} {name} {part}": array for part, array in predictions._asdict().items()}
    arrays[DIGEST] = np.frombuffer(files.digest_of_arrays(arrays.values()).encode(), np.uint8)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, lambda file: np.savez_compressed(file, **arrays))


def read(path: Path) -> list[Reference]:
    """Return the references that a file keeps; none where there is no file, or one that was altered."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if arrays.pop(DIGEST).tobytes() != files.digest_of_arrays(arrays.values()).encode():
            return []
        plain = json.loads(arrays[DESCRIPTION].tobytes())
        for key, array in arrays.items():
            if key != DESCRIPTION:
                number, name, part = key.split()
                plain[int(number)][name] = {**(plain[int(number)][name] or {}), part: array}
        for each in plain:
            each |= {name: Predictions(**each[name]) for name in ARRAYS if each[name]}
        return [Reference(**each) for each in plain]
    except Exception:  # absent, half-written or altered in whatever way: they are trained again
        return []
