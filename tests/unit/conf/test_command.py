import sys
from importlib import import_module

import pytest

from sweeps import invocation

COMMANDS = ("completion", "confirm", "list", "predict", "report", "reproduce", "sync", "ui")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("arguments", [["-h"], ["tracking.uri=x", "--help"]], ids=" ".join)
def test_help_is_printed_and_is_no_failure(
    name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = import_module(f"pipelines.{name}")
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.setattr(invocation, "command", lambda name: f"python -m pipelines.{name}")
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert not ended.value.code
    output = capsys.readouterr()
    assert (output.out, output.err) == (f"{command.__doc__}\n", "")
