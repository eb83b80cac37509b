"""The one room that knows Dask's work: cuts movies into regions, runs them anywhere, folds partial sums in order.

Whichever scheduler is active is used: the threads of this process, or a `distributed.Client`. Nothing here
changes a number: regions are fixed in absolute coordinates, and what they return is put in order.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import get_scheduler
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed

from emreel.descriptors.base import Descriptor
from emreel.descriptors.geometry import Tile, grid_length, window_of
from emreel.movie import DIMS
from emreel.prepare.quality import usable_pixels

R = TypeVar("R")
P = TypeVar("P", bound=Any)
#: Tasks handed to the scheduler at a time, for each worker: enough to keep it busy, few enough to stay small.
TASKS_IN_FLIGHT = 4
#: Frames that are cut from a long movie at once.
FRAMES_PER_WINDOW = 64


@dataclass(frozen=True)
class Region:
    """A piece of a movie: frames [t0, t1) of the rectangle ``tile``, px of the whole frame."""

    t0: int
    t1: int
    tile: Tile

    def with_context(self, reach_px: int, shape_yx: tuple[int, int]) -> Region:
        """The region with ``reach_px`` of its neighbourhood on every side, as far as the frame goes."""
        return Region(self.t0, self.t1, self.tile.grown(reach_px, shape_yx))


@dataclass(frozen=True)
class Workers:
    """Who does the work: how many tasks run at once, and the memory each has, bytes."""

    n_tasks: int
    memory_bytes: int


def active_workers() -> Workers:
    """The workers of the active scheduler."""
    client = _active_client()
    if client is None:
        n_tasks = 1 if _is_synchronous() else int(dask.config.get("num_workers", os.cpu_count() or 1))
        return Workers(n_tasks, _machine_memory_bytes() // (2 * n_tasks))
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    n_tasks = max(1, sum(worker["nthreads"] for worker in workers))
    shares = [worker["memory_limit"] // worker["nthreads"] for worker in workers if worker["memory_limit"]]
    return Workers(n_tasks, min(shares, default=_machine_memory_bytes() // (2 * n_tasks)))


def run_regions(
    movie: xr.DataArray,
    regions: Sequence[R],
    locate: Callable[[R], Region],
    work: Callable[[npt.NDArray[Any], R], Any],
    on_done: Callable[[R, Any], None],
) -> None:
    """Run ``work(pixels, region)`` for every region on the active scheduler.

    ``locate`` tells which frames and pixels a region needs; only those are read, inside the task.
    ``on_done(region, result)`` is called here, in the driver, as soon as each result is in, in any order.
    """
    reel = _Reel(movie)

    def task(region: R) -> Delayed:
        return _delayed_work(work, reel.cut(locate(region)), region)

    _stream(regions, task, on_done)


def map_regions(
    movie: xr.DataArray,
    regions: Sequence[R],
    locate: Callable[[R], Region],
    work: Callable[[npt.NDArray[Any], R], Any],
) -> list[Any]:
    """What ``work`` returns for every region, in the order of the regions."""
    reel = _Reel(movie)
    results: list[Any] = [None] * len(regions)
    _stream(
        range(len(regions)),
        lambda i: _delayed_work(work, reel.cut(locate(regions[i])), regions[i]),
        results.__setitem__,
    )
    return results


def fold_regions(
    movie: xr.DataArray,
    regions: Sequence[R],
    locate: Callable[[R], Region],
    work: Callable[[npt.NDArray[Any], R], P],
) -> P:
    """The sum of what ``work`` returns, added in the order of the regions."""
    reel = _Reel(movie)
    total: P = _fold(len(regions), lambda i: _delayed_work(work, reel.cut(locate(regions[i])), regions[i]))
    return total


@dataclass(frozen=True)
class Parts:
    """Results that stay with the workers that made them; only what is folded from them travels."""

    parts: tuple[Delayed, ...]

    def fold(self, of: Callable[..., P], *args: Any) -> P:
        """``of(part, *args)`` beside every part; the partials are added here, in the order of the parts."""
        total: P = _fold(len(self.parts), lambda i: _delayed_work(of, self.parts[i], *args))
        return total

    def map(self, of: Callable[..., Any], *args: Any) -> Parts:
        """``of(part, *args)`` beside every part, kept there."""
        return _keep([_delayed_work(of, part, *args) for part in self.parts])


def keep_regions(
    movie: xr.DataArray,
    regions: Sequence[R],
    locate: Callable[[R], Region],
    work: Callable[[npt.NDArray[Any], R], Any],
) -> Parts:
    """Like `map_regions`, but the results stay in the workers' memory, and are made anew if a worker is lost."""
    reel = _Reel(movie)
    return _keep([_delayed_work(work, reel.cut(locate(region)), region) for region in regions])


