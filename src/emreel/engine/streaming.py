"""Tasks computed a window at a time on the active scheduler, each result reported as it comes; what fails is set aside.

A task that fails through its data (it cannot be read, or is too large for the memory) or kills its worker is tried once
more when all others are done, alone, so that no task suffers for another that ran beside it.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

import dask
from dask.callbacks import Callback
from dask.delayed import Delayed

from emreel.engine.errors import EngineError, SchedulerLostError, WorkerKilledError
from emreel.engine.schedulers import (
    LOOK_S,
    active_client,
    active_workers,
    recalled_workers,
    single_threaded_kernels,
)

P = TypeVar("P", bound=Any)
Task = Callable[[Any], Delayed]
OnDone = Callable[[Any, Any], None]
OnFailed = Callable[[Any, BaseException], None]
#: Tasks handed to the scheduler at a time, for each worker: enough to keep it busy, few enough to stay small.
TASKS_IN_FLIGHT = 4
#: When so many tasks fail and none succeeds, the fault is not with one of them.
ALL_FAIL = 8


def stream(items: Sequence[Any], task: Task, on_done: OnDone, on_failed: OnFailed | None = None) -> None:
    """Compute a task for each item, a window at a time; report each result as it comes.

    Raises
    ------
    SchedulerLostError, WorkerKilledError : see `emreel.engine.errors`. Errors of tasks as they are.
    """
    suspects: list[Any] = []
    n_done = 0

    def count(item: Any, result: Any) -> None:
        nonlocal n_done
        n_done += 1
        on_done(item, result)

    def set_aside(item: Any, error: BaseException) -> None:
        if on_failed is None or not _may_be_set_aside(error):
            raise error
        suspects.append(item)
        if n_done == 0 and len(suspects) >= ALL_FAIL:
            raise error

    def give_up(item: Any, error: BaseException) -> None:
        if on_failed is None or not _may_be_set_aside(error):
            raise error
        on_failed(item, error)

    with single_threaded_kernels():
        _run(items, task, count, set_aside)
        for item in suspects:
            _run([item], task, count, give_up)


def fold(n: int, task: Callable[[int], Delayed]) -> Any:
    """Add partials in order as they come; only those that wait for an earlier one are held."""
    running = InOrder[Any]()
    stream(range(n), task, running.add)
    return running.total()


class InOrder(Generic[P]):
    """A running sum whose terms arrive in any order and are added in one."""

    def __init__(self) -> None:
        self._waiting: dict[int, P] = {}
        self._sum: list[P] = []
        self._next = 0

    def add(self, place: int, term: P) -> None:
        self._waiting[place] = term
        while self._next in self._waiting:
            term = self._waiting.pop(self._next)
            self._sum = [self._sum[0] + term] if self._sum else [term]
            self._next += 1

    def total(self) -> P:
        return self._sum[0]


def _run(items: Sequence[Any], task: Task, on_done: OnDone, on_failed: OnFailed) -> None:
    client = active_client()
    if client is None:
        _run_locally(items, task, on_done, on_failed)
    else:
        with recalled_workers(client):
            _run_on_cluster(client, items, task, on_done, on_failed)


def _run_locally(items: Sequence[Any], task: Task, on_done: OnDone, on_failed: OnFailed) -> None:
    window = 16 * TASKS_IN_FLIGHT * active_workers().n_tasks
    for start in range(0, len(items), window):
        tasks = {}
        for item in items[start : start + window]:
            one = task(item)
            tasks[one.key] = (item, one)
        _compute_window(tasks, on_done, on_failed)


def _compute_window(tasks: dict[Any, tuple[Any, Delayed]], on_done: OnDone, on_failed: OnFailed) -> None:
    """Compute tasks together; after one that fails, what is left one by one, to know whose fault it is."""
    left = dict(tasks)

    def report(key: Any, result: Any, *_: Any) -> None:
        if key in left:
            on_done(left.pop(key)[0], result)

    try:
        with Callback(posttask=report):
            dask.compute(*(one for _, one in tasks.values()), optimize_graph=True, traverse=False)
    except Exception as error:
        if not _may_be_set_aside(error):
            raise
        for item, one in list(left.values()):
            try:
                (result,) = dask.compute(one, optimize_graph=True, traverse=False)
            except (MemoryError, OSError) as own:
                on_failed(item, own)
            else:
                on_done(item, result)


def _run_on_cluster(client: Any, items: Sequence[Any], task: Task, on_done: OnDone, on_failed: OnFailed) -> None:
    waiting = iter(items)
    room = TASKS_IN_FLIGHT * active_workers().n_tasks
    in_flight: dict[Any, tuple[Any, Any]] = {}
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    exhausted = False
    try:
        while True:
            while not exhausted and len(in_flight) < room:
                item = next(waiting, finished)
                if item is finished:
                    exhausted = True
                    break
                _require_running(client)
                future = client.compute(task(item), optimize_graph=True)
                in_flight[future.key] = (item, future)
                future.add_done_callback(lambda done: finished.put(done.key))
            if not in_flight:
                return
            _take_one(client, finished, in_flight, on_done, on_failed)
    finally:
        for _, future in in_flight.values():
            future.release()


def _take_one(
    client: Any,
    finished: queue.SimpleQueue[Any],
    in_flight: dict[Any, tuple[Any, Any]],
    on_done: OnDone,
    on_failed: OnFailed,
) -> None:
    """Wait for the next task that ends; look after the scheduler meanwhile."""
    try:
        key = finished.get(timeout=LOOK_S)
    except queue.Empty:
        _require_running(client)
        return
    item, future = in_flight.pop(key)
    try:
        result = future.result()
    except CancelledError as error:
        raise _lost(client) from error
    except Exception as error:  # noqa: BLE001 - whatever a task raised, it is looked at where it came from
        _require_running(client)
        on_failed(item, _named(error))
    else:
        on_done(item, result)


def _named(error: Exception) -> Exception:
    """Dask's own errors in words of ours."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return WorkerKilledError(
            f"a task ended the process of {error.allowed_failures + 1} workers one after another "
            f"(the last at {error.last_worker.address}). Probably they ran out of memory: give each of them more."
        )
    return error


def _may_be_set_aside(error: BaseException) -> bool:
    """Whether the data of one task may be to blame; what says so of the whole run may not."""
    if isinstance(error, EngineError):
        return isinstance(error, WorkerKilledError)
    if type(error).__module__.partition(".")[0] in ("distributed", "asyncio") or isinstance(error, TimeoutError):
        return False
    return isinstance(error, MemoryError | OSError)


def _require_running(client: Any) -> None:
    if client.status != "running":
        raise _lost(client)


def _lost(client: Any) -> SchedulerLostError:
    address = getattr(client.scheduler, "address", None) or "the scheduler"
    return SchedulerLostError(
        f"the connection to {address} is gone, and with it what ran there. What is written is kept: "
        "start a scheduler and give the same command again to go on."
    )
