import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from sweeps import environment, software

Git = Callable[..., str]


def ask_anew() -> None:
    for question in (environment.git, environment.versions, software._of_this_project, software._of_module):
        question.cache_clear()


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """Forget what this process has asked already, before and after the test."""
    ask_anew()
    yield
    ask_anew()


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Runs git in a folder, without the user's settings and without a repository around the folder."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set where a commit hook runs the tests
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")

    def run(folder: Path, *arguments: str) -> str:
        command = ["git", *identity, "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return run


def code_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the code seem to run from this checkout."""
    module = folder / "sweeps" / "software.py"
    module.parent.mkdir(parents=True)
    module.write_text("PACKAGES = ()\n")
    monkeypatch.setattr(software, "__file__", str(module))
    return module


def committed(folder: Path, git: Git) -> str:
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


def test_the_versions_of_what_the_numbers_depend_on_are_given() -> None:
    versions = environment.versions()
    assert versions["python"] == platform.python_version()
    assert versions["tensorflow"].count(".") == 2
    assert {"keras", "keras-tuner", "mlflow", "numpy"} <= versions.keys()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package"))
    assert environment.versions().keys() == {"python", "numpy"}


def test_a_clean_checkout_is_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    code_in(tmp_path, monkeypatch)
    commit = committed(tmp_path, git)
    assert len(commit) == 40
    assert environment.git() == environment.Git(commit, dirty=False)


@pytest.mark.parametrize("address", ["http://me:geheim@host", "postgresql://me:geheim@host/db"])
def test_the_changes_are_recorded_without_the_passwords_in_them(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    module = code_in(tmp_path, monkeypatch)
    committed(tmp_path, git)
    module.write_text(f"PACKAGES = ()\nSTORE = '{address}'\n")
    environment.git.cache_clear()
    diff = environment.here().git_diff
    assert "geheim" not in diff
    assert f"+STORE = '{address.replace(':geheim', '')}'\n" in diff


def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    module = code_in(tmp_path, monkeypatch)
    commit = committed(tmp_path, git)
    (tmp_path / "notes.txt").write_text("of a sweep")
    assert environment.git() == environment.Git(commit, dirty=False)
    module.write_text("PACKAGES = ('numpy',)\n")
    environment.git.cache_clear()
    checkout = environment.git()
    assert checkout is not None
    assert checkout[:2] == (commit, True)
    assert "+PACKAGES = ('numpy',)\n" in checkout.diff
    module.write_text("PACKAGES = ()\n")  # what the diff says is all that it takes to be there again
    (tmp_path / "changes").write_text(checkout.diff)
    git(tmp_path, "apply", "changes")
    (tmp_path / "changes").unlink()
    assert module.read_text() == "PACKAGES = ('numpy',)\n"
    git(tmp_path, "add", ".")
    environment.git.cache_clear()
    staged = environment.git()
    assert staged is not None
    assert staged.dirty


def test_the_working_folder_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    code_in(tmp_path / "ours", monkeypatch)
    commit = committed(tmp_path / "ours", git)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    assert committed(other, git) != commit
    monkeypatch.chdir(other)
    assert environment.git() == environment.Git(commit, dirty=False)


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    code_in(tmp_path, monkeypatch)
    assert environment.git() is None


def test_without_a_commit_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    code_in(tmp_path, monkeypatch)
    git(tmp_path, "init", "--quiet")
    assert environment.git() is None


def test_somebody_elses_checkout_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    code_in(tmp_path / "vendor" / "text_sweeps", monkeypatch)
    committed(tmp_path, git)
    assert environment.git() is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    code_in(tmp_path, monkeypatch)
    committed(tmp_path, git)
    monkeypatch.setenv("PATH", "")
    assert environment.git() is None


def test_a_process_asks_git_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git) -> None:
    module = code_in(tmp_path, monkeypatch)
    commit = committed(tmp_path, git)
    assert environment.here().git_dirty is False
    module.write_text("PACKAGES = ('numpy',)\n")  # after the process has begun with the code that was committed
    assert environment.here().git_commit == commit
    assert environment.here().git_dirty is False


def test_a_file_that_git_does_not_know_makes_the_code_dirty_if_it_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    code_in(tmp_path, monkeypatch)
    (tmp_path / ".gitignore").write_text("models/hidden.py\n")
    committed(tmp_path, git)
    assert environment.here().git_dirty is False
    for name in ("models/gru.py", "models/hidden.py", "conf/model/gru.yaml"):
        ask_anew()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a: 1\n")
        described = environment.here()
        assert described.git_dirty is True
        assert name in described.code
        (tmp_path / name).unlink()


def test_the_content_of_every_file_that_can_run_is_recorded_without_git_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = code_in(tmp_path, monkeypatch)
    (tmp_path / "notes.py").write_text("of nobody")
    before = environment.here()
    assert before.git_commit is None
    assert before.code == {"sweeps/software.py": hashlib.sha256(b"PACKAGES = ()\n").hexdigest()[:12]}
    ask_anew()
    module.write_text("PACKAGES = []\n")
    after = environment.here()
    assert after.code != before.code
    assert after.code_digest != before.code_digest


def test_a_named_builder_outside_the_project_is_recorded_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_in(tmp_path / "project", monkeypatch)
    for name in ("mine/__init__.py", "mine/nets.py", "mine/layers.py", "alone.py", "other.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    code = environment.here(("mine.nets.build", "alone.read", "nowhere.build")).code
    assert code.keys() == {"sweeps/software.py", "mine/__init__.py", "mine/nets.py", "mine/layers.py", "alone.py"}


def test_modules_beside_a_builder_are_recorded_if_it_imports_them_or_what_it_imports_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_in(tmp_path / "project", monkeypatch)
    sources = {
        "alone.py": "import helper\nimport numpy\n",
        "helper.py": "from mine.layers import gate\nimport alone\n",
        "mine/__init__.py": "",
        "mine/layers.py": "def gate(): from later.on import x\n",
        "later/on.py": "this is no Python\n",
        "other.py": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert environment.here(("alone.build",)).code.keys() == {"sweeps/software.py", *sources} - {"other.py"}


def test_every_part_of_a_foreign_package_is_recorded_wherever_the_builder_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_in(tmp_path / "project", monkeypatch)
    names = {f"whole/{name}.py" for name in ("__init__", "layers", "nets/__init__", "nets/gru", "blocks/attention")}
    for name in (*names, "whole/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for function in ("whole.layers.build", "whole.nets.gru.build", "whole.nets.build", "whole.build"):
        ask_anew()
        assert environment.here((function,)).code.keys() == {"sweeps/software.py", *names}, function


def test_a_linked_folder_of_models_is_recorded_and_a_link_to_itself_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_in(tmp_path / "project", monkeypatch)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "gru.py").write_text("x = 1\n")
    (tmp_path / "mine" / "again").symlink_to(tmp_path / "mine")
    (tmp_path / "project" / "models").mkdir()
    (tmp_path / "project" / "models" / "mine").symlink_to(tmp_path / "mine")
    assert environment.here().code.keys() == {"sweeps/software.py", "models/mine/gru.py"}


def test_the_code_of_this_project_is_recorded_in_little_space_and_time() -> None:
    began = time.process_time()
    code = software.code(("models.lstm.build",))
    assert time.process_time() - began < 0.5  # 10 ms on two quiet cores
    assert {"models/lstm.py", "conf/model/lstm.yaml", "sweeps/trials/training.py"} <= code.keys()
    assert len(json.dumps(code)) < 16_000


def test_a_refusal_of_git_is_no_commit_and_the_code_is_still_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    code_in(tmp_path, monkeypatch)
    committed(tmp_path, git)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as if somebody else owned the folder
    described = environment.here()
    assert (described.git_commit, described.git_dirty) == (None, None)
    assert described.code


def test_tensorflow_for_processors_is_the_same_software(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package != "tensorflow-cpu":
            raise metadata.PackageNotFoundError(package)
        return "2.21.0"

    monkeypatch.setattr(metadata, "version", version)
    assert software.versions(["tensorflow"]) == {"python": platform.python_version(), "tensorflow": "2.21.0"}