def join_parts(parts: Iterable[Parts]) -> Parts:
    """Several movies' parts, one after the other."""
    return Parts(tuple(part for group in parts for part in group.parts))


def add_in_order(partials: Sequence[P]) -> P:
    """The sum of partials from first to last: the one order there is."""
    total = partials[0]
    for partial in partials[1:]:
        total = total + partial
    return total


def describe_movie(
    movie: xr.DataArray, descriptor: Descriptor, *, tile_yx: tuple[int, int] | None = None
) -> xr.DataArray:
    """A descriptor's features of every frame, lazily.

    Blocks hold whole frames, or tiles of about ``tile_yx`` px (multiples of the stride) that overlap by the halo.
    Returns dims (time, y_grid, x_grid, feature), float32; equal for any tiles.
    """
    height, width = movie.sizes["y"], movie.sizes["x"]
    stride, halo = descriptor.stride, descriptor.halo
    chunks_y = _tile_chunks(height, height if tile_yx is None else tile_yx[0], stride, halo)
    chunks_x = _tile_chunks(width, width if tile_yx is None else tile_yx[1], stride, halo)
    frames = _lazy(movie).rechunk((1, chunks_y, chunks_x))
    depth = {0: 0, 1: halo if len(chunks_y) > 1 else 0, 2: halo if len(chunks_x) > 1 else 0}
    features = da.map_blocks(
        _describe_block,
        da.overlap.overlap(frames, depth=depth, boundary="none"),
        descriptor=descriptor,
        dtype=np.float32,
        new_axis=3,
        chunks=(
            frames.chunks[0],
            tuple(grid_length(n, stride) for n in chunks_y),
            tuple(grid_length(n, stride) for n in chunks_x),
            (len(descriptor.features),),
        ),
        meta=np.empty((0, 0, 0, 0), np.float32),
    )
    return xr.DataArray(
        features,
        dims=("time", "y_grid", "x_grid", "feature"),
        coords={"time": movie.coords["time"], "feature": [feature.name for feature in descriptor.features]},
        name=descriptor.name,
    )


def read_frame(movie: xr.DataArray, index: int) -> npt.NDArray[Any]:
    """The pixels of one frame, shape (y, x), read here and now whatever scheduler is active."""
    frame = movie.transpose(*DIMS)[index].data
    if isinstance(frame, da.Array):
        frame = frame.compute(scheduler="synchronous")
    pixels: npt.NDArray[Any] = np.asarray(frame)
    return pixels


@contextlib.contextmanager
def local_workers(n_workers: int, *, scheduler: str | None = None) -> Iterator[None]:
    """Make a scheduler active: ``n_workers`` processes on this machine, or the one at ``scheduler``.

    The processes, their dashboard included, listen on loopback only.
    """
    from distributed import Client, LocalCluster

    if scheduler is not None:
        with Client(scheduler, timeout="20s", set_as_default=True):
            yield
        return
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=True),
    ):
        yield


@contextlib.contextmanager
def local_threads(n_threads: int) -> Iterator[None]:
    """Make the threads of this process the scheduler."""
    with dask.config.set(scheduler="threads" if n_threads > 1 else "synchronous", num_workers=n_threads):
        yield


# ------------------------------------------------------------------------------------------------ inside


def _describe_block(
    frames: npt.NDArray[Any], *, descriptor: Descriptor, block_info: Any = None
) -> npt.NDArray[np.float32]:
    """Describe a block that has its halo where it overlaps others; at the frame's edges it is padded here."""
    halo, info = descriptor.halo, block_info[0]
    first = [place == 0 for place in info["chunk-location"][1:]]
    last = [place == n - 1 for place, n in zip(info["chunk-location"][1:], info["num-chunks"][1:], strict=True)]
    have = Tile(0, frames.shape[1], 0, frames.shape[2])
    want = Tile(
        -halo if first[0] else 0,
        have.y1 + (halo if last[0] else 0),
        -halo if first[1] else 0,
        have.x1 + (halo if last[1] else 0),
    )
    described = []
    for frame in frames:
        usable = usable_pixels(frame)
        filled = np.where(usable, frame, 0).astype(np.float32)
        described.append(descriptor(*window_of(filled, usable, have, want)))
    return np.stack(described)


def _tile_chunks(length: int, tile: int, stride: int, halo: int) -> tuple[int, ...]:
    """Chunks along one axis: multiples of the stride, none thinner than the halo, the rest joined to the last."""
    tile = max(grid_length(max(tile, halo, 1), stride) * stride, stride)
    if tile >= length:
        return (length,)
    n, rest = divmod(length, tile)
    if rest == 0:
        return (tile,) * n
    return (*(tile,) * n, rest) if rest >= halo else (*(tile,) * (n - 1), tile + rest)


