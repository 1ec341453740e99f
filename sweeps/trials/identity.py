"""The software that decides what a trial gives: a worker must have the driver's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache

from sweeps import software

PACKAGES = ("keras", "numpy", "tensorflow")
OWN = "text-sweeps"
# All of this project that a worker runs.
ON_WORKERS = (
    "conf/",
    "models/",
    "pipelines/data/",
    "sweeps/trials/",
    *(f"sweeps/{name}.py" for name in ("audit", "errors", "files", "metrics", "runtime", "software", "text_encoder")),
)


@cache
def identity(functions: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the versions of Python and of the packages, and digests of the code that trials run.

    `functions` are the dotted names of those that they call; each file of theirs that is not this project's is named.
    """
    files = {name: digest for name, digest in software.code(functions).items() if name.endswith(".py")}
    others = {name: digest for name, digest in files.items() if name.partition("/")[0] not in software.CODE}
    own = [(name, digest) for name, digest in files.items() if name.startswith(ON_WORKERS)]
    return {
        **software.versions(PACKAGES),
        OWN: hashlib.sha256(json.dumps(own).encode()).hexdigest()[:8],
        **others,
    }


def difference(own: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Say in a few words in what another process's identity differs; empty where it is the same."""
    differing = [
        f"{name} {other.get(name, 'none')} instead of {own[name]}" for name in own if own[name] != other.get(name)
    ]
    return ", ".join(differing).replace(f"{OWN} ", "other code of this project: ")
