"""Radon variance against `skimage.transform.radon`, tile by tile: the same discs, 180 angles.

``python benchmarks/radon.py [PICTURE]`` times a whole image as the paper does (P6: 884 x 1024 px, tiles of 128 px
every 10 px) and states the ratio to skimage's transform of the same tiles.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import Contest, in_process, item
from skimage.transform import radon

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.kernels.radon import disc_reach
from emreel.descriptors.radon import RadonVariance

Array = npt.NDArray[Any]
#: The paper's benchmark: a picture of 900 x 1000 px in 15 s on an i9-12900H.
PAPER_S = 15.0


def superlattice(shape_yx: tuple[int, int]) -> Array:
    """Two grains of a square lattice of 11.3 px in noise, counts."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    turn = np.where(x + 0.4 * y < 0.6 * shape_yx[1], 0.2, 0.7)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    wave = np.cos(2 * np.pi * along / 11.3) + np.cos(2 * np.pi * across / 11.3)
    return rng.poisson(30 + 8 * wave).astype(np.float32)


def discs(frame: Array, descriptor: RadonVariance) -> Array:
    """The descriptor's tiles as skimage wants them: square, mean taken off, 0 outside the disc; (n, y, x)."""
    reach = disc_reach(descriptor.tile_px)
    radius = len(reach) // 2
    inside = np.abs(np.arange(-radius, radius + 1)) <= reach[:, None]
    tiles = np.lib.stride_tricks.sliding_window_view(frame, inside.shape)
    tiles = tiles[:: descriptor.stride, :: descriptor.stride].reshape(-1, *inside.shape).astype(np.float64)
    means = tiles[:, inside].mean(axis=1)
    return np.where(inside, tiles - means[:, None, None], 0.0)


def variances_by_skimage(tiles: Array, n_angles: int) -> Array:
    """Variance along every projection of every tile, shape (n, angle)."""
    angles = 180 * np.arange(n_angles) / n_angles
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a disc that touches its box
        return np.stack([radon(tile, theta=angles, circle=True).var(axis=0) for tile in tiles])


def one_minus_correlation(ours: Array, peer: Array) -> float:
    """1 minus the smallest correlation of a tile's curves; the bar asks for at most 1e-3."""
    return 1 - min(float(np.corrcoef(a, b)[0, 1]) for a, b in zip(ours.reshape(peer.shape), peer, strict=True))


@item("radon_skimage")
def radon_skimage(tiny: bool) -> Contest:
    """Curves of the paper's tiles (128 px, 180 angles)."""
    descriptor = RadonVariance(scale="counts")
    n_tiles = 2 if tiny else 4
    side = 2 * descriptor.halo + 1 + (n_tiles - 1) * descriptor.stride
    frame = superlattice((side, side))
    tiles = discs(frame, descriptor)
    return Contest(
        ours=in_process(lambda: descriptor(frame)),
        peer=in_process(lambda: variances_by_skimage(tiles, descriptor.n_angles)),
        n_outputs=len(tiles) * descriptor.n_angles,
        error=one_minus_correlation,
        peer_name="skimage.transform.radon (error: 1 - correlation)",
    )


def time_picture(frame: Array) -> None:
    """P6: the descriptor of a whole picture, against skimage's time for a few of its tiles times their number."""
    descriptor = RadonVariance()
    padded, valid = pad_frame(frame, descriptor.halo)
    descriptor(padded[:200, :200], valid[:200, :200])
    start = time.thread_time()
    grid = descriptor(padded, valid).shape
    ours = time.thread_time() - start
    some = discs(frame[:150, :150], descriptor)[:4]
    start = time.thread_time()
    variances_by_skimage(some, descriptor.n_angles)
    peer = (time.thread_time() - start) / len(some) * grid[0] * grid[1]
    print(
        f"{frame.shape[0]} x {frame.shape[1]} px, {grid[0] * grid[1]} tiles: {ours:.2f} CPU s; "
        f"skimage {peer:.0f} CPU s ({peer / ours:.0f}x); the paper's picture takes {PAPER_S:.0f} s on its i9 "
        f"({PAPER_S / ours:.1f}x)"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        from emreel.io import open_movie

        time_picture(np.ascontiguousarray(open_movie(sys.argv[1])[0].values, np.float32))
    else:
        time_picture(superlattice((884, 1024)))
