"""The engine on Dask: it runs each trial as a task on a worker, and hears what becomes of it."""

from __future__ import annotations

import importlib
import queue
import time
import uuid
from collections.abc import Callable
from typing import Any

from distributed import Client, Future, KilledWorker

from sweeps.errors import SweepError, reason_of
from sweeps.trials import memory
from sweeps.trials.dask_engine import worker
from sweeps.trials.dask_engine.worker import Terms, TrialError, Wanted
from sweeps.trials.engine import OUT_OF_MEMORY, Failed, Finished, Message, Started
from sweeps.trials.identity import difference, identity
from sweeps.trials.loading import named
from sweeps.trials.spec import EpochReport, StepReport, TrialSpec

WAIT_FOR_WORKERS = 60  # seconds
WAIT_FOR_START = 600  # seconds for a worker's process that is there to connect
IN_VAIN = 3  # workers in a row whose memory did not suffice for beginning a trial, after which none can be expected to
WAIT_FOR_CAUSE = 2  # seconds for a nanny's message that it ended its worker, which may come after the worker's end
SAME_SOFTWARE = "it needs this project and its packages as they are here"


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
        self._terms = Terms(f"trials-{uuid.uuid4().hex}", functions, dict(identity(functions)), sends_data)
        # Dask's threads put here: the key of a trial that has started, a report, a request, a future that is done.
        self._messages: queue.SimpleQueue[str | StepReport | EpochReport | Wanted | Future] = queue.SimpleQueue()
        self._out: dict[str, TrialSpec] = {}  # Dask key -> spec
        self._where: dict[str, str] = {}  # Dask key -> address of the worker
        self._killed: dict[str, str] = {}  # Dask key -> reason
        self._over_memory: dict[str, int] = {}  # address -> bytes when its nanny ended the worker
        self._in_vain: dict[int, int] = {}  # process -> the same, for workers since a trial last began that had none
        self._kills = memory.kills()
        self._warming_up: list[Future] = []
        self._when_idle = ""  # a function that one worker calls when it has nothing to do
        self._called: tuple[str, Future] | None = None  # that worker's address, and the call
        self._present: set[str] = set()  # addresses of the workers; asking for them takes long where there are hundreds
        client.subscribe_topic("all", self._on_change)
        self._present |= self._addresses()
        self._most_workers = self.workers
        self._workers_seen = self._all_seen = time.monotonic()
        client.subscribe_topic(self._terms.topic, self._on_message)
        client.subscribe_topic("worker-restart-memory", self._on_memory)  # from a nanny, before it ends its worker

    @property
    def workers(self) -> int:
        return len(self._present)

    @property
    def busy(self) -> int:
        return len(self._out)

    @property
    def free(self) -> int:
        return max(0, self.workers - self.busy)

    @property
    def lost_workers(self) -> int:
        """The number of workers that have been away for a minute."""
        away = time.monotonic() - self._all_seen > WAIT_FOR_WORKERS
        return max(0, self._most_workers - self.workers) if away else 0

    def expect(self, trials: int) -> None:
        """Leave the workers as they are: their number is not this engine's to choose."""

    def warm_up(self, function: str) -> None:
        """Call a function without arguments, given by its dotted name, on every worker in the background."""
        addresses = self._addresses()
        # The futures are stored because Dask drops a task whose future nobody holds. All workers start at once: the
        # scheduler takes a worker that has yet to warm up for busier than one that trains, and would give the latter a
        # second trial.
        self._warming_up = [self._client.submit(worker.warm_up, function, workers=[a], pure=False) for a in addresses]

    def warmed_up(self) -> list[Any]:
        """Wait until all workers are warm, and return what the function returned in each that has not died."""
        until = time.monotonic() + WAIT_FOR_START  # a task waits for ever if its worker died before it was given there
        while any(future.status == "pending" for future in self._warming_up) and time.monotonic() < until:
            self._refuse_memory()
            time.sleep(0.05)
        return [future.result() for future in self._warming_up if future.status == "finished"]

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
        workers = self._present
        idle = workers - set(self._where.values())
        if idle and (self._called is None or self._called[0] not in workers):
            address = min(idle)
            self._called = address, self._client.submit(worker.warm_up, self._when_idle, workers=[address], pure=False)

    def submit(self, function: str, spec: TrialSpec) -> None:
        key = f"{spec.sweep}-{spec.trial}-{uuid.uuid4().hex}"
        self._out[key] = spec
        future = self._client.submit(worker.call, function, spec, self._terms, key=key, pure=False)
        future.add_done_callback(self._messages.put)

    def stop(self, sweep: str, reason: str) -> None:
        # It does not wait, as a worker may be busy. A worker that joins later gets no trial of this sweep.
        self._client.run(worker.stop, f"{self._terms.topic}/{sweep}", reason, wait=False, on_error="ignore")

    def kill(self, spec: TrialSpec, reason: str) -> None:
        key = next(key for key, out in self._out.items() if (out.sweep, out.trial) == (spec.sweep, spec.trial))
        self._killed[key] = reason
        self._end_worker(key)

    def next(self, timeout: float) -> Message | None:
        self._refuse_memory()
        self._use_idle_worker()
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            self._look_for_workers()
            return None
        match message:
            case str():
                return self._started(message)
            case StepReport() | EpochReport():
                return message
            case Wanted():
                self._send(message)
                return None
        return self._ended(message)

    def _send(self, wanted: Wanted) -> None:
        if wanted.key in self._out:
            spec = self._out[wanted.key]
            content = importlib.import_module(spec.cache).piece(spec.digest, wanted.file, wanted.start)
            self._client.run(worker.take, wanted.key, content, workers=[wanted.worker], wait=False, on_error="ignore")

    def _started(self, key: str) -> Started | None:
        if key in self._killed:  # a cluster's scheduler runs it again, three times unless configured otherwise
            self._end_worker(key)
        return Started(self._out[key]) if key in self._out else None

    def _ended(self, future: Future) -> Finished | Failed:
        key = future.key
        spec = self._out.pop(key)
        self._where.pop(key, None)
        if future.status == "cancelled":
            raise SweepError("the connection to the Dask scheduler is lost")
        error = future.exception()
        if error is None:
            return Finished(spec, future.result())
        if isinstance(error, KilledWorker):
            ours = self._killed.pop(key, "")
            return Failed(spec, ours or self._why_died(error.last_worker.address), str(error), lost=not ours)
        if isinstance(error, TrialError):
            reason, trace = error.args
            return Failed(spec, reason, trace, lost=False)
        # The function was never called: no other trial could run there either, and this one is not at fault.
        unlike = unlike_worker(self._client, self._terms.functions) or f"a worker cannot run trials: {reason_of(error)}"
        raise SweepError(f"{unlike}; {self._otherwise}") from error

    def _why_died(self, address: str) -> str:
        """Return why a worker's process ended that nobody here has ended."""
        deadline = time.monotonic() + WAIT_FOR_CAUSE
        while self._limit and address not in self._over_memory and time.monotonic() < deadline:
            time.sleep(0.05)
        if size := self._over_memory.pop(address, 0):
            return f"{OUT_OF_MEMORY}: the worker took {memory.in_words(size)}, more than engine.memory={self._limit}"
        before, self._kills = self._kills, memory.kills()
        if self._kills > before:
            return f"{OUT_OF_MEMORY}: the system, which has {memory.in_words(memory.limit())}, ended the worker"
        return "worker died"

    def _end_worker(self, key: str) -> None:
        self._client.run(worker.die, workers=[self._where[key]], wait=False, on_error="ignore")

    def _look_for_workers(self) -> None:
        """Raise `SweepError` if no worker has been there for a minute and none is starting."""
        self._present = self._addresses()
        workers, now = self.workers, time.monotonic()
        self._most_workers = max(workers, self._most_workers)
        if workers == self._most_workers:
            self._all_seen = now
        if workers:
            self._workers_seen = now
        limit = WAIT_FOR_START if self._starting() else WAIT_FOR_WORKERS
        if now - self._workers_seen > limit:
            raise SweepError(f"no worker is left, and none came within {limit} s")

    def _refuse_memory(self) -> None:
        """Raise `SweepError` if one worker after the other takes too much memory before it has begun a trial."""
        if len(self._in_vain) >= IN_VAIN:
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
        """Take in that a worker came or went, of which Dask tells before it tells what became of its trial."""
        match event[1]:
            case {"action": "add-worker", "worker": str(address)}:
                self._present.add(address)
            case {"action": "remove-worker", "worker": str(address)}:
                self._present.discard(address)

    def _addresses(self) -> set[str]:
        return set(self._client.scheduler_info(n_workers=-1)["workers"])

    def _on_memory(self, event: tuple[float, dict[str, Any]]) -> None:
        address, size = event[1]["worker"], event[1]["rss"]
        self._over_memory[address] = size
        if address not in list(self._where.values()):
            self._in_vain[event[1]["pid"]] = size  # its replacement may have its address


def unlike_worker(client: Client, functions: tuple[str, ...]) -> str:
    """Name a worker that lacks this project, or has it or its packages in another version; empty if there is none."""
    for address, answer in client.run(identity, functions, on_error="return").items():
        unlike = reason_of(answer) if isinstance(answer, Exception) else difference(identity(functions), answer)
        if unlike:
            return f"worker {address} cannot run trials: {unlike}"
    return ""
