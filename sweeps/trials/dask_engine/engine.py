"""The engine on Dask: it runs each trial as a task on a worker, and hears what becomes of it."""

from __future__ import annotations

import importlib
import platform
import queue
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from distributed import CancelledError, Client, Future, KilledWorker

from sweeps.errors import SweepError, reason_of
from sweeps.trials import memory
from sweeps.trials.dask_engine import worker
from sweeps.trials.dask_engine.hosts import Hosts
from sweeps.trials.dask_engine.presence import Presence, host_of
from sweeps.trials.dask_engine.worker import Terms, TrialError, UnlikeError, Wanted
from sweeps.trials.engine import OUT_OF_MEMORY, Failed, Finished, Message, Started
from sweeps.trials.identity import difference, identity
from sweeps.trials.loading import named
from sweeps.trials.spec import EpochReport, StepReport, TrialSpec

WAIT_FOR_WORKERS = 60  # seconds
WAIT_FOR_START = 600  # seconds for a worker's process that is there to connect
IN_VAIN = 3  # workers in a row whose memory did not suffice for beginning a trial, after which none can be expected to
WAIT_FOR_CAUSE = 2  # seconds for a nanny's message that it ended its worker, which may come after the worker's end
CUT_OFF = "it was cut off"
DISCONNECTED = "the connection to the Dask scheduler is lost"
SAME_SOFTWARE = "it needs this project and its packages as they are here"


class Removed(NamedTuple):
    """The scheduler's message that it has lost the worker of a trial."""

    key: str  # the trial's in Dask
    worker: str  # its address


class Warm(NamedTuple):
    """The message that a worker has warmed up, so that it can be given a trial."""

    worker: str  # its address


