"""A whole frame, from counts to upsampled labels, against Dask's map_overlap over scipy, both warm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from harness import Contest, Side, item
from translation import correlate_by_scipy, lattice_frame

from emreel.descriptors.translation import TranslationSymmetry
from emreel.fit import fit_model
from emreel.model import Model
from emreel.recipe import DescriptorStep, Recipe, RefineStep, SampleStep

Array = npt.NDArray[Any]
FIELDS = {"window_px": 20, "patch_px": 20, "stride": 4}
TILE_PX = 512


def in_this_process(call: Callable[[], Any]) -> Side:
    """A side timed by the whole process's CPU clock: Dask's own threads count."""

    def side() -> tuple[float, Any]:
        start = time.process_time()
        out = call()
        return time.process_time() - start, out

    return side


def two_phase_frame(side_px: int) -> Array:
    """Lattice on the left, noise on the right; counts."""
    frame = lattice_frame(side_px)
    frame[:, side_px // 2 :] = np.random.default_rng(1).normal(100, 15, (side_px, side_px - side_px // 2))
    return frame


def label_by_dask(frame: Array, model: Model) -> Array:
    """What a good scientist writes: map_overlap, uniform_filter, matrix products, nearest upsampling."""
    descriptor = model.descriptor
    assert isinstance(descriptor, TranslationSymmetry)
    assert model.components is not None
    components = model.components
    shifts, stride, halo = np.array(descriptor.shifts), descriptor.stride, descriptor.halo

    def label_tile(padded: Array) -> Array:
        features = correlate_by_scipy(padded, shifts, halo)
        projected = (features - model.mean) @ components.T
        distance = ((projected[..., None, :] - model.centers) ** 2).sum(-1)
        grid = (distance.argmin(-1) + 1).astype(np.uint8)
        half = stride // 2
        wide = np.repeat(np.repeat(grid, stride, 0), stride, 1)
        return np.roll(wide, (-half, -half), (0, 1))

    pixels = da.from_array(frame, chunks=(TILE_PX, TILE_PX))
    padded = da.overlap.overlap(pixels, depth=halo, boundary="reflect")
    labels = da.map_blocks(label_tile, padded, dtype=np.uint8, chunks=pixels.chunks, meta=np.empty((0, 0), np.uint8))
    with dask.config.set(scheduler="synchronous"):
        return labels.compute()


def share_of_other_labels(ours: Array, peers: Array) -> float:
    """Share of pixels labelled otherwise, away from the frame's edge and the tiles' seams, where padding differs."""
    inside = np.zeros(ours.shape, bool)
    inside[48:-48, 48:-48] = True
    inside[TILE_PX - 4 :: TILE_PX] = inside[:, TILE_PX - 4 :: TILE_PX] = False
    known = inside & (ours < 254)
    return float(np.mean(ours[known] != peers[known]))


@item("frame_dask_scipy")
def frame_dask_scipy(tiny: bool) -> Contest:
    """81 shifts (40 are independent), 5 components, K = 2, stride 4."""
    frame = two_phase_frame(160 if tiny else 1024)
    recipe = Recipe(
        descriptor=DescriptorStep(name="translation", fields=FIELDS),
        refine=RefineStep(upsample="nearest"),
        sample=SampleStep(frames=1, points=4000),
    )
    model = fit_model(frame, recipe, n_clusters=2)
    return Contest(
        ours=in_this_process(lambda: model.label(frame)),
        peer=in_this_process(lambda: label_by_dask(frame, model)),
        n_outputs=frame.size,
        error=share_of_other_labels,
        peer_name="map_overlap + scipy uniform_filter",
    )
