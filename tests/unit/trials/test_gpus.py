"""These tests need no GPU: they invent the driver's folder and what of TensorFlow and its libraries is here."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sweeps import environment
from sweeps.trials import cuda_libraries, gpus
from sweeps.trials.cuda_libraries import LIBRARIES
from sweeps.trials.gpus import Gpus
from tests.conftest import ROOT

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with some GPUs, CUDA_VISIBLE_DEVICES set or not, and what TensorFlow lacks there."""
    gpus.forget()

    def version(package: str, for_processors: bool) -> str:
        if package == "tensorflow-cpu" and not for_processors:
            raise metadata.PackageNotFoundError
        return "2.21.0"

    def make(
        installed: int, visible: str | None = None, missing: Sequence[str] = (), for_processors: bool = False
    ) -> None:
        for number in range(installed):
            folder = tmp_path / "driver" / f"0000:{number:02x}:00.0"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "information").write_text("Model: \t\t NVIDIA A100\nIRQ:   \t\t 32\n")
        monkeypatch.setattr(gpus, "DRIVER", tmp_path / "driver")
        monkeypatch.setattr(gpus, "WINDOWS", tmp_path / "dxg")
        monkeypatch.setattr(cuda_libraries, "missing", lambda: tuple(missing))
        monkeypatch.setattr("importlib.metadata.version", lambda package: version(package, for_processors))
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


REMEDY = "make install TENSORFLOW=cuda, or with pip the extra cuda instead of cpu; trials run on the processor"


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"missing": ["libcusolver.so.11"]}, "2 GPUs not used: TensorFlow cannot open libcusolver.so.11: "),
        (
            {"missing": ["libcublas.so.12", "libcudnn.so.9"]},
            "2 GPUs not used: TensorFlow cannot open libcublas.so.12, libcudnn.so.9: ",
        ),
        ({"missing": list(LIBRARIES)}, "2 GPUs not used: TensorFlow's CUDA libraries are not installed: "),
        ({"for_processors": True}, "2 GPUs not used: TensorFlow is installed for processors alone: "),
    ],
)
def test_one_line_names_what_tensorflow_lacks_and_the_remedy_and_no_worker_tries(
    lacks: dict[str, Any], said: str, machine: Machine
) -> None:
    machine(2, **lacks)
    assert gpus.gpus() == Gpus((), said + REMEDY)
    assert gpus.hidden_from_workers() == {"CUDA_VISIBLE_DEVICES": "-1"}
    assert "gpus" not in environment.machine()


def test_one_gpu_is_one(machine: Machine) -> None:
    machine(1, for_processors=True)
    assert gpus.gpus().unused.startswith("1 GPU not used: ")


@pytest.mark.parametrize("missing", [[], list(LIBRARIES)])
def test_a_machine_without_gpus_has_none_unused(missing: list[str], machine: Machine) -> None:
    machine(0, missing=missing, for_processors=bool(missing))
    assert gpus.gpus() == Gpus((), "")
    assert gpus.hidden_from_workers() == {}


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


NOT_OPENED = "2 GPUs not used: TensorFlow opens none (is NVIDIA's driver recent enough for CUDA 12?)"


@pytest.mark.parametrize(
    ("opened", "ids", "unused"),
    [
        ([1, 1], ("0", "1"), ""),
        ([0, 0], (), f"{NOT_OPENED}; trials run on the processor"),
        ([], (), f"{NOT_OPENED}; trials run on the processor"),  # the workers died of it
        ([1, 0], ("0", "1"), "TensorFlow opens no GPU in 1 of 2 workers, which train on the processor"),
    ],
)
def test_no_gpu_is_claimed_that_tensorflow_did_not_open(
    opened: list[int], ids: tuple[str, ...], unused: str, machine: Machine
) -> None:
    machine(2)
    gpus.correct(opened)
    assert gpus.gpus() == Gpus(ids, unused)
    assert ("gpus" in environment.machine()) == bool(ids)
    assert bool(gpus.hidden_from_workers()) == (not ids)
    gpus.forget()
    assert gpus.gpus() == Gpus(("0", "1"))


def test_where_trials_run_on_other_machines_the_gpus_of_this_one_need_no_reason(machine: Machine) -> None:
    machine(2)
    gpus.disregard()
    assert gpus.gpus() == Gpus(())
    assert "gpus" not in environment.machine()


def test_gpus_are_found_without_tensorflow() -> None:
    code = "import sys; from sweeps.trials import gpus; gpus.gpus(); print('tensorflow' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"
