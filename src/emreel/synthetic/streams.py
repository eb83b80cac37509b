"""Random numbers by address: every use has its own stream, so that no frame depends on another."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Stream(IntEnum):
    """What a random stream is for. The numbers are part of every movie's identity: never renumber."""

    DRIFT = 1
    JITTER = 2
    NOISE = 3
    GAIN = 4
    BAD_PIXELS = 5
    TEXTURE = 6
    FIELD = 7
    PROFILE = 8
    COLUMNS = 9
    OUTLINE = 10
    NUCLEI = 11
    GRAINS = 12
    PORES = 13
    ROWS = 14


def random_stream(seed: int, stream: Stream, *address: int) -> np.random.Generator:
    """Generator of the stream `stream` at `address` (a frame index, a layer), independent of all others."""
    return np.random.default_rng(np.random.SeedSequence((seed, int(stream), *address)))


def spread_points(rng: np.random.Generator, n: int, shape_yx: tuple[int, int]) -> npt.NDArray[np.float64]:
    """n points (y, x) over a frame, px, none close to another: each is the farthest of a dozen candidates."""
    points = np.empty((n, 2))
    for k in range(n):
        candidates = rng.uniform(0, shape_yx, (12, 2))
        if k:
            gaps = ((candidates[:, None] - points[None, :k]) ** 2).sum(axis=2).min(axis=1)
            points[k] = candidates[gaps.argmax()]
        else:
            points[k] = candidates[0]
    return points
