import os
import sys

import pytest

from sweeps.trials.native_logs import without_native_logs


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_native_messages_stay_off_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with without_native_logs():
        os.write(2, b"Could not find cuda drivers\n")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "shown"), [(ImportError("libnothing.so"), "first\nsecond\n"), (KeyboardInterrupt(), "")]
)
def test_they_are_shown_when_the_block_raises_an_error_and_not_when_it_is_interrupted(
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
