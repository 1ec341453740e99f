"""These tests need no GPU: they invent the driver's folder and the libraries."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps import environment
from sweeps.trials import gpus
from sweeps.trials.gpus import Gpus
from tests.conftest import ROOT

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with some GPUs, with or without cuDNN, and CUDA_VISIBLE_DEVICES set or not."""
    gpus.forget()

    def make(installed: int, visible: str | None = None, libraries: bool = True) -> None:
        for number in range(installed):
            folder = tmp_path / "driver" / f"0000:{number:02x}:00.0"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "information").write_text("Model: \t\t NVIDIA A100\nIRQ:   \t\t 32\n")
        monkeypatch.setattr(gpus, "DRIVER", tmp_path / "driver")
        monkeypatch.setattr(gpus, "WINDOWS", tmp_path / "dxg")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: libraries or None)
        monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
        # Set even where it has to be unset, so that the changes of `pin_worker` are undone.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    return make


@pytest.mark.parametrize(
    ("installed", "variable", "visible"),
    [
        (0, None, ()),
        (2, None, ("0", "1")),
        (2, "", ()),
        (2, "-1", ()),
        (2, "NoDevFiles", ()),
        (3, "2, 0", ("2", "0")),
        (2, "1,-1,0", ("1",)),
        (2, "0,2,1", ("0",)),
        (2, "GPU-8932f937,1", ("GPU-8932f937", "1")),
        (1, "MIG-41b8ce9f", ("MIG-41b8ce9f",)),
        (0, "0", ()),
        (0, "GPU-8932f937", ()),
        (2, "1,01,1", ("1",)),
        (2, "0,", ("0",)),
        (2, "1,2\u00b2", ("1",)),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    installed: int, variable: str | None, visible: tuple[str, ...], machine: Machine
) -> None:
    machine(installed, variable)
    assert gpus.gpus() == Gpus(visible)


@pytest.mark.parametrize("variable", ["all", "0;1", ",0", "2", "+1", "9" * 5000])
def test_a_value_that_begins_with_no_gpu_is_named_as_the_reason_why_none_is_used(
    variable: str, machine: Machine
) -> None:
    machine(2, variable)
    assert gpus.gpus() == Gpus(
        (), f"CUDA_VISIBLE_DEVICES={variable} begins with no GPU of this machine; trials run on the processor"
    )


def test_without_tensorflows_libraries_no_gpu_is_used_and_one_line_names_the_remedy(machine: Machine) -> None:
    machine(2, libraries=False)
    ids, unused = gpus.gpus()
    assert ids == ()
    assert unused.startswith("2 GPUs not used: ")
    assert "make install TENSORFLOW=cuda" in unused
    assert "\n" not in unused


@pytest.mark.parametrize("libraries", [True, False])
def test_a_machine_without_gpus_has_none_unused(libraries: bool, machine: Machine) -> None:
    machine(0, libraries=libraries)
    assert gpus.gpus() == Gpus((), "")


@pytest.mark.parametrize(
    ("packages", "system", "usable"),
    [
        ({"nvidia", "nvidia.cudnn"}, None, True),
        ({"nvidia"}, None, False),  # of another package, e.g. nvidia-ml-py
        (set(), None, False),
        (set(), "libcudnn.so.9", True),
    ],
)
def test_the_libraries_may_be_the_extras_or_the_systems(
    packages: set[str], system: str | None, usable: bool, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> object:
        if "." in name and name.partition(".")[0] not in packages:
            raise ModuleNotFoundError
        return object() if name in packages else None

    machine(1)
    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: {"cudnn": system}[name])
    assert bool(gpus.gpus().ids) == usable


@pytest.mark.parametrize(
    "listing", ["", "GPU 0: a (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\nGPU 1: b (UUID)\n"]
)
def test_on_windowss_linux_the_drivers_tool_counts_the_gpus(
    listing: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(0)
    (tmp_path / "dxg").touch()
    monkeypatch.setenv("PATH", "")
    assert gpus.gpus() == Gpus(())
    (tmp_path / "listing").write_text(listing)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] && while read -r line; do echo "$line"; done < {tmp_path}/listing\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.gpus() == Gpus(("0", "1") if listing else ())


@pytest.mark.parametrize("script", ["#!/bin/sh\nexec /bin/sleep 60\n", "#!/nowhere\n", "#!/bin/sh\nexit 9\n"])
def test_a_tool_that_hangs_or_fails_counts_none(
    script: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(0)
    (tmp_path / "dxg").touch()
    (tmp_path / "nvidia-smi").write_text(script)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "LISTING", 0.2)
    assert gpus.gpus() == Gpus(())


def test_workers_take_the_gpus_in_turn_and_see_one_each(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(3, "2,0")
    seen = []
    for worker in range(5):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
        gpus.pin_worker(worker)
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["2", "0", "2", "0", "2"]


def test_without_a_gpu_the_environment_stays_as_it_is(machine: Machine) -> None:
    machine(0)
    gpus.pin_worker(0)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(("visible", "models"), [(None, "NVIDIA A100"), ("", None)])
def test_the_model_is_recorded_with_the_machine_where_it_is_used(
    visible: str | None, models: str | None, machine: Machine
) -> None:
    machine(2, visible)
    assert environment.machine().get("gpus") == models


@pytest.mark.parametrize(
    ("opened", "ids", "unused"),
    [
        ([1, 1], ("0", "1"), ""),
        ([0, 0], (), "TensorFlow opens no GPU in 2 of 2 workers, which train on the processor: "),
        ([1, 0], ("0", "1"), "TensorFlow opens no GPU in 1 of 2 workers, which train on the processor: "),
        ([], (), ""),  # a cluster's workers are elsewhere
    ],
)
def test_no_gpu_is_claimed_that_tensorflow_did_not_open(
    opened: list[int], ids: tuple[str, ...], unused: str, machine: Machine
) -> None:
    machine(2)
    gpus.correct(opened)
    found = gpus.gpus()
    assert found.ids == ids
    assert found.unused.startswith(unused)
    assert bool(found.unused) == bool(unused)
    assert ("gpus" in environment.machine()) == bool(ids)
    gpus.forget()
    assert gpus.gpus() == Gpus(("0", "1"))


def test_gpus_are_found_without_tensorflow() -> None:
    code = "import sys; from sweeps.trials import gpus; gpus.gpus(); print('tensorflow' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"
