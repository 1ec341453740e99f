"""The one line that stands for an error."""

import pytest

from conf.schema import ConfigError
from sweeps.errors import SweepError, reason_of

KERAS = (
    "Exception encountered when calling MaxPooling1D.call().\n\n\x1b[1mComputed output size would be zero or negative."
    "\x1b[0m\n\nArguments received by MaxPooling1D.call():\n  • args=('<KerasTensor>',)"
)
UNTRACEABLE = (
    "Exception encountered when calling Bad.call().\n\n\x1b[1mCould not automatically infer the output shape / dtype "
    "of 'bad' (of type Bad). Either the `Bad.call()` method is incorrect, or you need …. Error encountered:"
    "\n\n'x'\x1b[0m\n\nArguments received by Bad.call():\n  • args=()"
)
TENSORFLOW = (
    "Graph execution error:\n\nDetected at node a/GatherV2 defined at (most recent call last):\n"
    '  File "/a/trainer.py", line 399, in fit\n\nindices[0,0] = 9 is not in [0, 5)\n\t [[{{node a/GatherV2}}]]'
)
OPERATION = (
    "{{function_node __wrapped__GatherV2_device_/job:localhost/replica:0/task:0/device:CPU:0}} "
    "indices[0,0] = 17 is not in [0, 2) [Op:GatherV2] name: "
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError(KERAS), "ValueError: Computed output size would be zero or negative."),
        (KeyError(UNTRACEABLE), "KeyError: 'x'"),
        (RuntimeError(OPERATION), "RuntimeError: indices[0,0] = 17 is not in [0, 2)"),
        (RuntimeError(TENSORFLOW), "RuntimeError: indices[0,0] = 9 is not in [0, 5)"),
        (ZeroDivisionError("a\nb"), "ZeroDivisionError: a"),
        (ValueError("\n\n  a  \n"), "ValueError: a"),
        (AssertionError(), "AssertionError"),
        (KeyError("units"), "KeyError: units"),
        (ValueError("Exception encountered when calling A.call()."), None),
    ],
)
def test_it_names_the_cause(error: Exception, line: str | None) -> None:
    assert reason_of(error) == (line or f"{type(error).__name__}: {error}")


def test_it_names_the_cause_that_another_error_stands_for() -> None:
    try:
        try:
            raise ValueError("the pool is larger than the text")
        except ValueError as error:
            raise RuntimeError("the model cannot be built") from error
    except RuntimeError as error:
        line = reason_of(error)
    assert line == "RuntimeError: the model cannot be built (ValueError: the pool is larger than the text)"


@pytest.mark.parametrize("kind", [ConfigError, SweepError])
def test_an_error_of_ours_is_one_line_without_passwords(kind: type[Exception]) -> None:
    error = kind("cannot open\n  http://bob:geheim@h,\nnor postgresql://h/db?password=geheim")
    assert str(error) == "cannot open http://bob@h, nor postgresql://h/db"


@pytest.mark.parametrize("kind", [ConfigError, SweepError])
def test_a_notebook_shows_one_line_of_an_error_that_explains_itself(kind: type[Exception]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell, shown = InteractiveShell(), list[str]()
    shell._showtraceback = lambda _, value, lines: shown.extend(lines)
    shell.user_ns["error"] = kind("trials=0: must be at least 1")
    shell.run_cell("raise error")
    assert shown == [f"{kind.__name__}: trials=0: must be at least 1"]
