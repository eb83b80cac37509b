"""Which labels are twins of one another, told from some frames of a movie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.orientation import Fringe, fringes_of
from emreel.track.lattices import compare_lattices, turn_between
from emreel.track.linking import largest_piece
from emreel.track.pairs import sample_frames
from emreel.track.pictures import Frame, Pictures
from emreel.track.source import FIRST_VOID, LabelFrames
from emreel.track.traces import Trace, find_traces

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Labels are eroded by so many spacings before their lattice is looked at, so that none of a neighbour's is in it.
INSET = 0.5
#: Two traces of one pair are the sides of a lamella when parallel to so many degrees, this many spacings apart.
PARALLEL_DEG, LEAST_APART = 12.0, 1.5


@dataclass(frozen=True, kw_only=True)
class TwinPair:
    """Two labels that are twins. label : the smaller of the two, the twin; other_label : its parent or neighbour.
    normal_yx : of the twin plane, in the frame ``frame``. turn_deg : between the lattices."""

    label: int
    other_label: int
    is_lamella: bool
    normal_yx: tuple[float, float]
    frame: int
    turn_deg: float

    @property
    def name(self) -> str:
        return f"{self.label}|{self.other_label}"


@dataclass(frozen=True, eq=False)
class LatticeView:
    """Labels, pictures and the spacings of fringes."""

    frames: LabelFrames
    pictures: Pictures
    spacings_px: tuple[float, float]

    def fringes(self, picture: Frame, mask: Mask) -> tuple[Fringe, ...]:
        """The fringes of a crystal's inside."""
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        return fringes_of(picture, depth > INSET * self.spacings_px[1], self.spacings_px)


def find_twins(view: LatticeView) -> list[TwinPair]:
    """Every two labels that are twins in most of the frames that were looked at and show both lattices."""
    tests: dict[tuple[int, int], list[tuple[bool, bool, Floats, int, float]]] = {}
    area: dict[int, int] = {}
    for frame in sample_frames(view.frames.n_frames):
        label, shares = view.frames.read_label(frame), view.frames.read_shares(frame)
        picture = view.pictures.read(frame)
        there = [k for k in np.unique(label).tolist() if 0 < k < FIRST_VOID]
        fringes = {k: view.fringes(picture, largest_piece(label == k)) for k in there}
        for k in there:
            area[k] = area.get(k, 0) + int((label == k).sum())
        for a, b in combinations([k for k in there if fringes[k]], 2):
            traces = find_traces(shares[a - 1], shares[b - 1])
            if traces:
                normal = np.array(traces[0].normal_yx)
                mirror = compare_lattices(fringes[a], fringes[b], normal)
                turn = turn_between(fringes[a], fringes[b])
                sides = _are_sides(traces, view.spacings_px[1])
                tests.setdefault((a, b), []).append((mirror.is_twin, sides, np.array(mirror.normal_yx), frame, turn))
    pairs = []
    for (a, b), told in tests.items():
        twin = [one for one in told if one[0]]
        if 2 * len(twin) > len(told):
            small, large = sorted((a, b), key=lambda k: area[k])
            pairs.append(
                TwinPair(
                    label=small,
                    other_label=large,
                    is_lamella=2 * sum(one[1] for one in twin) > len(twin),
                    normal_yx=(float(twin[0][2][0]), float(twin[0][2][1])),
                    frame=twin[0][3],
                    turn_deg=float(np.median([one[4] for one in twin])),
                )
            )
    return pairs


def _are_sides(traces: Sequence[Trace], spacing_px: float) -> bool:
    """Whether the two longest traces are the two sides of a lamella."""
    if len(traces) < 2:
        return False
    one, other = traces[:2]
    apart = abs((one.angle_deg - other.angle_deg + 90) % 180 - 90)
    away = abs(float(one.distance(np.array(other.point_yx))))
    return apart <= PARALLEL_DEG and away >= LEAST_APART * spacing_px
