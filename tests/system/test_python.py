"""Sweeps from Python, as scripts and notebooks run them."""

import asyncio
import json
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweeps import journal
from sweeps.journal import SweepRecord
from tests.conftest import ROOT
from tests.servers import Start
from tests.system.conftest import SEARCHED, Searched

SMALL = ("experiment=smoke", "datasets.imdb.maxlen=10", "references=none", "model.space.lstm_units=4",
         "model.space.embedding_dim=8", "model.space.conv_filters=8")  # fmt: skip
WAIT = 600  # seconds

Script = Callable[..., Any]


@pytest.fixture
def script(start: Start, tmp_path: Path) -> Script:
    """Starts a script without `if __name__ == "__main__"`, in which ARGUMENTS are those of a sweep."""

    def run(body: str, arguments: tuple[str, ...] = (), **options: Any) -> Any:
        head = f"from text_sweeps import *\nARGUMENTS = {arguments!r}\nopen('runs.txt', 'a').write('x')\n"
        (tmp_path / "script.py").write_text(head + textwrap.dedent(body))
        return start([sys.executable, "script.py"], cwd=tmp_path, **options)

    return run


def outcome(record: SweepRecord) -> list[object]:
    """Everything that a trial's numbers are, but their times."""
    return [
        (trial.trial, dict(trial.values), trial.seed, trial.curves, trial.objective, dict(trial.test))
        for trial in record.trials.values()
    ]


@pytest.mark.long
def test_a_script_trains_the_trials_of_the_command_line_to_the_last_bit_and_again(
    script: Script, cluster: str, searched: Searched, tmp_path: Path
) -> None:
    process = script(
        """
        import json, threading
        first, second = sweep(*ARGUMENTS), sweep(*ARGUMENTS)
        assert len(first.trials) == 3 and first["imdb"].names == first.names != second.names
        thread = threading.Thread(target=lambda: names.append(sweep(*ARGUMENTS).names[0]))
        names = []
        thread.start()
        thread.join()
        try:
            first.classify(["a text"])
        except ConfigError as error:
            print(error)
        network = first.model()
        import numpy
        print("shape", network.predict(numpy.zeros((2, 20), "int32"), verbose=0).shape)
        json.dump([*first.names, *second.names, *names], open("names.json", "w"))
        """,
        (*SEARCHED, "engine=cluster", f"engine.scheduler={cluster}"),
    )
    output, _ = process.communicate(timeout=2 * WAIT)
    assert process.returncode == 0, output
    names = json.loads((tmp_path / "names.json").read_text())
    assert len(set(names)) == 3
    for name in names:
        directory = tmp_path / "outputs" / name
        assert outcome(SweepRecord.of(directory, journal.read(directory))) == outcome(searched.record)
    assert output.count("imdb trial 2 (stand-in): val/accuracy") == 3
    assert len(output.splitlines()) < 150
    assert "stand-in data have no texts" in output
    assert "shape (2, 2)" in output


def test_a_script_runs_once_and_its_process_stays_as_it_was(script: Script, tmp_path: Path) -> None:
    (tmp_path / "keras_tuner.py").write_text("raise SystemExit('the keras_tuner of somebody else')")
    process = script(
        """
        import os, signal, sys, threading
        loaded = {"tensorflow", "mlflow", "pandas"} & sys.modules.keys()
        def state():
            handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
            return handlers, dict(os.environ), sys.argv, sys.path[:], os.getcwd(), sys.stdout, threading.active_count()
        before = state()
        print(sweep(*ARGUMENTS, "engine.workers=2", trials=2, epochs=1))
        print(state() == before, loaded or {"tensorflow", "mlflow", "distributed"} & sys.modules.keys())
        """,
        SMALL,
    )
    output, _ = process.communicate(timeout=WAIT)
    summary, unchanged = output.splitlines()[-2:]
    assert "2 of 2 trials completed" in summary
    assert unchanged == "True set()"
    assert (tmp_path / "runs.txt").read_text() == "x"


