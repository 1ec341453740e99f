"""A store whose file is another one than the process has opened, also where only its name and its inode tell."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.tracking import database_file, store


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    Path("another").touch()
    Path("another").rename(path)


@pytest.mark.parametrize("change", [removed, replaced])
def test_a_file_that_is_not_the_opened_one_is_refused(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_file, "_opened", {})
    monkeypatch.setattr(database_file, "_holds_removed", lambda path: False)
    path, uri = tmp_path / "mlflow.db", store.local()
    path.touch()
    database_file.check(uri)  # nothing was opened yet
    database_file.remember(uri)
    database_file.check(uri)
    change(path)
    database_file.remember(uri)  # a second client takes nothing for the opened file
    with pytest.raises(database_file.ReplacedError, match=rf"^{uri} was removed or replaced while this command ran$"):
        database_file.check(uri)
