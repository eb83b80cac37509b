"""A descriptor's features of a whole movie, lazily."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.descriptors.base import Descriptor
from emreel.descriptors.geometry import Tile, grid_length, window_of
from emreel.engine.regions import lazy_pixels
from emreel.prepare.quality import usable_pixels


def describe_movie(
    movie: xr.DataArray, descriptor: Descriptor, *, tile_yx: tuple[int, int] | None = None
) -> xr.DataArray:
    """A descriptor's features of every frame, lazily.

    Blocks hold whole frames, or tiles of about ``tile_yx`` px (multiples of the stride) that overlap by the halo.
    Returns dims (time, y_grid, x_grid, feature), float32; equal for any tiles.
    """
    height, width = movie.sizes["y"], movie.sizes["x"]
    stride, halo = descriptor.stride, descriptor.halo
    chunks_y = tile_chunks(height, height if tile_yx is None else tile_yx[0], stride, halo)
    chunks_x = tile_chunks(width, width if tile_yx is None else tile_yx[1], stride, halo)
    frames = lazy_pixels(movie).rechunk((1, chunks_y, chunks_x))
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


def tile_chunks(length: int, tile: int, stride: int, halo: int) -> tuple[int, ...]:
    """Chunks along one axis: multiples of the stride, none thinner than the halo, the rest joined to the last."""
    tile = max(grid_length(max(tile, halo, 1), stride) * stride, stride)
    if tile >= length:
        return (length,)
    n, rest = divmod(length, tile)
    if rest == 0:
        return (tile,) * n
    return (*(tile,) * n, rest) if rest >= halo else (*(tile,) * (n - 1), tile + rest)
