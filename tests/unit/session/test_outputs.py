from pathlib import Path

import pytest

from sweeps import journal
from sweeps.journal import Journal
from sweeps.session import outputs
from tests import records


def test_a_new_directory_in_which_no_sweep_began_is_not_left_behind(tmp_path: Path) -> None:
    directory = tmp_path / "outputs" / "lstm-1"
    with outputs.held(directory):
        (directory / "config.yaml").touch()
    assert not directory.exists()


def test_a_directory_that_was_there_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("a user's file")
    with pytest.raises(KeyboardInterrupt), outputs.held(tmp_path):
        raise KeyboardInterrupt
    assert (tmp_path / "results.csv").read_text() == "a user's file"


def test_a_directory_in_which_a_sweep_began_stays(tmp_path: Path) -> None:
    directory = tmp_path / "lstm-1"
    with outputs.held(directory):
        writer = Journal(directory / "imdb")
        writer.append(records.started())
        writer.close()
    assert outputs.has_begun(directory)


def test_a_directory_is_held_by_one_command_at_a_time(tmp_path: Path) -> None:
    with (
        outputs.held(tmp_path / "lstm-1"),
        pytest.raises(journal.JournalError, match="is in use by process"),
        outputs.held(tmp_path / "lstm-1"),
    ):
        pass


def test_sweeps_are_found_by_the_name_of_their_directory_or_by_their_own() -> None:
    for dataset in ("imdb", "reuters"):
        (outputs.OUTPUTS / "lstm-1" / dataset).mkdir(parents=True)
        (outputs.OUTPUTS / "lstm-1" / dataset / journal.FILE).touch()
    both = [Path("outputs/lstm-1/imdb"), Path("outputs/lstm-1/reuters")]
    assert outputs.recorded_here("lstm-1") == outputs.recorded_here("outputs/lstm-1/") == both
    assert outputs.recorded_here("lstm-1/imdb") == both[:1]
    assert outputs.recorded_here("lstm-2") == []
