"""Which labels meet along an axis, and which of their boundaries rests; told from a few frames of the movie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.track.errors import TrackError
from emreel.track.finding import FrontFinder
from emreel.track.rays import Rays, make_rays
from emreel.track.source import FIRST_VOID, LabelFrames, Sides, sum_classes

Floats = npt.NDArray[np.float64]

#: Frames that are looked at.
SAMPLE_FRAMES = 16
#: Two labels meet when so many of the rays show it, in so many of the frames.
LEAST_RAYS, LEAST_FRAMES = 0.25, 0.1
#: A boundary rests when its positions scatter by less than this, px (1.48 times their median deviation).
REST_PX = 3.0
#: It is looked for among the boundaries that so many of the frames show.
LEAST_SEEN = 0.3


def sample_frames(n_frames: int) -> list[int]:
    """Frames spread over the movie, the first and the last among them."""
    return sorted({int(i) for i in np.linspace(0, n_frames - 1, min(n_frames, SAMPLE_FRAMES)).round()})


def find_pairs(frames: LabelFrames, axis: Any) -> list[Sides]:
    """Every two labels that meet along the axis.

    Raises
    ------
    TrackError : none do.
    """
    rays = make_rays("y" if isinstance(axis, str) and axis == "contour" else axis, frames.shape_yx)
    sample = sample_frames(frames.n_frames)
    met: Counter[tuple[int, int]] = Counter()
    for frame in sample:
        label = frames.read_label(frame)
        here: Counter[tuple[int, int]] = Counter()
        for a, b in combinations(np.unique(label[(label > 0) & (label < FIRST_VOID)]).tolist(), 2):
            of_a, of_b = (rays.sample((label == k).astype(np.float32)) > 0.5 for k in (a, b))
            meets = (of_a[1:] & of_b[:-1]) | (of_b[1:] & of_a[:-1])
            here[a, b] += meets.any(axis=0).mean() >= LEAST_RAYS
        met.update({pair: 1 for pair, n in here.items() if n})
    pairs: list[Sides] = [((a,), (b,)) for (a, b), n in sorted(met.items()) if n >= LEAST_FRAMES * len(sample)]
    if not pairs:
        raise TrackError(f"no two labels meet along the axis {axis!r}. Name two sides: between=((1,), (2,)).")
    return pairs


@dataclass(frozen=True)
class Datum:
    """What depths are counted from: a position along the axis in the specimen, and the direction away from it."""

    position_px: float
    sign: float = 1.0

    def depth_px(self, resting_px: Floats) -> Floats:
        return self.sign * (resting_px - self.position_px)


@dataclass(frozen=True, eq=False)
class Survey:
    """Some frames of a movie, in which boundaries are looked for along rays. drift : shape (time, 2), px."""

    frames: LabelFrames
    rays: Rays
    finder: FrontFinder
    drift: Floats

    def positions(self, sides: Sides) -> Floats:
        """Mean positions of a boundary in the specimen, in those frames that show it alone, shape (n,), px."""
        positions = []
        for frame in sample_frames(self.frames.n_frames):
            shares = self.frames.read_shares(frame)
            found = self.finder(*(self.rays.sample(sum_classes(shares, side)) for side in sides))
            if len(found) == 1 and found[0].share_kept > 0.5:
                resting = self.rays.position_px(found[0].edges) - self.rays.direction_yx @ self.drift[frame]
                positions.append(float(np.nanmean(resting)))
        return np.array(positions)

    def datum(self, sides: Sides, rest: Sides) -> Datum | None:
        """Depths of a front counted from a boundary that rests; None where there is no such boundary."""
        at, front = self.positions(rest), self.positions(sides)
        if not at.size:
            return None
        position = float(np.median(at))
        return Datum(position, -1.0 if front.size and np.median(front) < position else 1.0)

    def find_datum(self, sides: Sides) -> Datum | None:
        """The same from the steadiest boundary within the first of two sides that has one; None where none rests."""
        least = max(3, LEAST_SEEN * len(sample_frames(self.frames.n_frames)))
        for side in sides:
            scatter = {}
            for a, b in combinations(side, 2):
                at = self.positions(((a,), (b,)))
                if at.size >= least:
                    scatter[a, b] = 1.4826 * float(np.median(np.abs(at - np.median(at))))
            steady = min(scatter, key=scatter.__getitem__, default=None)
            if steady is not None and scatter[steady] < REST_PX:
                return self.datum(sides, ((steady[0],), (steady[1],)))
        return None
