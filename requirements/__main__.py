"""Make an environment: `python requirements .venv cpu`, or `cuda` for NVIDIA's GPUs; `dev` adds the tests' tools.

TensorFlow comes in two packages that own the same files, so no environment may have both: the other one goes first. The
files beside this one name every package with its digests: `run` without TensorFlow, `cpu` or `cuda` with it, `dev`, and
`slurm` and `kubernetes` for the engines of these names, which `dev` has too.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = (3, 11), (3, 14)  # the first one that is supported, and the first one that is not
# Gigabytes on the disk, which were measured, and an estimate of those of them that are fetched.
SIZES = {"cpu": (2.1, 0.6), "cuda": (7.2, 3.2)}
DEV = 0.3
WORDS = {"cpu": "TensorFlow for processors alone", "cuda": "TensorFlow with CUDA for NVIDIA's GPUs"}
SPEED = 10  # MB a second that are fetched and unpacked, on two cores
LINES = 30  # seconds between two lines where no line can be drawn again


def main() -> None:
    """Make or complete the environment that the arguments name."""
    version = sys.version_info[:2]
    if not PYTHONS[0] <= version < PYTHONS[1]:
        here = f"{sys.executable} is {version[0]}.{version[1]}"
        sys.exit(f"error: Python 3.11 to 3.13 is needed, {here}: make PYTHON=python3.12 …")
    folder, tensorflow, *more = sys.argv[1:]
    locks = ["run", tensorflow, *more]
    print(introduction(folder, tensorflow, more), flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [f"{folder}/bin/python", "-m", "pip"]
    packages = installed(folder)
    if other := foreign(packages, tensorflow):
        print(f"  removing {', '.join(other)}", flush=True)
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *other], check=True)
    files = [part for lock in locks for part in ("-r", str(HERE / f"{lock}.lock"))]
    run_with_progress([*pip, "install", "--no-compile", "--require-hashes", *files], folder, len(pins(locks)))
    own = ["--no-deps", "--no-build-isolation", "--editable", str(HERE.parent)]
    subprocess.run([*pip, "install", "--quiet", *own], check=True)


def introduction(folder: str, tensorflow: str, more: Iterable[str]) -> str:
    """Say what is installed where, how large it is, and about how long that takes."""
    size, fetched = SIZES[tensorflow]
    size += DEV if more else 0
    parts = "what running needs" + (" and the tools of development" if more else "")
    minutes = max(1, round(size * 1000 / SPEED / 60))
    return (
        f"installing {parts} into {folder}, with {WORDS[tensorflow]}:\n"
        f"  {size:.1f} GB on the disk, {fetched:.1f} GB of them fetched unless pip has them; about {minutes} minutes"
    )


def pins(locks: Iterable[str]) -> set[str]:
    """Return the names of the packages in some lock files."""
    texts = (HERE.joinpath(f"{lock}.lock").read_text(encoding="utf-8") for lock in locks)
    return {name for text in texts for name in re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)}


def installed(folder: str) -> set[str]:
    """Return the names of the packages that an environment has."""
    records = Path(folder).glob("lib/python*/site-packages/*.dist-info")
    return {record.name.split("-")[0].lower().replace("_", "-") for record in records}


def foreign(packages: set[str], tensorflow: str) -> list[str]:
    """Return what of an environment must go before TensorFlow comes: the other one, and what only that needs.

    If both are there, both go: each has written over the other's files.
    """
    has_own = sys.platform == "linux" and platform.machine() == "x86_64"  # a package for processors alone
    wanted = "tensorflow-cpu" if tensorflow == "cpu" and has_own else "tensorflow"
    here = packages & {"tensorflow", "tensorflow-cpu"}
    libraries = packages & (pins(["cuda"]) - pins(["cpu"])) if tensorflow == "cpu" else set()
    return sorted((here if here - {wanted} else set()) | libraries)


def run_with_progress(command: list[str], folder: str, count: int) -> None:
    """Run pip, and say every second on a terminal how far it is, else now and then."""
    began, spoken, before = time.monotonic(), 0.0, len(installed(folder))
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(command, stdout=output)
        while process.poll() is None:
            time.sleep(1)
            seconds = time.monotonic() - began
            output.seek(0)
            line = f"  {progress(output.read(), len(installed(folder)) - before, count)}, {seconds:.0f} s"
            if sys.stdout.isatty():
                print(f"{line:<70}\r", end="", flush=True)  # pip's own warnings are written over it
            elif seconds - spoken > LINES:
                spoken = seconds
                print(line, flush=True)
        print(" " * 70 + "\r" if sys.stdout.isatty() else "", end="")
    if process.returncode:
        sys.exit(f"error: pip could not install the packages, see above; {sys.executable} -m pip --version names it")


def progress(output: str, new: int, count: int) -> str:
    """Say how far pip is: it fetches all packages, then unpacks them one after the other."""
    if found := re.search(r"^Installing collected packages: (.*)", output, re.MULTILINE):
        return f"unpacked {new} of {found[1].count(',') + 1} packages"
    return (
        f"fetched {len(re.findall(r'^(?:Collecting|Requirement already)', output, re.MULTILINE))} of {count} packages"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(error.cmd[:4])} … failed, see above")
