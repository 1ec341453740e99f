"""The files that a user names as a labelled table: paths, globs, folders and addresses, each with its format.

Nothing is opened here. The order of the files depends on their names only.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
from pyarrow import fs

from conf.schema import ConfigError, did_you_mean

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = {
    "train": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
ALLOWED = ".csv, .tsv and .jsonl (each also with .gz or .zst), .parquet, .arrow, or a folder of them or of texts"
# Documents without a label, which lie beside the labelled ones: `unsup` in the archive of film reviews aclImdb.
UNLABELLED = ("unsup", "unsupervised", "unlabeled", "unlabelled")
SHOWN = 60  # characters of a name or a value in a message


class TableFile(NamedTuple):
    """A file, or a folder of one text per file (`format="folder"`)."""

    setting: str  # what a message about it begins with: datasets.<name>.files=<path>
    filesystem: Any  # pyarrow.fs.FileSystem
    path: str
    format: str  # csv | tsv | jsonl | parquet | arrow | folder
    compression: str | None
    part: int | None

    @property
    def shown(self) -> str:
        return self.setting.partition("=")[2]

    def open(self) -> Any:
        """Open a stream of the decompressed bytes."""
        return self.filesystem.open_input_stream(self.path, compression=self.compression)


class Found(NamedTuple):
    files: list[TableFile]
    remarks: list[str]  # sentences about what was left out


def visible(value: object, limit: int = SHOWN) -> str:
    """Return a text that is safe in a terminal: control characters are escaped, and long texts are cut."""
    text = str(value)
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def quoted(value: object) -> str:
    return f'"{visible(value)}"'


def listed(values: Sequence[str], most: int = 5) -> str:
    """Return `a, b and c`, or `a, b, c, d, e and 7 more`."""
    if len(values) > most:
        return f"{', '.join(values[:most])} and {len(values) - most:,} more"
    return " and ".join(filter(None, (", ".join(values[:-1]), *values[-1:])))


def find(section: str, option: str, entries: Sequence[str], part: int | None = None) -> Found:
    """Return the files behind the entries of `datasets.<name>.<option>`, those of a folder or a glob sorted by name.

    Raises `ConfigError` for what does not exist or has no known format.
    """
    found = Found([], [])
    for entry in entries:
        place = _Place(f"{section}.{option}", *_filesystem(f"{section}.{option}", entry), part)
        for path in _expanded(place, place.path):
            _add(found, place._replace(path=path))
    return found


@contextmanager
def reading(file: TableFile) -> Iterator[None]:
    """Turn the errors of reading a file into a `ConfigError` that names it."""
    try:
        yield
    except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
        doubt = f"; is it {file.compression}?" if file.compression and not isinstance(error, UnicodeError) else ""
        raise ConfigError(f"{file.setting}: cannot be read ({failure(error)}){doubt}") from error


def without_secrets(address: str) -> str:
    """Return an address without user, password and query, which may hold keys."""
    scheme, separator, rest = address.rpartition("://")
    if not separator:
        return address
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


class _Place(NamedTuple):
    option: str  # datasets.<name>.files
    filesystem: Any
    path: str
    prefix: str  # what the user's address has before the path
    part: int | None

    @property
    def setting(self) -> str:
        return f"{self.option}={visible(without_secrets(self.prefix + self.path), 200)}"

    def kind(self, path: str) -> Any:
        try:
            return self.filesystem.get_file_info(path).type
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise ConfigError(f"{self.setting}: cannot be read ({failure(error)})") from error

    def children(self, recursive: bool = False) -> list[Any]:
        """Return what lies in the folder, hidden files excluded, sorted by name."""
        try:
            infos = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=recursive))
            seen = [info for info in infos if not info.base_name.startswith(".")]
            return sorted(seen, key=lambda info: str(info.path))
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise ConfigError(f"{self.setting}: cannot be read ({failure(error)})") from error


def failure(error: BaseException) -> str:
    """Return an error's own words, without the addresses in them: those may hold keys."""
    if isinstance(error, UnicodeError):
        return "a name in it is not UTF-8"
    if isinstance(error, OSError) and error.strerror and error.errno:
        return os.strerror(error.errno)
    words = re.sub(r"\S+://\S+", lambda match: without_secrets(match[0]), " ".join(str(error).split()))
    return visible(words or type(error).__name__, 200)


