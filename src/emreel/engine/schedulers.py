"""Which scheduler is active, what it has, and how to start one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

import dask
from dask.base import get_scheduler

from emreel.engine.errors import SchedulerLostError

logger = logging.getLogger(__name__)

#: What glibc gives back to the system, bytes: Dask's own setting unmaps every array of a frame, and a quarter of all
#: time goes into mapping it anew (docs/scaling.md).
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": 8 * 2**20, "MALLOC_MMAP_THRESHOLD_": 5 * 2**20}
#: How long a scheduler is knocked at, s.
CONNECT_S = 20.0
#: A worker process of this machine that says nothing for so long is started anew, s.
WORKER_TTL_S = 30.0
#: How often it is looked whether the scheduler and all workers are there, s.
LOOK_S = 0.5


@dataclass(frozen=True)
class Workers:
    """Who does the work: how many tasks run at once, and the memory each has, bytes."""

    n_tasks: int
    memory_bytes: int


def active_workers() -> Workers:
    """The workers of the active scheduler."""
    client = active_client()
    if client is None:
        n_tasks = 1 if is_synchronous() else int(dask.config.get("num_workers", os.cpu_count() or 1))
        return Workers(n_tasks, _machine_memory_bytes() // (2 * n_tasks))
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    n_tasks = max(1, sum(worker["nthreads"] for worker in workers))
    shares = [worker["memory_limit"] // worker["nthreads"] for worker in workers if worker["memory_limit"]]
    return Workers(n_tasks, min(shares, default=_machine_memory_bytes() // (2 * n_tasks)))


@contextlib.contextmanager
def local_workers(n_workers: int, *, scheduler: str | None = None) -> Iterator[None]:
    """Make a scheduler active: ``n_workers`` processes on this machine, or the one at ``scheduler``.

    The processes, their dashboard included, listen on loopback only. A worker that is silent for `WORKER_TTL_S` is
    started anew. The keys for an address that begins with tls:// come from Dask's configuration.

    Raises
    ------
    SchedulerLostError : nobody answers at ``scheduler``.
    """
    from distributed import Client, LocalCluster

    if scheduler is not None:
        _warn_of_plain(scheduler)
        try:  # not as default: one that is not let in would stay it
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise SchedulerLostError(
                f"no scheduler can be reached at {scheduler} ({error}). Start one, or check address and keys."
            ) from error
        quiet = _quiet("distributed.client", "distributed.batched", "distributed.core")
        with quiet, client, client.as_current(), dask.config.set(scheduler=client):
            yield  # Dask tells of a lost connection in tracebacks, we in a line
        return
    with (
        dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEPT_MEMORY.items()}),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            scheduler_kwargs={"worker_ttl": f"{WORKER_TTL_S} s"},
        ) as cluster,
        Client(cluster, set_as_default=True),
    ):
        yield


@contextlib.contextmanager
def local_threads(n_threads: int) -> Iterator[None]:
    """Make the threads of this process the scheduler."""
    with dask.config.set(scheduler="threads" if n_threads > 1 else "synchronous", num_workers=n_threads):
        yield


def active_client() -> Any:
    """The distributed client that Dask would use now, or None for a scheduler inside this process."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    owner = getattr(get_scheduler(), "__self__", None)
    return owner if isinstance(owner, Client) else None


@contextlib.contextmanager
def recalled_workers(client: Any) -> Iterator[None]:
    """Start anew, meanwhile, the workers that the client's cluster gives up.

    A worker that is killed while it starts is not started again, and a cluster of Dask's drops one that does not come
    back in time (``distributed.deploy.lost-worker-timeout``), yet counts it among those it should have. When all are
    dropped, what was handed in, or is fetched, would wait for ever.
    """
    wanted = getattr(client.cluster, "worker_spec", None)
    if wanted is None:
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK_S):
            if set(wanted) - set(client.cluster.workers):
                client.cluster.scale(len(wanted))

    watcher = threading.Thread(target=look, name="emreel-workers", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def is_synchronous() -> bool:
    return dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded")


@contextlib.contextmanager
def single_threaded_kernels() -> Iterator[None]:
    """Keep BLAS to one thread: parallelism is over regions (worker processes see to it themselves)."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def _machine_memory_bytes() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _warn_of_plain(address: str) -> None:
    """Whoever reaches a scheduler runs code on it, and plain connections can be read on their way."""
    parsed = urlparse(address)
    if parsed.scheme != "tls" and parsed.hostname not in ("127.0.0.1", "localhost", "::1", None):
        logger.warning("%s is not encrypted and anyone who reaches it can run code there. Use tls://", address)