class DaskEngine:
    """A `sweeps.trials.engine.Engine` that runs each trial as a Dask task.

    `starting` tells whether a worker's process is there that has yet to connect. Each worker must have the software of
    this process, with the `functions` that trials call by their dotted names; `otherwise` says what it means if one has
    not. With `sends_data` a worker that lacks a trial's data gets them from this process.
    """

    def __init__(
        self,
        client: Client,
        *,
        limit: str = "",
        starting: Callable[[], bool] = lambda: False,
        functions: tuple[str, ...] = (),
        otherwise: str = SAME_SOFTWARE,
        sends_data: bool = False,
    ) -> None:
        self._client = client
        self._otherwise = otherwise
        self._limit = limit  # of a worker's memory, as configured
        self._starting = starting
        self.say: Callable[[str], object] = lambda _: None  # shows the user a line
        self._terms = Terms(f"trials-{uuid.uuid4().hex}", functions, dict(identity(functions)), sends_data)
        # Dask's threads put here: the key of a trial that has started, a report, a request, a lost worker's trial, a
        # future that is done, a worker that is warm.
        self._messages: queue.SimpleQueue[str | StepReport | EpochReport | Wanted | Removed | Future | Warm]
        self._messages = queue.SimpleQueue()
        self._out: dict[str, TrialSpec] = {}  # Dask key -> spec
        self._futures: dict[str, Future] = {}  # Dask key -> what Dask will have returned
        self._only: dict[str, set[str]] = {}  # Dask key -> the hosts that may run it, where not all may
        self._hosts = Hosts()
        self._presence = Presence(client)
        self._where: dict[str, str] = {}  # Dask key -> address of the worker
        self._killed: dict[str, str] = {}  # Dask key -> reason
        self._over_memory: dict[str, int] = {}  # address -> bytes when its nanny ended the worker
        self._in_vain: dict[int, int] = {}  # process -> the same, for workers since a trial last began that had none
        self._kills = memory.kills()
        self._warming_up: list[Future] = []  # stored because Dask drops a task whose future nobody holds
        self._cold: set[str] = set()  # addresses of the workers that still import what they were asked to
        self._when_idle = ""  # a function that one worker calls when it has nothing to do
        self._called: tuple[str, Future] | None = None  # that worker's address, and the call
        self._subscribe()
        self._presence.ask()
        self._most_workers = self.workers
        self._workers_seen = self._all_seen = time.monotonic()

    def _subscribe(self) -> None:
        self._connection = self._client.scheduler_comm
        self._client.subscribe_topic(self._terms.topic, self._on_message)
        # From a nanny, before it ends its worker.
        self._client.subscribe_topic("worker-restart-memory", self._on_memory)
        self._client.subscribe_topic("all", self._on_change)

    def close(self) -> None:
        """Hear no more of workers: Dask would complain that it cannot tell this client of its own end."""
        self._client.unsubscribe_topic("all")

    @property
    def workers(self) -> int:
        return len(self._presence.workers)

    @property
    def hosts(self) -> str:
        """The hosts in words, with their workers; empty if there is but one."""
        return self._presence.in_words()

    @property
    def busy(self) -> int:
        return len(self._out)

    @property
    def free(self) -> int:
        hosts = list(map(host_of, self._presence.workers))
        usable = self._hosts.usable(set(hosts))
        busy = [self._where.get(key) for key in self._out]
        busy_and_usable = sum(address is None or host_of(address) in usable for address in busy)
        return max(0, sum(host in usable for host in hosts) - busy_and_usable - self._late)

    @property
    def _late(self) -> int:
        """The number of workers that still warm up where others are warm already.

        The scheduler takes such a worker for busier than one that has just been given a trial, and would give the
        latter another one, which then waits for the first to end.
        """
        workers = self._presence.workers
        cold = self._cold & workers  # one that has died may never have begun
        return len(cold) if cold < workers else 0

    @property
    def lost_workers(self) -> int:
        """The number of workers that have been away for a minute."""
        away = time.monotonic() - self._all_seen > WAIT_FOR_WORKERS
        return max(0, self._most_workers - self.workers) if away else 0

    def expect(self, trials: int) -> None:
        """Leave the workers as they are: their number is not this engine's to choose."""

    def warm_up(self, function: str) -> None:
        """Call a function without arguments, given by its dotted name, on every worker in the background."""
        self._warming_up = [self._warmed(address, function) for address in self._presence.ask()]

    def _warmed(self, address: str, function: str) -> Future:
        self._cold.add(address)
        call = self._client.submit(worker.warm_up, function, workers=[address], pure=False)
        call.add_done_callback(lambda _: self._messages.put(Warm(address)))
        return call

    def warmed_up(self) -> list[Any]:
        """Wait until all workers are warm, and return what the function returned in each that has not died."""
        until = time.monotonic() + WAIT_FOR_START  # a task waits for ever if its worker died before it was given there
        while any(call.status == "pending" for call in self._warming_up) and time.monotonic() < until:
            self._refuse_memory()
            time.sleep(0.05)
        return [call.result() for call in self._warming_up if call.status == "finished"]

    def call_when_idle(self, function: str) -> None:
        if not self._calls_here:
            self._when_idle = function

    def call(self, function: str, *arguments: Any) -> Any:
        if self._calls_here:
            return named(function)(*arguments)
        where = {"workers": [self._called[0]], "allow_other_workers": True} if self._called else {}
        future = self._client.submit(worker.answer, function, arguments, pure=False, **where)
        try:
            answer = future.result()
        except Exception:  # its worker died, or its answer cannot be sent
            return named(function)(*arguments)
        finally:
            # Whoever keeps an error raised here keeps the future, for which Dask calls again if the worker dies.
            future.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def _calls_here(self) -> bool:
        """Whether workers are not asked: they are on other machines, or what they load may exceed their memory."""
        return self._terms.sends_data or bool(self._limit)

    def _use_idle_worker(self) -> None:
        if not self._when_idle or len(self._where) < len(self._out):  # a trial may be on its way to any of them
            return
        workers = self._presence.workers
        idle = workers - set(self._where.values())
        if idle and (self._called is None or self._called[0] not in workers):
            address = min(idle)
            self._called = address, self._warmed(address, self._when_idle)

    def submit(self, function: str, spec: TrialSpec) -> None:
        key = f"{spec.sweep}-{spec.trial}-{uuid.uuid4().hex}"
        self._out[key] = spec
        present = self._presence.hosts
        hosts = self._hosts.places(_trial(spec), present)
        only = {} if hosts == present else {"workers": sorted(hosts)}
        if only:
            self._only[key] = hosts
        future = self._client.submit(worker.call, function, spec, self._terms, key=key, pure=False, **only)
        self._futures[key] = future
        future.add_done_callback(self._messages.put)

    def stop(self, sweep: str, reason: str) -> None:
        # It does not wait, as a worker may be busy. A worker that joins later gets no trial of this sweep.
        self._tell(worker.stop, f"{self._terms.topic}/{sweep}", reason)

    def kill(self, spec: TrialSpec, reason: str) -> None:
        key = next(key for key, out in self._out.items() if _trial(out) == _trial(spec))
        self._killed[key] = reason
        self._end_worker(key)

    def next(self, timeout: float) -> Message | None:
        self._check_connection()
        self._presence.keep_up()
        self._refuse_memory()
        self._use_idle_worker()
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            self._look_for_workers()
            return self._stranded()
        match message:
            case str():
                return self._started(message)
            case StepReport() | EpochReport():
                return message
            case Wanted():
                self._send(message)
                return None
            case Removed():
                return self._lost(message)
            case Warm():
                self._cold.discard(message.worker)
                return None
        ended = self._ended(message) if message.key in self._out else None
        for line in self._hosts.newly_refused():
            self.say(line)
        return ended

    def _tell(self, function: Callable[..., Any], *arguments: Any, workers: list[str] | None = None) -> None:
        """Call a coroutine on workers without waiting for it."""
        with suppress(OSError):  # the scheduler is out of reach, which ends the trials too
            self._client.run(function, *arguments, workers=workers, wait=False, on_error="ignore")

    def _check_connection(self) -> None:
        """Raise `SweepError` if the connection to the scheduler is lost for good; Dask makes another by itself."""
        if self._client.status == "closed":
            raise SweepError(DISCONNECTED)
        if self._client.status == "running" and self._client.scheduler_comm is not self._connection:
            self._subscribe()

    def _send(self, wanted: Wanted) -> None:
        if wanted.key in self._out:
            spec = self._out[wanted.key]
            content = importlib.import_module(spec.cache).piece(spec.digest, wanted.file, wanted.start)
            self._tell(worker.take, wanted.key, content, workers=[wanted.worker])

    def _started(self, key: str) -> Started | None:
        if key in self._killed:  # a cluster's scheduler runs it again, three times unless configured otherwise
            self._end_worker(key)
        return Started(self._out[key]) if key in self._out else None

    def _forget(self, key: str) -> TrialSpec:
        self._only.pop(key, None)
        self._where.pop(key, None)
        self._futures.pop(key).release()  # Dask would run it again
        return self._out.pop(key)

    def _ended(self, future: Future) -> Finished | Failed:
        key, where = future.key, self._where.get(future.key, "")
        error: BaseException | None = None
        try:
            result = future.result()
        except Exception as raised:
            error = raised
        spec = self._forget(key)
        if error is None:
            if where:
                self._hosts.completed(host_of(where), _trial(spec))
            return Finished(spec, result)
        if isinstance(error, CancelledError | OSError):
            return Failed(spec, DISCONNECTED, "", lost=True, host=platform.node() or "of the driver")
        if isinstance(error, KilledWorker):
            if ours := self._killed.pop(key, ""):
                return Failed(spec, ours, str(error), lost=False)
            return self._died(spec, error.last_worker.address)._replace(traceback=str(error))
        if isinstance(error, TrialError):
            reason, trace, address, own = error.args
            host = "" if own else self._host_at_fault(spec, address, reason)
            return Failed(spec, reason, trace, lost=bool(host), host=host)
        return self._refused(spec, error)

    def _refused(self, spec: TrialSpec, error: BaseException) -> Failed:
        """Let other hosts run a trial that was never called: no other could run there either, and it is not at fault.

        Raises `SweepError` if there is no other host.
        """
        if isinstance(error, UnlikeError):
            different, address = error.args
            unlike, host = f"worker {address} cannot run trials: {different}", host_of(address)
            if self._presence.hosts - self._hosts.refused.keys() - {host}:
                if host not in self._hosts.refused:
                    self.say(f"host {host} gets no trials: {unlike}; {self._otherwise}")
                self._hosts.refuse(host, unlike)
                return Failed(spec, different, "", lost=True, host=host)
        else:
            unlike = (
                unlike_worker(self._client, self._terms.functions) or f"a worker cannot run trials: {reason_of(error)}"
            )
        raise SweepError(f"{unlike}; {self._otherwise}") from error

    def _host_at_fault(self, spec: TrialSpec, address: str, reason: str) -> str:
        """Return the host of a worker where a trial has failed, if it may not fail on another; else nothing."""
        host = host_of(address)
        return host if self._hosts.failed(host, _trial(spec), reason, self._presence.hosts) else ""

    def _lost(self, removed: Removed) -> Failed | None:
        """Take a trial from the scheduler, which would repeat it on whichever host, if another than it may be at fault.

        Otherwise the scheduler repeats it, three times unless configured otherwise.
        """
        if removed.key not in self._out or removed.key in self._killed:
            return None
        failed = self._died(self._out[removed.key], removed.worker)
        if failed.host:
            self._forget(removed.key)
        return failed if failed.host else None

    def _stranded(self) -> Failed | None:
        """Take back a trial that waits for hosts of which none is there any more."""
        present = self._presence.hosts if self._only else set()
        for key, hosts in self._only.items():
            if present and key not in self._where and not hosts & present:
                return Failed(self._forget(key), CUT_OFF, "", lost=True, host=min(hosts))
        return None

    def _died(self, spec: TrialSpec, address: str) -> Failed:
        if self._terms.sends_data and self._presence.was_silent(address):
            return Failed(spec, CUT_OFF, "", lost=True, host=host_of(address))
        reason = self._why_died(address)
        return Failed(spec, reason, "", lost=True, host=self._host_at_fault(spec, address, reason))

    def _why_died(self, address: str) -> str:
        """Return why a worker's process ended that nobody here has ended."""
        deadline = time.monotonic() + WAIT_FOR_CAUSE
        while self._limit and address not in self._over_memory and time.monotonic() < deadline:
            time.sleep(0.05)
        if size := self._over_memory.get(address, 0):  # asked for again when Dask gives the trial up
            limit = f"engine.memory={self._limit}" if self._limit else "it may"
            return f"{OUT_OF_MEMORY}: the worker took {memory.in_words(size)}, more than {limit}"
        before, self._kills = self._kills, memory.kills()
        if self._kills > before and not self._terms.sends_data:
            return f"{OUT_OF_MEMORY}: the system, which has {memory.in_words(memory.limit())}, ended the worker"
        return "worker died"

    def _end_worker(self, key: str) -> None:
        self._tell(worker.die, workers=[self._where[key]])

    def _look_for_workers(self) -> None:
        """Raise `SweepError` if no worker has been there for a minute and none is starting."""
        self._presence.ask()
        workers, now = self.workers, time.monotonic()
        self._most_workers = max(workers, self._most_workers)
        if workers == self._most_workers:
            self._all_seen = now
        if self._client.status != "running" or (workers and self._hosts.usable(self._presence.hosts)):
            self._workers_seen = now  # or nobody could see one; when the connection is back, they have to come back too
        limit = WAIT_FOR_START if self._starting() else WAIT_FOR_WORKERS
        if now - self._workers_seen > limit:
            refused = "".join(f"; host {host} gets no trials: {why}" for host, why in self._hosts.refused.items())
            raise SweepError(f"no worker is left, and none came within {limit} s{refused}")

    def _refuse_memory(self) -> None:
        """Raise `SweepError` if one worker after the other takes too much memory before it has begun a trial."""
        if self._limit and len(self._in_vain) >= IN_VAIN:
            size = memory.in_words(max(self._in_vain.values()))
            raise SweepError(
                f"engine.memory={self._limit}: too little, a worker takes {size} before it can train anything"
            )

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if "report" in message:
            self._messages.put(EpochReport(**message["report"]))
        elif "steps" in message:
            self._messages.put(StepReport(**message["steps"]))
        elif "wanted" in message:
            self._messages.put(Wanted(**message["wanted"]))
        else:
            self._where[message["started"]] = message["worker"]  # Dask adds the worker
            self._in_vain.clear()
            self._messages.put(message["started"])

    def _on_change(self, event: tuple[float, dict[str, Any]]) -> None:
        self._presence.change(event)
        about = event[1]
        if about.get("action") == "add-worker":
            self._over_memory.pop(about["worker"], None)  # of another one that had the address
        if self._terms.sends_data and about.get("action") == "remove-worker":
            for key in {*about["processing-tasks"], *about["lost-computed-tasks"]}:
                self._messages.put(Removed(key, about["worker"]))

    def _on_memory(self, event: tuple[float, dict[str, Any]]) -> None:
        address, size = event[1]["worker"], event[1]["rss"]
        self._over_memory[address] = size
        if address not in list(self._where.values()):
            self._in_vain[event[1]["pid"]] = size  # its replacement may have its address


def _trial(spec: TrialSpec) -> tuple[str, int]:
    return spec.sweep, spec.trial


def unlike_worker(client: Client, functions: tuple[str, ...]) -> str:
    """Name a worker that lacks this project, or has it or its packages in another version; empty if there is none.

    One that leaves meanwhile is none.
    """
    for address, answer in client.run(identity, functions, on_error="return").items():
        if isinstance(answer, OSError):
            continue
        unlike = reason_of(answer) if isinstance(answer, Exception) else difference(identity(functions), answer)
        if unlike:
            return f"worker {address} cannot run trials: {unlike}"
    return ""
