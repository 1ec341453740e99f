"""These tests need no GPU: small libraries with the names of NVIDIA's stand in for them, and TensorFlow's own loader
is asked whether it finds them.
"""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.trials import cuda_libraries
from sweeps.trials.cuda_libraries import LIBRARIES
from tests.conftest import ROOT

CUSOLVER = "libcusolver.so.11"
# TensorFlow's library that opens others; it loads in a fraction of the time that TensorFlow takes.
SPEC = importlib.util.find_spec("tensorflow")
FRAMEWORK = Path(SPEC.origin if SPEC and SPEC.origin else "", "..", "libtensorflow_framework.so.2").resolve()
NVIDIAS_OWN = any(Path(folder, "nvidia", LIBRARIES[CUSOLVER], "lib", CUSOLVER).exists() for folder in sys.path)
CHECK = "TryDlopenCUDALibraries"
# Asks TensorFlow's loader for each library by its name, with or without opening those that are here first; prints those
# that it finds, and the name of its own check of them all if they pass. Both functions return a status, which is 1 if
# all is well, in the place that their first argument names.
ASK = """
import ctypes, sys
from sweeps.trials import cuda_libraries
opens, framework, *folders = sys.argv[1:]
sys.path += folders
if opens == "True":
    cuda_libraries.open_all()
library, status = ctypes.CDLL(framework), ctypes.c_uint64()
for name in cuda_libraries.LIBRARIES:
    handle = ctypes.c_void_p()
    library._ZN3tsl8internal18LoadDynamicLibraryEPKcPPv(ctypes.byref(status), name.encode(), ctypes.byref(handle))
    if status.value == 1:
        print(name)
library._ZN3tsl8internal9DsoLoader22TryDlopenCUDALibrariesEv(ctypes.byref(status))
if status.value == 1:
    print("TryDlopenCUDALibraries")
"""


def found_by_tensorflow(*folders: Path, opens: bool) -> set[str]:
    command = [sys.executable, "-c", ASK, str(opens), str(FRAMEWORK), *map(str, folders)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(finished.stdout.split())


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    cuda_libraries.missing.cache_clear()
    yield
    cuda_libraries.missing.cache_clear()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NVIDIA's packages, whose libraries are empty."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler makes the stand-ins for NVIDIA's libraries")
    root = tmp_path_factory.mktemp("site-packages")
    for name, folder in LIBRARIES.items():
        library = root / "nvidia" / folder / "lib" / name
        library.parent.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-shared", "-nostdlib", "-x", "c", "/dev/null", f"-Wl,-soname,{name}", "-o", str(library)]
        subprocess.run(command, check=True, capture_output=True)
    return root


@pytest.fixture
def packages(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages as they are installed here; a test may change them."""
    shutil.copytree(compiled, tmp_path / "site-packages")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site-packages")])
    importlib.invalidate_caches()
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return tmp_path / "site-packages" / "nvidia"


def replace(library: Path, call: str) -> None:
    """Put a library there that calls a function of C's when it is opened."""
    headers = "".join(f"#include <{header}.h>\n" for header in ("stdio", "stdlib", "unistd"))
    source = f"{headers}__attribute__((constructor)) void opened(void) {{ {call}; }}"
    subprocess.run(["cc", "-shared", "-x", "c", "-", "-o", str(library)], input=source.encode(), check=True)


def test_tensorflow_finds_them_once_they_are_open(packages: Path) -> None:
    assert CUSOLVER not in found_by_tensorflow(packages.parent, opens=False)
    assert found_by_tensorflow(packages.parent, opens=True) >= set(LIBRARIES)


def test_none_is_missing_where_all_are_here(packages: Path) -> None:
    assert cuda_libraries.missing() == ()
    maps = Path("/proc/self/maps").read_text()
    assert str(packages) not in maps  # this process has opened none


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_is_known_by_its_exact_name(name: str, packages: Path) -> None:
    library = packages / LIBRARIES[name] / "lib" / name
    library.rename(library.with_name(name.partition(".so.")[0] + ".so.13"))  # as other packages bring it
    assert cuda_libraries.missing() == (name,)


def test_a_damaged_library_is_missing(packages: Path) -> None:
    (packages / "cusolver" / "lib" / CUSOLVER).write_bytes(b"half of it")
    assert cuda_libraries.missing() == (CUSOLVER,)


def test_a_library_may_print_when_it_is_opened(packages: Path) -> None:
    replace(packages / "cusolver" / "lib" / CUSOLVER, 'puts("CUDA 12")')
    assert cuda_libraries.missing() == ()


def test_a_module_of_the_users_does_not_hide_them(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("nvidia.py").touch()
    monkeypatch.setattr("sys.path", ["", str(packages.parent)])
    assert cuda_libraries.missing() == ()


def test_a_library_that_ends_its_process_is_missing_and_so_are_those_after_it(packages: Path) -> None:
    replace(packages / "cusolver" / "lib" / CUSOLVER, "abort()")
    assert cuda_libraries.missing() == (CUSOLVER, "libcudnn.so.9")


def test_without_nvidias_packages_all_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert cuda_libraries.missing() == tuple(LIBRARIES)


def test_ld_library_path_comes_first_as_it_does_for_every_program(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / CUSOLVER).write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", f":{tmp_path};{own}:")
    assert cuda_libraries.missing() == (CUSOLVER,)
    shutil.copy(packages / "cusolver" / "lib" / CUSOLVER, own)
    shutil.rmtree(packages / "cusolver")
    cuda_libraries.missing.cache_clear()
    assert cuda_libraries.missing() == ()


@pytest.mark.parametrize("executable", [sys.executable, "/nowhere/python"], ids=["hangs", "cannot start"])
def test_where_no_process_can_try_it_nothing_is_said_to_be_missing(
    executable: str, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(packages / "cusolver" / "lib" / CUSOLVER, "pause()")
    monkeypatch.setattr(cuda_libraries, "LIMIT", 0.2)
    monkeypatch.setattr("sys.executable", executable)
    assert cuda_libraries.missing() == ()


@pytest.mark.long
@pytest.mark.skipif(not NVIDIAS_OWN, reason="NVIDIA's packages are not installed")
def test_tensorflow_finds_nvidias_own_libraries_once_they_are_open() -> None:
    assert cuda_libraries.missing() == ()
    assert found_by_tensorflow(opens=True) == {*LIBRARIES, CHECK}