def _lazy(movie: xr.DataArray) -> da.Array:
    movie = movie.transpose(*DIMS)
    if movie.chunks is not None:
        pixels: da.Array = movie.data
        return pixels
    return da.from_array(movie.values, chunks=(1, -1, -1), asarray=False, name=False)


class _Reel:
    """A movie's pixels, cut by region. Cutting costs time in the number of chunks, so long movies are cut in two
    steps: a window of frames that many regions share, then the region."""

    def __init__(self, movie: xr.DataArray) -> None:
        self._pixels = _lazy(movie)
        self._start, self._window = -1, self._pixels

    def cut(self, region: Region) -> da.Array:
        start = region.t0 // FRAMES_PER_WINDOW * FRAMES_PER_WINDOW
        if start != self._start:
            (self._window,) = dask.optimize(self._pixels[start : start + FRAMES_PER_WINDOW])
            self._start = start
        ys, xs = region.tile.slices
        inside = region.t1 <= start + FRAMES_PER_WINDOW
        source, t0 = (self._window, start) if inside else (self._pixels, 0)
        cut: da.Array = source[region.t0 - t0 : region.t1 - t0, ys, xs]
        return cut


def _delayed_work(work: Callable[..., Any], first: Any, *rest: Any) -> Delayed:
    return delayed(_Call(work, rest), pure=False, traverse=False)(first)


@dataclass(frozen=True)
class _Call:
    """A call with its plain arguments bound, so that Dask looks into none of them."""

    work: Callable[..., Any]
    args: tuple[Any, ...]

    @property
    def __name__(self) -> str:
        return getattr(self.work, "__name__", type(self.work).__name__)

    def __call__(self, first: Any) -> Any:
        return self.work(first, *self.args)


def _keep(tasks: Sequence[Delayed]) -> Parts:
    with _single_threaded_kernels():
        return Parts(tuple(dask.persist(*tasks, optimize_graph=True)))


def _fold(n: int, task: Callable[[int], Delayed]) -> Any:
    """Add partials in order as they come; only those that wait for an earlier one are held."""
    running = _InOrder[Any]()
    _stream(range(n), task, running.add)
    return running.total()


class _InOrder(Generic[P]):
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


def _stream(items: Sequence[Any], task: Callable[[Any], Delayed], on_done: Callable[[Any, Any], None]) -> None:
    """Compute a task for each item, a window at a time; report each result as it comes."""
    client = _active_client()
    with _single_threaded_kernels():
        if client is None:
            _stream_locally(items, task, on_done)
        else:
            _stream_to_cluster(client, items, task, on_done)


def _stream_locally(items: Sequence[Any], task: Callable[[Any], Delayed], on_done: Callable[[Any, Any], None]) -> None:
    window = 16 * TASKS_IN_FLIGHT * active_workers().n_tasks
    for start in range(0, len(items), window):
        tasks = {}
        for item in items[start : start + window]:
            one = task(item)
            tasks[one.key] = (item, one)

        def report(key: Any, result: Any, *_: Any, tasks: dict[Any, Any] = tasks) -> None:
            if key in tasks:
                on_done(tasks[key][0], result)

        with Callback(posttask=report):
            dask.compute(*(one for _, one in tasks.values()), optimize_graph=True, traverse=False)


def _stream_to_cluster(
    client: Any, items: Sequence[Any], task: Callable[[Any], Delayed], on_done: Callable[[Any, Any], None]
) -> None:
    from distributed import as_completed

    in_flight: dict[Any, Any] = {}
    waiting = iter(items)
    room = TASKS_IN_FLIGHT * active_workers().n_tasks
    finished = as_completed(with_results=True)
    exhausted = False
    while True:
        while not exhausted and len(in_flight) < room:
            item = next(waiting, finished)
            if item is finished:
                exhausted = True
                break
            future = client.compute(task(item), optimize_graph=True)
            in_flight[future.key] = item
            finished.add(future)
        if not in_flight:
            return
        future, result = next(finished)
        on_done(in_flight.pop(future.key), result)


def _active_client() -> Any:
    """The distributed client that Dask would use now, or None for a scheduler inside this process."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    owner = getattr(get_scheduler(), "__self__", None)
    return owner if isinstance(owner, Client) else None


def _is_synchronous() -> bool:
    return dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded")


@contextlib.contextmanager
def _single_threaded_kernels() -> Iterator[None]:
    """Keep BLAS to one thread: parallelism is over regions (worker processes see to it themselves)."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def _machine_memory_bytes() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