def _filesystem(option: str, entry: str) -> tuple[Any, str, str]:
    """Return the file system of an entry, the path in it, and what the address has before that path."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", entry):
        return fs.LocalFileSystem(), os.path.expanduser(entry), ""
    prefix = f"{entry.partition('://')[0]}://"
    try:
        return *fs.FileSystem.from_uri(entry), prefix
    except (OSError, pa.ArrowException) as error:
        if "Unrecognized filesystem" not in str(error):
            raise _unusable(option, entry, error) from error
    try:
        filesystem, path = fsspec.core.url_to_fs(entry)
    except Exception as error:  # each of fsspec's protocols raises what its library raises
        raise _unusable(option, entry, error) from error
    # A path of http:// is the whole address.
    return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path, "" if path.startswith(prefix) else prefix


def _unusable(option: str, entry: str, error: Exception) -> ConfigError:
    # A library's own words may repeat the keys of the address.
    reason = type(error).__name__ if "@" in entry or "?" in entry else failure(error)
    return ConfigError(
        f"{option}={visible(without_secrets(entry), 200)}: {entry.partition('://')[0]}:// cannot be read here "
        f"({reason}); copy the file to this machine"
    )


def _near_names(path: str) -> str:
    """Return a hint if a file or folder beside the path has nearly its name."""
    return visible(did_you_mean(Path(path).name, glob.glob("*", root_dir=Path(path).parent)))


def _expanded(place: _Place, path: str) -> list[str]:
    """Return the path itself, or what it matches as a glob; a file whose name has such characters is itself."""
    if place.kind(path) != fs.FileType.NotFound:
        return [path]
    if not glob.has_magic(path):
        is_here = isinstance(place.filesystem, fs.LocalFileSystem)
        hint = _near_names(path) if is_here else ", or no answer"
        raise ConfigError(f"{place.setting}: no such file or folder{hint}")
    if isinstance(place.filesystem, fs.LocalFileSystem):
        matches = sorted(glob.glob(path, recursive=True))
    else:
        matches = _remote_matches(place, path)
    if not matches:
        raise ConfigError(f"{place.setting}: no file matches")
    return matches


def _remote_matches(place: _Place, path: str) -> list[str]:
    pattern = path.split("/")
    fixed = next(i for i, name in enumerate(pattern) if glob.has_magic(name))
    children = place._replace(path="/".join(pattern[:fixed])).children(recursive=True)
    return [info.path for info in children if _matches(info.path.split("/"), pattern)]


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[i:], pattern[1:]) for i in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _add(found: Found, place: _Place) -> None:
    kind = place.kind(place.path)
    if kind == fs.FileType.Directory:
        _add_folder(found, place)
        return
    if kind != fs.FileType.File:
        raise ConfigError(f"{place.setting}: neither a file nor a folder")
    form, compression = format_of(place.path)
    if form is None:
        raise ConfigError(f"{place.setting}: its suffix names no table; allowed are {ALLOWED}")
    _append(found, place, form, compression)


def _append(found: Found, place: _Place, form: str, compression: str | None = None) -> None:
    file = TableFile(place.setting, place.filesystem, place.path, form, compression, place.part)
    if any(_identity(file) == _identity(other) for other in found.files):
        raise ConfigError(f"{place.setting}: named twice; its rows would count twice")
    found.files.append(file)


def _identity(file: TableFile) -> tuple[str, str]:
    is_local = isinstance(file.filesystem, fs.LocalFileSystem)
    return file.filesystem.type_name, os.path.realpath(file.path) if is_local else file.path


def check_disjoint(files: Sequence[TableFile], test: Sequence[TableFile]) -> None:
    """Raise `ConfigError` if a file is both among the documents and among the test documents."""
    known = {_identity(file) for file in files}
    for file in test:
        if _identity(file) in known:
            raise ConfigError(f"{file.setting}: also one of the files; a test document must not be trained on")


def format_of(path: str) -> tuple[str | None, str | None]:
    """Return the format and the compression that a file's suffixes name."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    form = FORMATS.get(suffixes[-1]) if suffixes else None
    return (None, None) if compression and form in ("parquet", "arrow") else (form, compression)


