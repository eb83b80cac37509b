"""A whole frame, from counts to labels of every pixel: emreel's model against dask's map_overlap and scipy."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
from harness import Contest, in_process, item
from scipy.ndimage import zoom
from translation import Array, correlate_by_scipy, lattice_frame

from emreel.fit import fit_model
from emreel.model import Model
from emreel.recipe import Recipe

RECIPE = Recipe.from_dict(
    {
        "descriptor": {"name": "translation", "window_px": 20, "patch_px": 20, "stride": 4},
        "cluster": {"n_clusters": 2},
    }
)
#: Side of the peer's chunks, px: cache-sized pieces again, cut once by dask.
CHUNK_PX = 128


def two_phases(side_px: int) -> Array:
    """A lattice whose right half is turned, shape (side_px, side_px), counts."""
    frame = lattice_frame(side_px)
    frame[:, side_px // 2 :] = frame.T[:, side_px // 2 :]
    return frame


def label_by_dask(frame: Array, model: Model) -> Array:
    """Mirror the edges, correlate, project, take the nearest centre, interpolate scores: the usual pipeline."""
    descriptor = model.descriptor
    halo, stride, shifts = descriptor.halo, descriptor.stride, np.array(descriptor.shifts)
    components = np.eye(len(shifts)) if model.components is None else model.components
    weights = (model.centers @ components).T.astype(np.float32)
    constant = (model.mean @ weights + (model.centers**2).sum(axis=1) / 2).astype(np.float32)

    def label(piece: Array) -> Array:
        scores = correlate_by_scipy(piece, shifts, halo) @ weights - constant
        return zoom(scores, (stride, stride, 1), order=1, grid_mode=False).argmax(axis=2).astype(np.uint8) + 1

    lazy = da.from_array(frame, chunks=CHUNK_PX)
    kwargs = {"depth": halo, "boundary": "reflect", "trim": False, "dtype": np.uint8, "chunks": lazy.chunks}
    with dask.config.set(scheduler="synchronous"):
        labels: Array = lazy.map_overlap(label, **kwargs).compute()
    return labels


def disagreement(ours: Array, peer: Array) -> float:
    """Part of the pixels away from the edge whose labels differ."""
    inner = np.s_[64:-64, 64:-64]
    return float((ours[inner] != peer[inner]).mean())


@item("frame_dask_scipy")
def frame_dask_scipy(tiny: bool) -> Contest:
    """1024 x 1024 px, the default translation descriptor, two classes; one thread each, everything warm."""
    frame = two_phases(256 if tiny else 1024)
    model = fit_model(frame[None], RECIPE)
    return Contest(
        ours=in_process(lambda: model.label(frame)),
        peer=in_process(lambda: label_by_dask(frame, model)),
        n_outputs=frame.size,
        error=disagreement,
        peer_name="warm dask map_overlap + scipy",
    )