def test_a_module_of_the_users_that_hides_a_package_is_named(script: Script, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("")
    output, _ = script("").communicate(timeout=WAIT)
    assert (
        output.splitlines()[-1]
        == f"ImportError: {tmp_path}/models.py: hides the models of text-sweeps; rename or move it"
    )


MISTAKES = {
    "sweep('model=lstn')": "ConfigError: model=lstn: no such option",
    "sweep(trials=0)": "ConfigError: trials=0: must be at least 1",
    "sweep('resume=outputs/nothing')": "ConfigError: resume=outputs/nothing: no such directory",
    "load('nothing')": "ConfigError: tracking.uri=",
}


def test_what_a_command_refuses_is_an_exception_of_one_line_and_leaves_nothing(script: Script, tmp_path: Path) -> None:
    process = script(
        f"""
        for call in {list(MISTAKES)}:
            try:
                eval(call)
            except (ConfigError, SweepError) as error:
                print("ConfigError" if isinstance(error, ConfigError) else "SweepError", error, sep=": ")
        """
    )
    output, _ = process.communicate(timeout=WAIT)
    assert process.returncode == 0, output
    for line, message in zip(output.splitlines(), MISTAKES.values(), strict=True):
        assert line.startswith(message)
    assert not (tmp_path / "outputs").exists()


def _wait_for_trial(process: Any) -> list[str]:
    """Read what a process prints until its first trial has ended."""
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "trial 0 (stand-in): val/accuracy" in line:
            return lines
    raise AssertionError("".join(lines))


@pytest.mark.long
def test_an_interrupted_sweep_ends_in_order_and_goes_on(script: Script, cluster: str, tmp_path: Path) -> None:
    process = script(
        """
        from pathlib import Path
        try:
            sweep(*ARGUMENTS, trials=10, epochs=3)
        except KeyboardInterrupt:
            print("caught")
        (directory,) = Path("outputs").iterdir()
        print(sweep(resume=directory))
        """,
        (*SMALL, "engine=cluster", f"engine.scheduler={cluster}"),
    )
    lines = _wait_for_trial(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WAIT)
    output = "".join(lines) + output
    assert process.returncode == 0, output
    assert output.index("Finished trials are kept") < output.index("caught") < output.index("resumed imdb")
    assert "10 of 10 trials completed" in output.splitlines()[-1]


@pytest.mark.long
def test_a_sweep_ends_in_order_when_the_script_is_killed(script: Script, cluster: str, tmp_path: Path) -> None:
    process = script(
        "sweep(*ARGUMENTS, trials=50, epochs=20)", (*SMALL, "engine=cluster", f"engine.scheduler={cluster}")
    )
    _wait_for_trial(process)
    (child,) = psutil.Process(process.pid).children()
    process.kill()
    child.wait(timeout=60)
    (directory,) = (tmp_path / "outputs").glob("*/imdb")
    with journal.locked(directory.parent):
        assert SweepRecord.of(directory, journal.read(directory)).ended is None


CELLS = (
    "from text_sweeps import load, sweep\nimport os, signal, sys\nhandlers = signal.getsignal(signal.SIGINT)\n"
    "modules = {'tensorflow', 'mlflow', 'pandas'} & sys.modules.keys()",
    "results = sweep(*ARGUMENTS, trials=2, epochs=1)",
    "results",
    "results.trials[['trial', 'status', 'test/accuracy']]",
    "results.report()",
    "load(results.names[0]).curves.shape, modules, handlers is signal.getsignal(signal.SIGINT)",
    "sweep(*ARGUMENTS, trials=-1)",
)


@pytest.fixture
def notebook(cluster: str, tmp_path: Path) -> Callable[..., Any]:
    """Makes a notebook, in which ARGUMENTS are those of a small sweep, and its client."""
    import nbformat
    from nbclient import NotebookClient

    def client(*cells: str) -> Any:
        arguments = (*SMALL, "engine=cluster", f"engine.scheduler={cluster}")
        sources = [f"import sys; sys.path.insert(0, {str(ROOT)!r}); ARGUMENTS = {arguments!r}", *cells]
        content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        kernels = {"resources": {"metadata": {"path": str(tmp_path)}}, "kernel_name": "python3"}
        return NotebookClient(content, timeout=WAIT, allow_errors=True, **kernels)

    return client


def _shown(cell: Any, kind: str) -> str:
    """Return the text that a cell shows of a kind: `stream`, or the type of data of its last expression."""
    texts = [output["text"] if kind == "stream" else output.get("data", {}).get(kind, "") for output in cell.outputs
             if (output["output_type"] == "stream") == (kind == "stream")]  # fmt: skip
    return "".join(texts)


def test_a_notebook_runs_a_sweep_and_shows_it(notebook: Callable[..., Any]) -> None:
    client = notebook(*CELLS)
    _, first, run, results, trials, report, rest, mistake = client.execute().cells
    assert not any("ename" in output for cell in (first, run, results, trials, report, rest) for output in cell.outputs)
    lines = _shown(run, "stream").splitlines()
    assert any("imdb trial 1 (stand-in): val/accuracy" in line for line in lines)
    assert len(lines) < 60
    assert "\x1b" not in "".join(lines)
    assert _shown(results, "text/html").count("<tr") == 3
    assert _shown(trials, "text/html").count("completed") == 2
    assert _shown(report, "text/html").startswith("<iframe sandbox srcdoc=")
    assert _shown(rest, "text/plain") == "((2, 11), set(), True)"
    (error,) = mistake.outputs
    assert (error["ename"], error["evalue"]) == ("ConfigError", "trials=-1: must be at least 1")


@pytest.mark.long
def test_an_interrupted_kernel_ends_the_sweep_in_order_and_goes_on(notebook: Callable[..., Any]) -> None:
    client = notebook(
        "from text_sweeps import sweep\nsweep(*ARGUMENTS, trials=10, epochs=3)",
        "from pathlib import Path\n(directory,) = Path('outputs').iterdir()\nlen(sweep(resume=directory).trials)",
    )
    _, run, again = client.nb.cells

    def interrupt() -> None:
        deadline = time.monotonic() + WAIT
        while "trial 0 (stand-in): val/accuracy" not in _shown(run, "stream") and time.monotonic() < deadline:
            time.sleep(0.2)
        asyncio.run(client.km.interrupt_kernel())

    thread = threading.Thread(target=interrupt)
    thread.start()
    client.execute()
    thread.join()
    assert run.outputs[-1]["ename"] == "KeyboardInterrupt"
    assert "Finished trials are kept" in _shown(run, "stream")
    assert _shown(again, "text/plain") == "10"