def part_of(name: str) -> int | None:
    """Return the part that a file's or a folder's name says: `train.csv`, `test-00000-of-00002.parquet`, `dev`."""
    match = re.match(r"(train|validation|valid|val|dev|test)(?=$|\.|[-_]\d)", name.lower())
    return PARTS[match[1]] if match else None


def _add_folder(found: Found, place: _Place) -> None:
    children = place.children()
    names = {info.base_name for info in children}
    folders = [info for info in children if info.type == fs.FileType.Directory]
    tables = [info for info in children if info.type == fs.FileType.File and format_of(info.path)[0]]
    tables = [info for info in tables if info.base_name not in ("dataset_info.json", "dataset_dict.json")]
    if "state.json" in names:
        _append(found, place, "arrow")
    elif "dataset_dict.json" in names:
        _add_parts(found, place, children, folders)
    elif tables and folders and not any(part_of(info.base_name) is not None for info in (*tables, *folders)):
        raise ConfigError(f"{place.setting}: holds both tables and folders; name those that are meant")
    elif any(part_of(info.base_name) is not None for info in tables):
        _add_parts(found, place, children, tables)
    elif any(part_of(info.base_name) is not None for info in folders):
        _add_parts(found, place, children, folders)
    elif tables:
        for info in tables:
            _add(found, place._replace(path=info.path))
        _remark(found, place, [info.base_name for info in children if info not in tables])
    else:
        _add_labels(found, place, children, folders)


def _add_parts(found: Found, place: _Place, children: Sequence[Any], candidates: Sequence[Any]) -> None:
    """Add train, validation and test of a folder, in this order."""
    parts = [info for info in candidates if part_of(info.base_name) is not None]
    if place.part is None and not any(part_of(info.base_name) == TRAIN for info in parts):
        held = listed([visible(info.base_name) for info in parts]) or "nothing that is named as a part"
        raise ConfigError(f"{place.setting}: holds {held}, but no train")
    for info in sorted(parts, key=lambda info: (part_of(info.base_name), info.path)):
        part = part_of(info.base_name)
        if place.part is not None and part != place.part:
            raise ConfigError(f"{place.setting}: holds {visible(info.base_name)}; name the file or folder itself")
        _add(found, place._replace(path=info.path, part=part))
    unread = [info.base_name for info in children if info not in parts]
    _remark(found, place, [name for name in unread if name != "dataset_dict.json"])


def _add_labels(found: Found, place: _Place, children: Sequence[Any], folders: Sequence[Any]) -> None:
    """Add a folder that holds a folder of texts for each label."""
    labels = [info for info in folders if info.base_name.lower() not in UNLABELLED]
    expected = "expected a folder of texts for each label, as <folder>/<label>/*.txt"
    if not labels:
        files = "1 loose file" if len(children) == 1 else f"{len(children):,} loose files"
        what = f"{files} and no folder" if children else "nothing"
        raise ConfigError(f"{place.setting}: holds {what}; {expected}, or tables: {ALLOWED}")
    if len(labels) == 1:
        raise ConfigError(
            f"{place.setting}: holds the folder of one label only, {visible(labels[0].base_name)}; {expected}"
        )
    _append(found, place, "folder")
    _remark(found, place, [info.base_name for info in children if info not in labels])


def _remark(found: Found, place: _Place, names: Sequence[str]) -> None:
    if names:
        shown = listed([visible(name) for name in names])
        found.remarks.append(f"{visible(place.path, 200)}: {shown} {'is' if len(names) == 1 else 'are'} not read")
