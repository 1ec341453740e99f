"""The workers that a scheduler knows, where they are, and when it last heard of them."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from distributed import Client
from distributed.comm import get_address_host

from sweeps.trials import memory

# Seconds without a heartbeat after which a worker was cut off, and did not die. Dask's workers send several within so
# many, and it takes no silence of less than 11 s for the end of a connection.
SILENCE = 8
ASK_EVERY = 2.0  # seconds: asking takes long where there are hundreds of workers
WAIT_FOR_MESSAGE = 2  # seconds for the scheduler's message that a worker is lost, which may come after a trial's end

host_of = cache(get_address_host)  # asked for every worker at every message, of which there may be hundreds


class Presence:
    """The workers of a client's scheduler, by their addresses: asked for now and then, and changed by its messages."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workers: set[str] = set()
        self._last_seen: dict[str, float] = {}  # address -> the scheduler's time of the last heartbeat
        self._removed: dict[str, float] = {}  # address -> the scheduler's time at which it gave the worker up
        self._asked = 0.0

    @property
    def workers(self) -> set[str]:
        """The addresses; none while the scheduler is out of reach."""
        return set(self._workers) if self._client.status == "running" else set()

    @property
    def hosts(self) -> set[str]:
        return set(map(host_of, self.workers))

    def ask(self) -> dict[str, dict[str, Any]]:
        """Ask the scheduler, and return what it knows of each worker."""
        if self._client.status != "running":
            return {}
        known: dict[str, dict[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        self._asked = time.monotonic()
        self._workers = set(known)
        self._last_seen.update({address: about["last_seen"] for address, about in known.items()})
        return known

    def keep_up(self) -> None:
        """Ask again if that was long ago."""
        if time.monotonic() - self._asked > ASK_EVERY:
            self.ask()

    def change(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take in that a worker came or went, of which Dask tells before it tells what became of its trial."""
        when, about = event
        match about:
            case {"action": "add-worker", "worker": str(address)}:
                self._workers.add(address)
            case {"action": "remove-worker", "worker": str(address)}:
                self._workers.discard(address)
                self._removed[address] = when

    def was_silent(self, address: str) -> bool:
        """Whether a worker that the scheduler gave up had not been heard for some time, as if its cable were cut."""
        deadline = time.monotonic() + WAIT_FOR_MESSAGE
        while address not in self._removed and time.monotonic() < deadline:
            time.sleep(0.05)
        removed = self._removed.get(address, 0.0)
        return removed - self._last_seen.get(address, removed) > SILENCE

    def in_words(self) -> str:
        """Name the hosts and their workers; empty if there is but one."""
        on_hosts: dict[str, list[int]] = {}
        for address, about in self.ask().items():
            on_hosts.setdefault(host_of(address), []).append(about["memory_limit"])
        if len(on_hosts) == 1:
            return ""
        return ", ".join(f"{host} ({_workers(limits)})" for host, limits in sorted(on_hosts.items()))


def _workers(limits: list[int]) -> str:
    """Describe a host's workers by the bytes of memory that each may take, of which 0 means any number."""
    count, each = (f"{len(limits)} workers", " each") if len(limits) > 1 else ("1 worker", "")
    return f"{count}, {memory.in_words(min(limits))}{each}" if all(limits) else count
