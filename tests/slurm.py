"""A SLURM of its own on this machine: its daemons, on loopback and in one folder."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
START = 30  # seconds
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={0}
SlurmdPort={1}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
MpiDefault=none
KillWait=2
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=3 RealMemory=8000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=01:00:00 State=UP
"""


def missing() -> list[str]:
    """Name the programs of SLURM's that are not on this machine."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """Yield the configuration file of a cluster with three processors, which ends with the block."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700)
    (folder / "munge" / "key").write_bytes(os.urandom(1024))
    (folder / "munge" / "key").chmod(0o400)
    file = folder / "slurm.conf"
    file.write_text(CONFIGURATION.format(*_free_ports(2), folder=folder, user=getpass.getuser()))
    names = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = [f"--{option}={folder}/munge/{name}" for option, name in names.items()]
    with ExitStack() as daemons:
        daemons.enter_context(_daemon(folder, "munged", "--foreground", "--force", *munge))
        _wait_for((folder / "munge" / "socket").exists)
        daemons.enter_context(_daemon(folder, "slurmctld", "-D", "-f", str(file)))
        daemons.enter_context(_daemon(folder, "slurmd", "-D", "-N", "localhost", "-f", str(file)))
        _wait_for(lambda: "idle" in ask(file, "sinfo", "--noheader", "--format=%T"))
        yield file


def ask(configuration: Path, *command: str) -> str:
    """Return the answer of a command of SLURM's; empty where it fails."""
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=START).stdout


@contextmanager
def _daemon(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START
    while not condition():
        assert time.monotonic() < deadline, "a daemon of SLURM's does not start; its log is in the test's folder"
        time.sleep(0.2)
