import os
import subprocess
import sys

import pytest

from conf.schema import ConfigError
from sweeps.errors import SweepError
from sweeps.trials.native_logs import without_native_logs
from tests.conftest import ROOT


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_native_messages_stay_off_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with without_native_logs():
        os.write(2, b"Could not find cuda drivers\n")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ImportError("libnothing.so"), "first\nsecond\n"),
        (KeyboardInterrupt(), ""),
        (SweepError("the model cannot be loaded"), ""),
        (ConfigError("model=x: the store has no such model"), ""),
        (OSError(28, "No space left on device"), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_they_are_shown_when_the_block_raises_an_error_that_is_not_told_in_one_line_and_not_when_it_is_interrupted(
    error: BaseException, shown: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        os.write(2, b"first\nsecond\n")
        raise error

    with pytest.raises(type(error)) as raised, without_native_logs():
        fail()
    assert raised.value is error
    assert capfd.readouterr() == ("", shown)


@pytest.mark.parametrize("raises", [False, True])
def test_standard_error_is_restored_after_the_block(raises: bool, capfd: pytest.CaptureFixture[str]) -> None:
    before, opened = os.fstat(2), descriptors()
    try:
        with without_native_logs():
            assert not os.path.samestat(os.fstat(2), before)
            if raises:
                raise ValueError
    except ValueError:
        assert raises
    assert os.path.samestat(os.fstat(2), before)
    assert descriptors() == opened
    os.write(2, b"native ")
    print("python", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "native python\n"


def test_text_that_python_wrote_before_the_block_is_not_held_back(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(2, "w", closefd=False) as buffered:
        monkeypatch.setattr(sys, "stderr", buffered)
        print("before", end="", file=sys.stderr)
        with without_native_logs():
            os.write(2, b"hidden")
            sys.stderr.flush()
    assert capfd.readouterr().err == "before"


def test_standard_output_is_not_touched(capfd: pytest.CaptureFixture[str]) -> None:
    with without_native_logs():
        os.write(1, b"results\n")
    assert capfd.readouterr() == ("results\n", "")


DROPPING = """
import logging, os, subprocess, sys, warnings
from sweeps.trials.native_logs import drop_native_logs, without_native_logs
drop_native_logs()
os.write(2, b"Loaded cuDNN version")
subprocess.run(["sh", "-c", "echo XLA >&2"])
print("python", "\\N{HANGUL SYLLABLE HAN}", file=sys.stderr)
logging.warning("logged")
with without_native_logs():
    os.write(2, b"Could not find cuda drivers")
    print("meanwhile", file=sys.stderr)
raise SystemExit("the end")
"""


def test_a_process_that_drops_them_still_shows_what_python_writes() -> None:
    ended = subprocess.run([sys.executable, "-c", DROPPING], cwd=ROOT, capture_output=True, check=False)
    shown = "python \N{HANGUL SYLLABLE HAN}\nWARNING:root:logged\nmeanwhile\nthe end\n"
    assert (ended.stderr.decode(), ended.returncode) == (shown, 1)
