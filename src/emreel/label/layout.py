"""How a movie is cut into blocks, and the result that they go into."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from emreel import engine
from emreel.model import Model
from emreel.movie import frame_times_s, pixel_size_nm
from emreel.result import create_store, fit_tile, plan_layout

#: Pixels that one task labels, in so many frames at most. Each block describes `Model.lag` frames on either side of
#: its own as well, so short blocks do most of their work twice; long ones take memory.
BLOCK_PIXELS = 2**26
MOST_FRAMES_PER_BLOCK = 16
#: Memory that labelling takes, bytes a pixel of the frame, beside the block as recorded: the descriptor's maps.
BYTES_PER_PIXEL = 120
#: Tiles of frames that do not fit a worker, px.
TILE_PX = 2048


def frames_per_block(shape_yx: tuple[int, int]) -> int:
    """Frames, or tiles, of this shape that one task labels, and that one shard of a result holds."""
    return max(min(BLOCK_PIXELS // (shape_yx[0] * shape_yx[1]), MOST_FRAMES_PER_BLOCK), 1)


def create_result(
    path: str | os.PathLike[str],
    movie: xr.DataArray,
    model: Model,
    identity: Mapping[str, Any],
    provenance: Mapping[str, Any],
    with_membership: bool,
) -> None:
    """Write the model and an empty store for a movie's labels; frames are cut into tiles where they are too large."""
    shape = (movie.sizes["time"], movie.sizes["y"], movie.sizes["x"])
    tile_yx = None
    in_order = model.follow != "none" or model.grains is not None
    n_frames = frames_per_block(shape[1:])
    bytes_a_pixel = BYTES_PER_PIXEL + movie.dtype.itemsize * (n_frames + 2 * model.lag)
    if not in_order and shape[1] * shape[2] * bytes_a_pixel > engine.active_workers().memory_bytes // 2:
        tile_yx = fit_tile(shape[1:], model.stride, (TILE_PX, TILE_PX))
        n_frames = frames_per_block(tile_yx)
    layout = plan_layout(
        shape,
        model.stride,
        model.n_clusters,
        frames_per_block=n_frames,
        tile_yx=tile_yx,
        with_membership=with_membership,
        with_regions=model.grains is not None,
        with_orientation=model.grains is not None,
    )
    model.save(Path(path) / "model.zarr")
    origin = tuple(float(movie.coords[d].values[0]) / (pixel_size_nm(movie) or 1.0) for d in ("y", "x"))
    create_store(
        path,
        layout,
        identity=identity,
        label_names=model.label_names,
        label_colors=[tuple(bytes.fromhex(color[1:7])) for color in model.label_colors],
        times_s=frame_times_s(movie),
        pixel_size_nm=pixel_size_nm(movie),
        origin_yx_px=(origin[0], origin[1]),
        provenance=provenance,
    )
