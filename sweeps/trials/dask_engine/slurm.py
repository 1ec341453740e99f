"""The workers of `engine=slurm`: a job each, which dask-jobqueue writes and submits."""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client
from distributed.security import Security

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError, reason_of
from sweeps.trials import certificates
from sweeps.trials.dask_engine import elastic
from sweeps.trials.dask_engine.elastic import ElasticEngine
from sweeps.trials.dask_engine.engine import IN_VAIN
from sweeps.trials.dask_engine.local import EMBEDDED, FILES, allow_open_files, security

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

NAME = "text-sweeps"  # of the jobs
LOGS = "outputs/slurm"  # what the jobs print, and while the sweep runs their certificate
ANSWER = 30  # seconds for one of SLURM's commands
BETWEEN = 15  # seconds between two questions for the jobs that there are
FILES_OF_A_WORKER = 2
# Reasons of SLURM's for which a job waits for ever, unless somebody changes it.
HOPELESS = {
    *("AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHeldAdmin", "JobHeldUser"),
    *("PartitionNodeLimit", "PartitionTimeLimit", "QOSNotAllowed"),
}
WHERE = "engine=slurm"
MISSING = f"{WHERE} needs dask-jobqueue: make install EXTRAS=slurm, or pip install '.[slurm]'"


@contextmanager
def submitted(config: EngineConfig, functions: tuple[str, ...]) -> Iterator[ElasticEngine]:
    _check(script(config))
    allow_open_files(FILES + FILES_OF_A_WORKER * config.max, config.max)
    settings = {**EMBEDDED, "distributed.deploy.lost-worker-timeout": "15s"}
    with (
        dask.config.set(settings),
        _security() as security,
        _cluster(config, security) as cluster,
        Client(cluster) as client,
        elastic.opened(client, Jobs(cluster), config, functions) as engine,
    ):
        yield engine


def script(config: EngineConfig) -> str:
    """Return the script of a worker's job, with a stand-in for the address that it connects to."""
    options = {**_options(config), "log_directory": None}  # which would be made
    job = _class()(scheduler="tls://DRIVER:PORT", name="WORKER", **options)
    logs = f"#SBATCH -o {_logs()}/{NAME}-%J.out\n#SBATCH -e {_logs()}/{NAME}-%J.err\n#SBATCH -n 1\n"
    return str(job.job_script()).replace("#SBATCH -n 1\n", logs, 1)


class Jobs:
    """The jobs of a cluster, each of them a worker."""

    def __init__(self, cluster: SLURMCluster) -> None:
        self._cluster = cluster
        self._arrived: set[str] = set()  # the numbers of jobs whose workers came
        self._in_vain: list[str] = []  # those of the jobs since then that have ended without a worker
        self._looked = 0.0

    def grow(self, count: int) -> None:
        if time.monotonic() >= self._looked + BETWEEN:
            self._look()
            self._looked = time.monotonic()
        if len(self._in_vain) < IN_VAIN:
            self._cluster.scale(count)

    def shrink(self, count: int, idle: Collection[str]) -> None:
        names, connected = list(self._cluster.worker_spec), self._connected()
        spare = [*(name for name in names if name not in connected), *idle]
        self._cluster.sync(self._cluster.scale_down, spare[: max(0, len(names) - count)])

    def _connected(self) -> set[str]:
        return {str(worker["name"]) for worker in dict(self._cluster.scheduler_info["workers"]).values()}

    def _look(self) -> None:
        """Take in which jobs ended before their workers came. Raises `SweepError` if no other can help."""
        connected, jobs = self._connected(), {name: job.job_id for name, job in dict(self._cluster.workers).items()}
        arrived = {jobs[name] for name in connected if name in jobs}
        if arrived - self._arrived:
            self._in_vain.clear()
        self._arrived |= arrived
        if (there := _queued()) is None:  # SLURM does not answer
            return
        ended = {name: job for name, job in jobs.items() if job and job not in there.keys() | self._arrived}
        self._in_vain += ended.values()
        self._cluster.sync(self._forget, ended)
        if connected:
            return
        if len(self._in_vain) >= IN_VAIN:
            raise SweepError(f"{WHERE}: {_why(self._in_vain)}")
        waiting = {job: there[job] for job in jobs.values() if job in there}
        if waiting and HOPELESS.issuperset(waiting.values()):
            job, reason = waiting.popitem()
            raise SweepError(f"{WHERE}: SLURM would let job {job} wait for ever: {reason}")

    async def _forget(self, names: Collection[str]) -> None:
        """Let Dask submit other jobs in place of some; it would wait for them for ever."""
        for name in names:
            self._cluster.workers.pop(name, None)


