"""No GPU is needed: the driver's folder and the libraries are made up."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.trials import gpus
from sweeps import environment
from sweeps.trials.gpus import Gpus

ROOT = Path(__file__).parent.parent
Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with so many GPUs, with or without cuDNN, and CUDA_VISIBLE_DEVICES as told."""

    def make(gpus: int, visible: str | None = None, libraries: bool = True) -> None:
        for number in range(gpus):
            folder = tmp_path / "driver" / f"0000:{number:02x}:00.0"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "information").write_text("Model: \t\t NVIDIA A100\nIRQ:   \t\t 32\n")
        monkeypatch.setattr(devices, "DRIVER", tmp_path / "driver")
        monkeypatch.setattr(devices, "WINDOWS", tmp_path / "dxg")
        monkeypatch.setattr(gpus, "_libraries", lambda: libraries)
        # Set even where it is to be unset, so that what `share` does to it is undone.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    return make


@pytest.mark.parametrize(
    ("installed", "told", "visible"),
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
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    installed: int, told: str | None, visible: tuple[str, ...], machine: Machine
) -> None:
    machine(installed, told)
    assert gpus.gpus() == Gpus(visible)


def test_without_tensorflows_libraries_none_is_used_and_the_remedy_is_told_in_one_line(machine: Machine) -> None:
    machine(2, libraries=False)
    found = gpus.gpus()
    assert found.ids == ()
    assert found.unused.startswith("2 GPUs not used: ")
    assert "pip install '.[cuda]'" in found.unused
    assert "\n" not in found.unused


@pytest.mark.parametrize("libraries", [True, False])
def test_nothing_is_said_where_no_gpu_is(libraries: bool, machine: Machine) -> None:
    machine(0, libraries=libraries)
    assert gpus.gpus() == Gpus((), "")


@pytest.mark.parametrize(
    ("packages", "system", "found"),
    [
        ({"nvidia", "nvidia.cudnn"}, None, True),
        ({"nvidia"}, None, False),  # of another package, e.g. nvidia-ml-py
        (set(), None, False),
        (set(), "libcudnn.so.9", True),
    ],
)
def test_the_libraries_are_the_extras_or_the_systems(
    packages: set[str], system: str | None, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> object:
        if "." in name and name.partition(".")[0] not in packages:
            raise ModuleNotFoundError
        return object() if name in packages else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: {"cudnn": system}[name])
    assert gpus._libraries() == found


@pytest.mark.parametrize(
    "listed", ["", "GPU 0: a (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\nGPU 1: b (UUID)\n"]
)
def test_in_windowss_linux_the_drivers_tool_counts(
    listed: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(0)
    (tmp_path / "dxg").touch()
    monkeypatch.setenv("PATH", "")
    assert gpus.gpus() == Gpus(())
    (tmp_path / "listed").write_text(listed)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] && while read -r line; do echo "$line"; done < {tmp_path}/listed\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.gpus() == Gpus(("0", "1") if listed else ())


def test_workers_take_the_gpus_in_turn_and_see_one_each(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(3, "2,0")
    seen = []
    for worker in range(5):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
        gpus.share(worker)
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["2", "0", "2", "0", "2"]


def test_without_a_gpu_the_environment_stays_as_it_is(machine: Machine) -> None:
    machine(0)
    gpus.share(0)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_the_model_is_recorded_with_the_machine_where_it_is_used(machine: Machine) -> None:
    machine(2)
    assert environment.machine()["gpus"] == "NVIDIA A100"
    machine(2, visible="")
    assert "gpus" not in environment.machine()


def test_gpus_are_found_without_tensorflow() -> None:
    code = "import sys; from sweeps import devices; gpus.gpus(); print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
