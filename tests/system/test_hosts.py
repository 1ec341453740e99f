"""Sweeps whose command, scheduler and workers are on hosts that share neither network nor files."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sweeps import journal
from sweeps.journal import SweepRecord, TrialStarted
from sweeps.trials import certificates
from tests.conftest import ROOT
from tests.hosts import CERTIFICATE, KEY, Host, hosts, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

QUICK = ("data=imdb", "datasets.imdb.read=tests.chaos.sweeping.read", "tuner=random", "references=none")
TRAINED = (
    "data=imdb",
    "datasets.imdb.source=standin",
    "datasets.imdb.maxlen=20",
    "model=lstm",
    "model.space.embedding_dim=8",
    "model.space.lstm_units={kind: Choice, values: [4, 8], default: 8}",
    "tuner=hyperband",  # its promoted trials need their checkpoints
    "trials=6",
    "epochs=3",
)
# One failure would end the sweep.
STRICT = ("retries=0", "max_failures=1")


class Lab:
    """A scheduler and a host for the command, and two with workers."""

    def __init__(self, made: Sequence[Host], store: Path) -> None:
        self.head, self.one, self.two, self.desk, self.spare = made
        self.address = self.head.scheduler()
        self._store = store

    def folder(self, name: str) -> Path:
        folder = self.desk.folder / name
        folder.mkdir()
        shutil.copy(self._store, folder / "mlflow.db")
        return folder

    def workers(self, host: Host, count: int = 1, **variables: str) -> subprocess.Popen[str]:
        """Start a host's workers, and wait until the scheduler has them."""
        process, until = host.workers(self.address, count, **variables), time.monotonic() + 300
        while host.output().count("Registered to") < count:
            assert time.monotonic() < until, host.output()
            time.sleep(0.1)
        return process

    def start(self, folder: Path, *arguments: str, module: str = "tests.chaos.sweeping sweep") -> "Sweep":
        engine = ("engine=cluster", f"engine.scheduler={self.address}")
        shell = ("sh", "-c", 'cd "$0" && exec "$@" > output 2>&1', folder)
        command = (sys.executable, "-m", *module.split(), *arguments, *engine)
        return Sweep(folder, self.desk.start(*shell, *command))


class Sweep:
    """A sweep that runs on the desk, in a folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder, self.process = folder, process

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text() if (self.folder / "output").exists() else ""

    @property
    def directory(self) -> Path:
        (directory,) = self.folder.glob("outputs/*/imdb")
        return directory

    @property
    def record(self) -> SweepRecord:
        return SweepRecord.of(self.directory, journal.read(self.directory))

    @property
    def afters(self) -> list[str]:
        """The reasons of the attempts that are not a trial's first."""
        return [e.after for e in journal.read(self.directory) if isinstance(e, TrialStarted) and e.after]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 300
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < until, self.output
            time.sleep(0.1)

    def wait_for_trials(self, count: int) -> None:
        self.wait_until(lambda: self.output.count("val/accuracy") >= count)

    def end(self) -> SweepRecord:
        assert self.process.wait(500) == 0, self.output
        assert all(trial.completed for trial in self.record.trials.values())
        return self.record


@pytest.fixture
def lab(tmp_path: Path, empty_store: Path) -> Iterator[Lab]:
    with hosts(tmp_path / "hosts", 5) as made:
        yield Lab(made, empty_store)


def test_data_travel_once_to_each_host_and_a_full_disk_costs_no_trial(lab: Lab) -> None:
    (lab.two.folder / "cache").mkdir()
    lab.two.call("mount", "-t", "tmpfs", "-o", "size=16k", "none", f"{lab.two.folder}/cache")
    lab.workers(lab.one, 2)
    lab.workers(lab.two)
    sweep = lab.start(lab.folder("a"), *QUICK, *STRICT, "trials=20", "epochs=1")
    assert len(sweep.end().trials) == 20
    fetched = list(lab.one.folder.glob("cache/text-sweeps/fetched-*"))
    assert len(fetched) == 1
    assert "hosts: 10.9.8.2 (2 workers, " in sweep.output
    line = "host 10.9.8.3 gets no more trials: 3 trials in a row failed there, and elsewhere they do not: "
    assert f"{line}error: OSError: [Errno 28] No space left on device" in " ".join(sweep.output.split())
    assert set(sweep.afters) == {"host 10.9.8.3: error: OSError: [Errno 28] No space left on device"}


@pytest.mark.long
def test_a_network_is_trained_on_hosts_that_share_nothing(lab: Lab) -> None:
    for host in (lab.one, lab.two):
        lab.workers(host)
    sweep = lab.start(lab.folder("a"), *TRAINED, module="pipelines.sweep")
    record = sweep.end()
    assert len(record.trials) == 6
    assert any(trial.initial_epoch for trial in record.trials.values())
    assert all(reference.completed for reference in record.references.values())
    fetched = [{path.name for path in host.folder.glob("cache/text-sweeps/fetched-*")} for host in (lab.one, lab.two)]
    assert len(fetched[0] & fetched[1]) >= 1  # as trials get them
    assert len(fetched[0] | fetched[1]) == 2  # and whole, where the reference that learns from them was trained
    assert not [path for host in (lab.one, lab.two) for path in host.folder.rglob("journal.jsonl")]


