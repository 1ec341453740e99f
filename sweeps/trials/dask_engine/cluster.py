"""The workers of `engine=cluster`, which others started."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client
from distributed.comm import connect
from distributed.comm.core import FatalCommClosedError
from distributed.security import Security

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError, reason_of
from sweeps.trials.dask_engine.engine import SAME_SOFTWARE, WAIT_FOR_WORKERS, DaskEngine, unlike_worker

ANSWER = 5  # seconds for a scheduler to answer
CERTIFICATES = (
    "tls:// needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY to their files"
)


@contextmanager
def connected(config: EngineConfig, functions: tuple[str, ...]) -> Iterator[DaskEngine]:
    where = f"engine.scheduler={config.scheduler}"
    # It would log a traceback of a connection that is lost for good, which ends the sweep with a line.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        asyncio.run(asyncio.wait_for(_ask_for_scheduler(config.scheduler or ""), 2 * ANSWER))
        client = Client(config.scheduler, timeout=WAIT_FOR_WORKERS)  # also for connecting again
    except Exception as error:  # a setting of the user's for Dask may raise any
        if isinstance(error, TypeError) and str(config.scheduler).startswith("tls:"):
            raise ConfigError(f"{where}: {CERTIFICATES}") from error
        of_settings = isinstance(error, ssl.SSLError | FatalCommClosedError | RuntimeError)
        what = "Dask's settings allow no connection to it" if of_settings else "no Dask scheduler answers there"
        raise ConfigError(f"{where}: {what} ({reason_of(error)})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except TimeoutError as error:
            raise SweepError(f"{where}: no worker in {WAIT_FOR_WORKERS} s") from error
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            if worker["nthreads"] != 1:
                raise ConfigError(
                    f"{where}: worker {address} runs {worker['nthreads']} tasks at once; "
                    "Keras trains one trial a process: start workers with --nthreads 1"
                )
        if unlike := unlike_worker(client, functions):
            raise ConfigError(f"{where}: {unlike}; {SAME_SOFTWARE}")
        yield DaskEngine(client, functions=functions, sends_data=True)


async def _ask_for_scheduler(address: str) -> None:
    """Raise an error unless a scheduler answers; a `Client` waits for ever for the answer of anything else."""
    comm = await connect(address, timeout=ANSWER, **Security().get_connection_args("client"))
    try:
        await comm.write({"op": "identity"})
        kind = (await comm.read()).get("type")
    finally:
        comm.abort()
    if kind != "Scheduler":
        raise ValueError(f"it is a Dask {str(kind).lower()}")
