"""The user's cache of encoded datasets: arrays that every worker maps, and a description beside them.

An entry appears whole or not at all, and its arrays are used only while they have the digest that they were written
with. It is found by a key, which is made of everything that decides the arrays, the code included.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from conf.schema import ConfigError
from sweeps import files, text_encoder
from sweeps.errors import HostFailedError
from sweeps.files import digest_of_arrays

PARTS = ("train_x", "train_y", "validation_x", "validation_y", "test_x", "test_y")
DESCRIPTION, VOCABULARY = "meta.json", "vocabulary"
FILES = (*(f"{part}.npy" for part in PARTS), VOCABULARY, DESCRIPTION)
PIECE = 2**24  # bytes that are sent to another machine at once
PUBLISHING = 10  # attempts at giving an entry its name, if other processes do so at once
BY_DIGEST = "by-digest"  # a folder of links to the entries


class Entry(NamedTuple):
    """Encoded data in the cache."""

    folder: Path
    arrays: Sequence[NDArray[Any]]  # of `PARTS`, mapped read-only
    digest: str
    description: Mapping[str, Any]  # JSON

    def vocabulary(self) -> bytes:
        """Return the vocabulary that was written with the arrays."""
        return (self.folder / VOCABULARY).read_bytes()


def entry(key: object, write: Callable[[Path], Mapping[str, Any]]) -> Entry:
    """Return the entry of a key, JSON; if there is none that can be trusted, `write` fills the folder of a new one.

    `write` saves the arrays of `PARTS` there and returns their description. Raises `ConfigError` where the cache cannot
    be written.
    """
    cache = files.cache()
    folder = cache / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    try:
        known = _known(folder) or _written(folder, write)
        _link(cache / BY_DIGEST / known.digest, folder)
    except OSError as error:
        raise ConfigError(f"XDG_CACHE_HOME={cache.parent}: cannot be written ({error})") from error
    return known


def folder(name: str) -> Path:
    """Return a folder of the cache for what is computed from data, by their digest; it need not be there."""
    return files.cache() / name


def with_digest(digest: str) -> Entry | None:
    """Return the entry whose arrays have a digest, or None: no file of the user's is read for it."""
    known = _known(files.cache() / BY_DIGEST / digest)
    return known if known is not None and known.digest == digest else None


def piece(digest: str, name: str, start: int) -> bytes:
    """Return up to `PIECE` bytes of a file of the entry that has a digest; none at its end, or if there is no file."""
    try:
        with (files.cache() / BY_DIGEST / digest / FILES[FILES.index(name)]).open("rb") as file:
            file.seek(start)
            return file.read(PIECE)
    except FileNotFoundError:
        return b""


def fetch(digest: str, piece: Callable[[str, int], bytes]) -> None:
    """Copy the entry that has a digest from another machine's cache, where `piece` reads it, unless it is in this one.

    Of several processes that share this cache one does so, and the others wait for it. An entry that the other machine
    does not have either is not made. Raises `HostFailedError` if the arrays that arrive have another digest.
    """
    cache = files.cache()
    if with_digest(digest) is not None:
        return
    (cache / BY_DIGEST).mkdir(parents=True, exist_ok=True)
    with (cache / BY_DIGEST / f".{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if with_digest(digest) is None and piece(DESCRIPTION, 0):
            folder = cache / f"fetched-{digest}"
            _written(folder, lambda unpublished: _copy(unpublished, digest, piece))
            _link(cache / BY_DIGEST / digest, folder)


def _copy(folder: Path, digest: str, piece: Callable[[str, int], bytes]) -> Mapping[str, Any]:
    for name in FILES:
        with (folder / name).open("wb") as file:
            while content := piece(name, file.tell()):
                file.write(content)
    try:
        description = dict(json.loads((folder / DESCRIPTION).read_text()))
        found = digest_of_arrays(arrays_in(folder))
    except (ValueError, EOFError, TypeError) as error:
        raise HostFailedError(f"the data that the driver sent cannot be read: {error}") from error
    if digest != found:
        raise HostFailedError(f"the data that the driver sent have the digest {found}, not {digest}")
    return description


def _written(folder: Path, write: Callable[[Path], Mapping[str, Any]]) -> Entry:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".encoding-") as temporary:
        unpublished = Path(temporary, "unpublished")
        unpublished.mkdir()
        description = write(unpublished)
        digest = digest_of_arrays(arrays_in(unpublished))
        (unpublished / DESCRIPTION).write_text(json.dumps({**description, "digest": digest}))
        _publish(unpublished, folder)
    return Entry(folder, arrays_in(folder), digest, description)


def _link(link: Path, folder: Path) -> None:
    """Let `link` lead to the folder, in one step."""
    if link.is_symlink() and link.resolve() == folder.resolve():
        return
    link.parent.mkdir(exist_ok=True)
    new = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    new.symlink_to(Path("..", folder.name), target_is_directory=True)
    new.rename(link)


def save(folder: Path, arrays: Sequence[NDArray[Any]]) -> None:
    """Write arrays, in the order of `PARTS`."""
    for part, array in zip(PARTS, arrays, strict=True):
        np.save(folder / f"{part}.npy", array)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of an array of int32 whose rows follow; NumPy leaves room in it for any number of rows."""
    descr = npy.dtype_to_descr(np.dtype(np.int32))
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def arrays_in(folder: Path) -> list[NDArray[Any]]:
    return [npy.open_memmap(folder / f"{part}.npy", mode="r") for part in PARTS]


def code(*modules: Path) -> list[str]:
    """Return the hashes of all modules that read and encode data, as part of a key.

    Nobody can forget to raise a version.
    """
    own = [*sorted(Path(__file__).parent.rglob("*.py")), Path(text_encoder.__file__), *modules]
    return [hashlib.sha256(module.read_bytes()).hexdigest() for module in own]


def _known(folder: Path) -> Entry | None:
    """Return the entry in a folder, or None where there is none that can be trusted."""
    try:
        arrays = arrays_in(folder)
        description = json.loads((folder / DESCRIPTION).read_text())
        digest = description["digest"]
    except Exception:  # absent, half-written or altered in whatever way: the documents are encoded again
        return None
    return Entry(folder, arrays, digest, description) if digest == digest_of_arrays(arrays) else None


def _publish(unpublished: Path, folder: Path) -> None:
    """Rename the directory to `folder`; if another process does so at the same time, its arrays are the same."""
    for attempt in range(PUBLISHING):
        try:
            unpublished.rename(folder)
        except OSError:
            if attempt == PUBLISHING - 1:
                raise
            if _known(folder) is not None:
                return
            with suppress(FileNotFoundError):
                folder.rename(unpublished.with_name(f"replaced-{attempt}"))  # is removed with the temporary directory
        else:
            return