def _class() -> Any:
    try:
        from dask_jobqueue.slurm import SLURMJob
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    return SLURMJob


def _options(config: EngineConfig) -> dict[str, Any]:
    """Return what a job needs; everything else, such as a network interface, is in dask-jobqueue's own file."""
    _class()
    own = dask.config.get("jobqueue.slurm")
    exports = [f"export {name}={value}" for name, value in elastic.environment(config).items()]
    gpus = [f"--gres=gpu:{config.gpus}"] if config.gpus else []
    return {
        "cores": 1,  # of Dask's: a worker trains one trial
        "processes": 1,
        "job_cpu": config.threads,
        "memory": config.memory,
        "job_mem": f"{-(-elastic.memory(config) // 2**20)}M",
        "queue": config.partition,
        "account": config.account,
        "walltime": config.walltime,
        "job_name": NAME,
        "log_directory": _logs(),
        "job_extra_directives": [*own["job-extra-directives"], *gpus],
        "job_script_prologue": [*own["job-script-prologue"], *exports],
        "worker_extra_args": [*own["worker-extra-args"], "--no-dashboard"],
    }


def _logs() -> str:
    return str(dask.config.get("jobqueue.slurm.log-directory") or LOGS)


@contextmanager
def _security() -> Iterator[Security]:
    """Let in only who can read two files that are there while the workers may start, and that are this user's alone."""
    folder = dask.config.get("jobqueue.slurm.shared-temp-directory") or _logs()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="certificate-", dir=folder) as private:
            paths = [Path(private, name).resolve() for name in ("certificate.pem", "key.pem")]
            for path, text in zip(paths, certificates.new(), strict=True):
                path.write_text(text, encoding="ascii")
            yield security(*map(str, paths))
    except OSError as error:
        raise SweepError(f"{folder}: {error.strerror}; {WHERE} needs a folder that its jobs see") from error


def _cluster(config: EngineConfig, security: Security) -> SLURMCluster:
    from dask_jobqueue import SLURMCluster

    options = dask.config.get("jobqueue.slurm.scheduler-options")
    try:
        return SLURMCluster(
            **_options(config),
            security=security,
            scheduler_options={"dashboard_address": "127.0.0.1:0", **options},
            silence_logs=logging.CRITICAL,
        )
    except Exception as error:  # a setting of the user's for Dask may raise any
        raise SweepError(f"{WHERE}: the workers cannot be started: {reason_of(error)}") from error


def _check(text: str) -> None:
    """Raise `ConfigError` if SLURM would refuse such a job, whose reason it gives."""
    try:
        run = subprocess.run(
            ["sbatch", "--test-only"], input=text, capture_output=True, text=True, check=False, timeout=ANSWER
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{WHERE}: sbatch is not here; start the sweep on a machine that submits jobs") from error
    except subprocess.TimeoutExpired as error:
        raise SweepError(f"{WHERE}: SLURM does not answer within {ANSWER} s") from error
    if run.returncode:
        raise ConfigError(f"{WHERE}: SLURM refuses the job: {_line(run.stderr)}")


def _queued() -> dict[str, str] | None:
    """Return this user's jobs that wait or run, by their numbers, with SLURM's reason; None if it does not answer."""
    command = ["squeue", "--noheader", "--format=%i %r", f"--user={os.getuid()}", f"--name={NAME}"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER)
    except (OSError, subprocess.TimeoutExpired):
        return None
    pairs = (line.partition(" ") for line in run.stdout.splitlines())
    return {job: reason.strip() for job, _, reason in pairs} if run.returncode == 0 else None


def _why(jobs: Collection[str]) -> str:
    """Say with their last line why jobs ended before their workers came."""
    last = list(jobs)[-1]
    errors = Path(_logs(), f"{NAME}-{last}.err")
    text = errors.read_text(encoding="utf-8", errors="replace").strip() if errors.is_file() else ""
    return f"jobs {', '.join(jobs)} ended before their workers came; {errors}: {_line(text) or 'it is not here'}"


def _line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