@pytest.mark.long
@pytest.mark.parametrize("which", ["a worker's", "the scheduler's", "the command's"])
def test_a_host_that_is_cut_off_for_a_minute_and_comes_back_costs_nothing(which: str, lab: Lab) -> None:
    lab.workers(lab.one, 2)
    lab.workers(lab.two)
    sweep = lab.start(lab.folder("a"), *QUICK, *STRICT, "trials=20", "epochs=10")
    sweep.wait_for_trials(3)
    host = {"a worker's": lab.one, "the scheduler's": lab.head, "the command's": lab.desk}[which]
    host.cut_off()
    time.sleep(60)
    host.reconnect()
    sweep.end()
    assert "gets no" not in sweep.output
    assert "Traceback" not in sweep.output
    reason = {lab.one: "host 10.9.8.2: it was cut off"}.get(host, "the connection to the Dask scheduler is lost")
    assert sweep.afters
    assert all(after.endswith(reason) for after in sweep.afters)


@pytest.mark.long
def test_a_host_that_dies_loses_nothing_and_one_that_joins_late_gets_trials(lab: Lab) -> None:
    lab.workers(lab.one)
    dying = lab.workers(lab.two)
    sweep = lab.start(lab.folder("a"), *QUICK, *STRICT, "trials=20", "epochs=2")
    sweep.wait_for_trials(2)
    os.killpg(dying.pid, signal.SIGKILL)
    lab.two.cut_off()
    lab.workers(lab.spare)
    sweep.wait_until(lambda: bool(list(lab.spare.folder.glob("cache/text-sweeps/fetched-*"))))
    sweep.end()


@pytest.mark.long
def test_a_host_on_which_every_worker_dies_gets_no_more_trials(lab: Lab) -> None:
    lab.workers(lab.one)
    lab.workers(lab.two, FRAGILE="1")
    sweep = lab.start(lab.folder("a"), *QUICK, *STRICT, "trials=20", "epochs=2")
    sweep.end()
    assert (
        "host 10.9.8.3 gets no more trials: 3 trials in a row failed there, and elsewhere they do not: worker died"
        in (" ".join(sweep.output.split()))
    )


@pytest.mark.long
def test_a_worker_with_other_software_that_joins_late_is_named_and_costs_no_trial(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for part in ("conf", "models", "pipelines", "sweeps", "tests"):
        shutil.copytree(ROOT / part, other / part, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "sweeps" / "metrics.py").open("a") as file:
        file.write("\n")
    lab.workers(lab.one)
    sweep = lab.start(lab.folder("a"), *QUICK, *STRICT, "trials=20", "epochs=3")
    sweep.wait_for_trials(2)
    lab.workers(lab.two, PYTHONPATH=str(other))
    sweep.end()
    assert "host 10.9.8.3 gets no trials: worker tls://10.9.8.3:" in sweep.output
    assert "other code of this project" in sweep.output


@pytest.mark.long
def test_a_worker_without_this_project_costs_no_trial(lab: Lab) -> None:
    (lab.two.folder / "sweeps.py").touch()
    lab.workers(lab.one)
    sweep = lab.start(lab.folder("a"), *QUICK, *STRICT, "trials=20", "epochs=2")
    sweep.wait_for_trials(2)
    lab.workers(lab.two, PYTHONPATH=str(lab.two.folder))
    sweep.end()


@pytest.mark.long
def test_the_command_may_leave_and_go_on_while_the_cluster_stays(lab: Lab) -> None:
    lab.workers(lab.one)
    lab.workers(lab.two)
    folder = lab.folder("a")
    sweep = lab.start(folder, *QUICK, *STRICT, "trials=8", "epochs=3")
    sweep.wait_for_trials(2)
    sweep.process.kill()
    sweep.process.wait()
    lab.start(folder, f"resume={sweep.directory.parent.relative_to(folder)}", *STRICT).end()


def test_a_command_with_another_certificate_is_refused_in_one_line(lab: Lab) -> None:
    certificate = certificates.new()
    (lab.desk.folder / CERTIFICATE).write_text(certificate.certificate)
    (lab.desk.folder / KEY).write_text(certificate.key)
    sweep = lab.start(lab.folder("a"), *QUICK)
    assert sweep.process.wait(300) != 0
    *waits, line = sweep.output.splitlines()
    assert all(wait.endswith("…") for wait in waits[1:])
    assert line.startswith(f"error: engine.scheduler={lab.address}: Dask's settings allow no connection to it (")
    assert "certificate verify failed" in line
