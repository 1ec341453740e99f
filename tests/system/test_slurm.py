"""A real SLURM on this machine, whose jobs are the workers."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import pytest

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError
from sweeps.trials.dask_engine import elastic, slurm
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.dask_engine.worker import THREADS
from sweeps.trials.engine import Failed, Finished, Message, Started
from tests.conftest import ROOT
from tests.slurm import ask, missing, running
from tests.specs import spec

pytest.importorskip("dask_jobqueue", reason="needs the extra slurm")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(missing()), reason=f"needs Debian's slurmd, slurmctld and munge: {missing()}"),
]

CONFIG = EngineConfig("slurm", memory="1GiB", min=1, max=3, walltime="00:10:00")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running(tmp_path_factory.mktemp("slurm")) as configuration:
        yield configuration


@pytest.fixture(autouse=True)
def here(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to submit from, and workers that listen on loopback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(slurm, "BETWEEN", 1)
    monkeypatch.setattr(elastic, "LOOK", 1)
    with dask.config.set({"jobqueue.slurm.interface": "lo"}):
        yield cluster
    until(lambda: not jobs(cluster))


def jobs(cluster: Path) -> list[str]:
    return ask(cluster, "squeue", "--noheader", "--format=%i").split()


def until(condition: Callable[[], object], engine: DaskEngine | None = None) -> list[Message]:
    """The messages of an engine until something is so."""
    messages: list[Message] = []
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        if engine is None:
            time.sleep(0.2)
        elif (message := engine.next(0.2)) is not None:
            messages.append(message)
    return messages


def ended(engine: DaskEngine) -> Finished | Failed:
    """Wait for the end of the one trial that is out."""
    (last,) = [each for each in until(lambda: not engine.busy, engine) if isinstance(each, Finished | Failed)]
    return last


def test_workers_come_as_trials_need_them_and_go_when_none_is_left(here: Path) -> None:
    with open_engine(CONFIG) as engine:
        assert len(jobs(here)) == engine.workers == 1
        engine.expect(9)
        until(lambda: engine.workers == 3, engine)
        engine.submit("tests.specs.until_stopped", spec())
        engine.expect(1)
        until(lambda: engine.workers == 1, engine)
        until(lambda: len(jobs(here)) == 1)
        assert engine.busy == 1  # the worker that is left is the one with the trial
        engine.stop(spec().sweep, "enough")
        assert isinstance(ended(engine), Finished)
        assert engine.lost_workers == 0
    assert list(Path("outputs/slurm").glob("certificate-*")) == []


def test_a_job_that_ends_costs_its_trial_an_attempt_and_another_follows(here: Path) -> None:
    with open_engine(replace(CONFIG, max=1)) as engine:
        (first,) = jobs(here)
        engine.submit("tests.specs.until_stopped", spec())
        until(lambda: isinstance(engine.next(0.2), Started))
        ask(here, "scancel", first)
        failed = ended(engine)
        assert isinstance(failed, Failed)
        assert (failed.lost, failed.reason) == (True, "worker died")
        engine.submit("tests.specs.environment", spec(trial=1))
        finished = ended(engine)
        assert isinstance(finished, Finished)
        assert finished.result["SLURM_JOB_ID"] in jobs(here)
        assert finished.result["SLURM_JOB_ID"] != first
        assert [finished.result[name] for name in THREADS] == ["1", "1", "1"]


def test_a_worker_past_its_memory_is_named_as_the_reason(here: Path) -> None:
    with open_engine(replace(CONFIG, memory="400MiB")) as engine:
        engine.submit("tests.specs.greedy", spec())
        failed = ended(engine)
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("out of memory: the worker took ")
        assert failed.reason.endswith(", more than engine.memory=400MiB")


def test_jobs_that_end_before_their_workers_come_end_the_sweep_with_their_last_line(here: Path) -> None:
    prologue = {"jobqueue.slurm.job-script-prologue": ["echo no such module >&2; exit 3"]}
    with (
        dask.config.set(prologue),
        pytest.raises(SweepError, match=r"^engine=slurm: jobs \d+, \d+, \d+ ended before .*\.err: no such module$"),
        open_engine(CONFIG),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"partition": "nowhere"}, r"SLURM refuses the job: .*[Ii]nvalid partition"),
        ({"threads": 64}, r"SLURM refuses the job: .*node configuration"),
        ({"gpus": 1}, r"SLURM refuses the job: .*Invalid generic resource"),
    ],
)
def test_a_job_that_slurm_would_never_run_is_refused_at_once(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^engine=slurm: {reason}"), open_engine(replace(CONFIG, **changes)):
        pass
    assert not Path("outputs").exists()


def test_a_job_that_would_wait_for_ever_ends_the_sweep(here: Path) -> None:
    reason = r"^engine=slurm: SLURM would let job \d+ wait for ever: PartitionTimeLimit$"
    with pytest.raises(SweepError, match=reason), open_engine(replace(CONFIG, walltime="9-00:00:00")):
        pass


def test_where_no_job_can_be_submitted_the_sweep_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PATH", "/nowhere")
        with pytest.raises(ConfigError, match=r"^engine=slurm: sbatch is not here"), open_engine(CONFIG):
            pass


COMMAND = [
    *(sys.executable, "-m", "pipelines.sweep", "experiment=smoke", "data=imdb", "model=bag", "trials=4"),
    *("engine=slurm", "engine.max=2", "engine.memory=2GiB", "engine.walltime=00:10:00"),
]


def test_a_whole_sweep_runs_in_jobs_and_leaves_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__INTERFACE", "lo")
    shown = subprocess.run([*COMMAND, "epochs=1", "dry_run=true"], capture_output=True, text=True, check=True).stdout
    assert "\n#SBATCH -t 00:10:00\n" in shown
    assert (jobs(here), Path("outputs").exists()) == ([], False)
    swept = subprocess.run([*COMMAND, "epochs=1"], capture_output=True, text=True, check=True).stdout
    assert ", on 1 to 2 workers of SLURM\n" in swept
    assert "4 trials completed, 0 failed" in swept


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_jobs_end_with_their_driver_however_that_ends(
    how: signal.Signals, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__INTERFACE", "lo")
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__DEATH_TIMEOUT", "20")
    with subprocess.Popen(
        [*COMMAND, "epochs=10000", "stopping=none"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith("comparison of ") for line in lines)
        assert jobs(here)
        process.send_signal(how)
        rest = process.stdout.read()
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert ("resume=outputs/" in rest) == (how == signal.SIGINT)
    until(lambda: not jobs(here))
