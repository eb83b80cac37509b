"""A movie cut into regions: each is a task, run anywhere; partial sums are folded in one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.delayed import Delayed, delayed

from emreel.descriptors.geometry import Tile
from emreel.engine.schedulers import single_threaded_kernels
from emreel.engine.streaming import fold, stream
from emreel.movie import DIMS

R = TypeVar("R")
P = TypeVar("P", bound=Any)
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


def run_regions(
    movie: xr.DataArray,
    regions: Sequence[R],
    locate: Callable[[R], Region],
    work: Callable[[npt.NDArray[Any], R], Any],
    on_done: Callable[[R, Any], None],
    on_failed: Callable[[R, BaseException], None] | None = None,
) -> None:
    """Run ``work(pixels, region)`` for every region on the active scheduler.

    ``locate`` tells which frames and pixels a region needs; only those are read, inside the task.
    ``on_done(region, result)`` is called here, in the driver, as soon as each result is in, in any order.
    ``on_failed(region, error)`` : for regions that cannot be read, exhaust the memory, or kill their worker, after all
    others are done and the region has failed once more on its own; without it the first such error is raised.

    Raises
    ------
    SchedulerLostError, WorkerKilledError : see `emreel.engine.errors`. Other errors of ``work`` as they are.
    """
    reel = Reel(movie)

    def task(region: R) -> Delayed:
        return _delayed_work(work, reel.cut(locate(region)), region)

    stream(regions, task, on_done, on_failed)


def map_regions(
    movie: xr.DataArray,
    regions: Sequence[R],
    locate: Callable[[R], Region],
    work: Callable[[npt.NDArray[Any], R], Any],
) -> list[Any]:
    """What ``work`` returns for every region, in the order of the regions."""
    reel = Reel(movie)
    results: list[Any] = [None] * len(regions)
    stream(
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
    reel = Reel(movie)
    total: P = fold(len(regions), lambda i: _delayed_work(work, reel.cut(locate(regions[i])), regions[i]))
    return total


@dataclass(frozen=True)
class Parts:
    """Results that stay with the workers that made them; only what is folded from them travels."""

    parts: tuple[Delayed, ...]

    def fold(self, of: Callable[..., P], *args: Any) -> P:
        """``of(part, *args)`` beside every part; the partials are added here, in the order of the parts."""
        total: P = fold(len(self.parts), lambda i: _delayed_work(of, self.parts[i], *args))
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
    reel = Reel(movie)
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


def read_frame(movie: xr.DataArray, index: int) -> npt.NDArray[Any]:
    """The pixels of one frame, shape (y, x), read here and now whatever scheduler is active."""
    frame = movie.transpose(*DIMS)[index].data
    if isinstance(frame, da.Array):
        frame = frame.compute(scheduler="synchronous")
    pixels: npt.NDArray[Any] = np.asarray(frame)
    return pixels


def lazy_pixels(movie: xr.DataArray) -> da.Array:
    """A movie's pixels as a Dask array, dims (time, y, x)."""
    movie = movie.transpose(*DIMS)
    if movie.chunks is not None:
        pixels: da.Array = movie.data
        return pixels
    return da.from_array(movie.values, chunks=(1, -1, -1), asarray=False, name=False)


class Reel:
    """A movie's pixels, cut by region. Cutting costs time in the number of chunks, so long movies are cut in two
    steps: a window of frames that many regions share, then the region."""

    def __init__(self, movie: xr.DataArray) -> None:
        self._pixels = lazy_pixels(movie)
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
    with single_threaded_kernels():
        return Parts(tuple(dask.persist(*tasks, optimize_graph=True)))
