"""The engine: laziness, order, tiles that equal the whole, servers on loopback."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel import engine
from emreel.descriptors.geometry import Tile, plan_tiles
from emreel.descriptors.lattice import Lattice
from emreel.engine import Region
from emreel.engine.features import tile_chunks
from emreel.engine.schedulers import KEPT_MEMORY, active_client
from emreel.movie import make_movie


class Words(str):
    """A partial whose sum depends on the order."""

    def __add__(self, other: str) -> Words:
        return Words(str(self) + str(other))


def whole(region: Region) -> Region:
    return region


def first_pixel(pixels: np.ndarray, region: Region) -> Words:
    return Words(f"{int(pixels[0, 0, 0])},")


def regions_of(movie: Any, tile: int) -> list[Region]:
    shape = movie.sizes["y"], movie.sizes["x"]
    return [Region(t, t + 1, cut) for t in range(movie.sizes["time"]) for cut in plan_tiles(shape, (tile, tile))]


@pytest.fixture
def counting_movie() -> Any:
    frames = np.arange(7 * 12 * 10, dtype=np.uint16).reshape(7, 12, 10)
    return make_movie(da.from_array(frames, chunks=(2, 12, 10)))


@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_the_order_of_the_regions(counting_movie: Any, threads: int) -> None:
    regions = regions_of(counting_movie, 5)
    expected = [f"{int(counting_movie.values[r.t0, r.tile.y0, r.tile.x0])}," for r in regions]
    with engine.local_threads(threads):
        assert engine.map_regions(counting_movie, regions, whole, first_pixel) == expected
        assert engine.fold_regions(counting_movie, regions, whole, first_pixel) == "".join(expected)
        parts = engine.keep_regions(counting_movie, regions, whole, first_pixel)
        assert parts.map(Words.upper).fold(Words) == "".join(expected)


def test_each_result_is_reported_as_it_comes(counting_movie: Any) -> None:
    regions = regions_of(counting_movie, 5)
    seen: dict[Region, str] = {}
    engine.run_regions(counting_movie, regions, whole, first_pixel, seen.__setitem__)
    assert set(seen) == set(regions)


def test_an_error_in_a_task_is_raised_as_it_is(counting_movie: Any) -> None:
    def fail(pixels: np.ndarray, region: Region) -> None:
        raise ValueError("no such luck")

    with pytest.raises(ValueError, match="no such luck"):
        engine.map_regions(counting_movie, regions_of(counting_movie, 12), whole, fail)


@dataclass(frozen=True)
class Recorded:
    """An array that writes down what is read of it."""

    log: Path
    shape: tuple[int, int, int] = (6, 40, 40)
    dtype: type = np.uint8
    ndim: int = 3

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        with self.log.open("a") as log:
            log.write(" ".join(f"{part.start}:{part.stop}" for part in key) + "\n")
        return np.zeros(self.shape, np.uint8)[key]


def test_only_what_a_region_needs_is_read(tmp_path: Path) -> None:
    source = Recorded(tmp_path / "log")
    empty = np.empty((0, 0, 0), np.uint8)
    movie = make_movie(da.from_array(source, chunks=(1, 20, 20), asarray=False, meta=empty))
    shapes = engine.map_regions(movie, [Region(3, 4, Tile(0, 10, 25, 40))], whole, lambda pixels, _: pixels.shape)
    assert shapes == [(1, 10, 15)]
    assert source.log.read_text().splitlines() == ["3:4 0:10 25:40"]


def test_building_is_lazy(counting_movie: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was computed")

    with dask.config.set(scheduler=refuse):
        features = engine.describe_movie(counting_movie, Lattice(period_px=4.0, stride=2), tile_yx=(6, 6))
        assert features.shape == (7, 6, 5, 1)
        with pytest.raises(AssertionError, match="something was computed"):
            features.compute()


@given(length=st.integers(1, 300), tile=st.integers(1, 300), stride=st.integers(1, 9), halo=st.integers(0, 60))
@settings(max_examples=200)
def test_tile_chunks_are_on_the_grid_and_never_thinner_than_the_halo(
    length: int, tile: int, stride: int, halo: int
) -> None:
    chunks = tile_chunks(length, tile, stride, halo)
    assert sum(chunks) == length
    assert all(chunk % stride == 0 for chunk in chunks[:-1])
    assert len(chunks) == 1 or min(chunks) >= halo


def test_worker_processes_listen_on_loopback_only(counting_movie: Any) -> None:
    from distributed import default_client

    with engine.local_workers(2):
        client = default_client()
        info = client.scheduler_info(n_workers=-1)
        addresses = [info["address"], client.dashboard_link, *info["workers"]]
        addresses += [worker["nanny"] for worker in info["workers"].values()]
        assert all("//127.0.0.1:" in address for address in addresses)
        assert engine.active_workers().n_tasks == 2
        regions = regions_of(counting_movie, 5)
        assert engine.fold_regions(counting_movie, regions, whole, first_pixel).count(",") == len(regions)
    assert active_client() is None


def test_workers_keep_the_memory_of_a_frame() -> None:
    before = dict(os.environ)
    with engine.local_workers(1):
        (seen,) = active_client().run(_environment).values()
    assert {name: int(seen[name]) for name in KEPT_MEMORY} == KEPT_MEMORY
    assert {name: os.environ.get(name) for name in KEPT_MEMORY} == {name: before.get(name) for name in KEPT_MEMORY}


def _environment() -> dict[str, str]:
    return dict(os.environ)
