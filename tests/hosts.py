"""Hosts that share neither network nor files: each is a network and a mount namespace of its own on this machine.

They lie on a bridge in a further namespace, so nothing of this machine's network is touched. All of it ends with the
processes that hold the namespaces. Who is not root gets them in a user namespace, where the system allows that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.trials import certificates
from tests import servers
from tests.conftest import ROOT

PORT = 8786
TLS = "DASK_DISTRIBUTED__COMM__TLS__"
CERTIFICATE, KEY = "certificate.pem", "key.pem"
# A host that answers no more is given up after so many seconds: Dask itself takes 30, and no fewer than 11.
SILENCE = 12
BECOME_ROOT = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
# A host's own folder is the only one that it sees among those of all hosts.
HIDE_OTHERS = """
mount --bind "$1/$2" /mnt && mount -t tmpfs none "$1" && mkdir "$1/$2" && mount --bind /mnt "$1/$2" && umount /mnt
mount -t tmpfs none /dev/shm && ip link set lo up && echo ready && exec sleep infinity
"""
FOR_EVER = 'while :; do "$@"; sleep 1; done'
HUB = "ip link add bridge type bridge && ip link set bridge up && echo ready && exec sleep infinity"


class Namespaces:
    """The namespaces of a process that holds them."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        self.pid = holder.pid
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"

    @property
    def enter(self) -> list[str]:
        """The beginning of a command that runs in them, in their topmost folder."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", *user, "--"]

    def call(self, *command: str) -> None:
        subprocess.run([*self.enter, *command], check=True, capture_output=True)


class Host(Namespaces):
    """One machine with an address, a working folder, a cache and temporary files that no other sees."""

    def __init__(self, start: servers.Start, hub: Namespaces, base: Path, number: int) -> None:
        self.name, self.address = f"host{number}", f"10.9.8.{number}"
        self.folder = base / self.name
        (self.folder / "tmp").mkdir(parents=True)
        shell = ["sh", "-ec", HIDE_OTHERS, "sh", str(base), self.name]
        # Everything else, its Python and this project's code included, a host reads where this machine has it.
        super().__init__(start([*hub.enter, "unshare", "--net", "--mount", *shell]))
        self._start, self._hub, self._link = start, hub, f"to{number}"
        hub.call("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        hub.call("ip", "link", "set", self._link, "master", "bridge", "up")
        self.call("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.call("ip", "link", "set", "eth0", "up")

    def cut_off(self) -> None:
        self._hub.call("ip", "link", "set", self._link, "down")

    def reconnect(self) -> None:
        self._hub.call("ip", "link", "set", self._link, "up")

    def start(self, *command: str | Path, **variables: str) -> subprocess.Popen[str]:
        """Start a program; what it prints is added to the file `log` in its folder."""
        with (self.folder / "log").open("a") as log:
            environment = {**self.environment, **variables}
            return self._start(self.command(self.folder, *command), env=environment, stdout=log)

    def command(self, folder: Path, *command: str | Path) -> list[str]:
        """Return a command that runs another in a folder of the host."""
        return [*self.enter, "env", f"--chdir={folder}", *map(str, command)]  # entering changes the folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its programs, which is no other host's."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "HOME": str(self.folder),
            "TMPDIR": f"{self.folder}/tmp",
            "XDG_CACHE_HOME": f"{self.folder}/cache",
            "KERAS_HOME": f"{self.folder}/keras",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{SILENCE}s",
            **{f"{TLS}{role}__CERT": f"{self.folder}/{CERTIFICATE}" for role in ("CLIENT", "SCHEDULER", "WORKER")},
            **{f"{TLS}{role}__KEY": f"{self.folder}/{KEY}" for role in ("CLIENT", "SCHEDULER", "WORKER")},
            f"{TLS}CA_FILE": f"{self.folder}/{CERTIFICATE}",
        }
        environment.pop("TF_NUM_INTRAOP_THREADS", None)
        return environment

    def scheduler(self) -> str:
        """Start Dask's scheduler; returns its address."""
        address = f"tls://{self.address}:{PORT}"
        self.start(sys.executable, "-m", "dask", "scheduler", "--host", address, "--no-dashboard")
        return address

    def workers(self, scheduler: str, count: int = 1, *options: str, **variables: str) -> subprocess.Popen[str]:
        """Start workers, and again whenever they end, as a service of the system would."""
        dask = (sys.executable, "-m", "dask", "worker", scheduler, "--nthreads", "1", "--nworkers", str(count))
        command = (*dask, "--no-dashboard", "--host", self.address, "--name", self.name, *options)
        return self.start("sh", "-c", FOR_EVER, "sh", *command, **variables)

    def output(self) -> str:
        return (self.folder / "log").read_text()


def why_not() -> str:
    """Return why this machine lets nobody make namespaces; empty if it does."""
    command = ["unshare", *BECOME_ROOT, "--net", "--mount", "sh", "-ec", "mount -t tmpfs none /mnt && ip link"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        return f"several hosts need namespaces: {error}"
    except subprocess.CalledProcessError as error:
        return f"several hosts need namespaces: {error.stderr.strip()}"
    return ""


@contextmanager
def hosts(base: Path, count: int) -> Iterator[list[Host]]:
    """Yield hosts that reach each other and have a certificate in common."""
    certificate = certificates.new()
    with servers.processes() as start:
        hub = Namespaces(start(["unshare", *BECOME_ROOT, "--net", "--mount", "sh", "-ec", HUB]))
        made = [Host(start, hub, base, number) for number in range(1, count + 1)]
        for host in made:
            (host.folder / CERTIFICATE).write_text(certificate.certificate)
            (host.folder / KEY).write_text(certificate.key)
        yield made
