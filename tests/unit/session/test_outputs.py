import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.schema import ConfigError, Job
from sweeps import journal
from sweeps.journal import Journal
from sweeps.session import checks, outputs
from sweeps.session.plans import plans_of
from sweeps.terminal.console import Console
from tests import records


def test_a_new_directory_in_which_no_sweep_began_is_not_left_behind(tmp_path: Path) -> None:
    directory = tmp_path / "outputs" / "lstm-1"
    with outputs.held(directory):
        (directory / "config.yaml").touch()
    assert not directory.parent.exists()


def test_a_file_that_somebody_else_put_into_a_new_directory_stays(tmp_path: Path) -> None:
    directory = tmp_path / "lstm-1"
    with outputs.held(directory):
        (directory / "config.yaml").touch()
        (directory / "notes.txt").touch()
        (directory / "imdb").mkdir()
    assert sorted(path.name for path in directory.iterdir()) == ["imdb", "notes.txt"]


@pytest.mark.parametrize("names", [["results.csv"], ["config.yaml", "confirm.json"], []])
def test_a_directory_that_was_there_is_never_removed_nor_anything_in_it(names: list[str], tmp_path: Path) -> None:
    directory = tmp_path / "given"
    directory.mkdir()
    for name in names:
        (directory / name).write_text("a user's file")
    with pytest.raises(KeyboardInterrupt), outputs.held(directory):
        raise KeyboardInterrupt
    assert [(directory / name).read_text() for name in names] == ["a user's file"] * len(names)
    assert sorted(path.name for path in directory.iterdir()) == sorted([*names, journal.LOCK])


def test_a_folder_that_was_there_stays_without_the_new_directory(tmp_path: Path) -> None:
    outputs_of_a_user = tmp_path / "outputs"
    outputs_of_a_user.mkdir()
    with outputs.held(outputs_of_a_user / "lstm-1"):
        pass
    assert list(tmp_path.iterdir()) == [outputs_of_a_user]
    assert list(outputs_of_a_user.iterdir()) == []


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


def begun(directory: Path, sweep: str) -> Path:
    writer = Journal(directory)
    writer.append(records.started(sweep=sweep))
    writer.close()
    return directory


def test_a_renamed_directory_keeps_the_name_of_its_journals() -> None:
    directory = begun(outputs.OUTPUTS / "mine" / "imdb", "lstm-1/imdb")
    assert outputs.name_of(directory.parent) == "lstm-1"
    for name in ("mine", "mine/imdb", "lstm-1", "lstm-1/imdb", "outputs/lstm-1/"):
        assert outputs.recorded_here(name) == [directory]
    assert outputs.name_of(Path()) == Path().resolve().name  # nothing began here


def test_the_sweeps_of_a_renamed_directory_keep_their_names(composed: Callable[..., Job]) -> None:
    job = composed("experiment=smoke", "data=imdb")
    begun(outputs.OUTPUTS / "mine" / "imdb", "lstm-1/imdb")
    (plan,) = plans_of(job, checks.check(job.config), outputs.OUTPUTS / "mine", Console(file=io.StringIO()))
    assert (plan.sweep, plan.directory) == ("lstm-1/imdb", Path("outputs/mine/imdb"))


def test_a_copy_is_refused_as_long_as_the_original_is_there() -> None:
    original = begun(outputs.OUTPUTS / "lstm-1" / "imdb", "lstm-1/imdb").parent
    copy = begun(outputs.OUTPUTS / "copy" / "imdb", "lstm-1/imdb").parent
    outputs.refuse_copy(original)
    with pytest.raises(ConfigError, match=r"^outputs/copy: a copy of .*outputs/lstm-1, which has the same runs; "):
        outputs.refuse_copy(copy)
    shutil.rmtree(original)
    outputs.refuse_copy(copy)


def test_a_database_that_is_gone_is_not_the_store_of_a_sweep_that_goes_on(tmp_path: Path) -> None:
    assert outputs.store_of(f"sqlite:///{tmp_path}/mlflow.db") is None
    (tmp_path / "mlflow.db").touch()
    assert outputs.store_of(f"sqlite:///{tmp_path}/mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert outputs.store_of("http://host") == "http://host"
    assert outputs.store_of("") is None


def test_a_directory_that_was_taken_away_is_no_second_error_and_another_in_its_place_stays(tmp_path: Path) -> None:
    directory = tmp_path / "lstm-1"
    with outputs.held(directory):
        shutil.rmtree(directory)
    with outputs.held(directory):
        directory.rename(tmp_path / "moved")
        directory.mkdir()
        for name in ("notes.txt", "config.yaml"):
            (directory / name).touch()
    assert sorted(path.name for path in directory.iterdir()) == ["config.yaml", "notes.txt"]


def test_a_file_that_is_no_lock_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("the lock of another program")
    with (
        pytest.raises(journal.JournalError, match=r"lock: not the lock of a sweep; move it away$"),
        outputs.held(tmp_path),
    ):
        pass
    assert (tmp_path / "lock").read_text() == "the lock of another program"


def test_a_configuration_that_says_the_same_is_left_alone_with_its_comments(
    tmp_path: Path, composed: Callable[..., Job]
) -> None:
    job, file = composed("trials=3"), tmp_path / "config.yaml"
    outputs.write_config(tmp_path, job.yaml)
    assert file.read_text() == job.yaml
    commented = "# for the paper\n" + job.yaml.replace("trials: 3", "trials: 3  # enough")
    file.write_text(commented)
    outputs.write_config(tmp_path, job.yaml.replace("resume: null", f"resume: {tmp_path}"))
    assert file.read_text() == commented
    for other in (job.yaml.replace("trials: 3", "trials: 4"), job.yaml):
        outputs.write_config(tmp_path, other)
        assert file.read_text() == other
    file.write_text("trials: [")
    outputs.write_config(tmp_path, job.yaml)
    assert file.read_text() == job.yaml
