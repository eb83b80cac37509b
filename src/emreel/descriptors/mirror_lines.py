"""Lines that a lattice may be mirrored along, and its period along them, from its reflections alone.

A mirror or glide line maps the set of reflections onto itself. So its direction is that of the sum or the difference
of two reflections of one length, or that of one of two reflections at right angles. The lattice's period along it is
one over the largest length that all reflections mapped onto each other have a multiple of, along the line. Reflections
on the line itself may be absent (odd orders are, for a glide line along it); those off it tell the period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emreel.descriptors.peaks import Peaks

Floats = npt.NDArray[np.float64]

#: Reflections agree if they lie closer than this part of their length.
AGREE = 0.03
#: Lines closer than this are one, deg.
SAME_LINE_DEG = 2.0
#: Projections onto a line below this part of a reflection's length are none.
ON_AXIS = 0.05
#: Lines whose pairs have less than this share of the power of the strongest one's are left out.
LEAST_SHARE = 0.3
#: The period along a line is at most so many times the largest spacing of the reflections mapped along it.
LONGEST_ORDER = 4


@dataclass(frozen=True)
class MirrorLine:
    """A line: direction (dy, dx), a unit vector; the lattice's period along it, px; power mapped, counts^2."""

    direction_yx: tuple[float, float]
    period_px: float
    power: float


def find_mirror_lines(peaks: Peaks, most: int = 6) -> list[MirrorLine]:
    """Lines along which the reflections are mirror images, by power; none without a lattice.

    Found for every grain of a frame, as grains that differ in orientation do not disturb each other's pairs.
    """
    lines: list[MirrorLine] = []
    for direction in _candidates(peaks.g_yx):
        line = _along(direction, peaks)
        if line is not None:
            lines.append(line)
    lines.sort(key=lambda line: (-line.power, line.direction_yx))
    kept: list[MirrorLine] = []
    for line in lines:
        if line.power >= LEAST_SHARE * lines[0].power and all(
            _angle_deg(line, other) > SAME_LINE_DEG for other in kept
        ):
            kept.append(line)
    return kept[:most]


def _candidates(g: Floats) -> list[Floats]:
    found = []
    for i in range(len(g)):
        for j in range(i + 1, len(g)):
            a, b = g[i], g[j]
            size_a, size_b = float(np.hypot(*a)), float(np.hypot(*b))
            if abs(size_a - size_b) <= AGREE * max(size_a, size_b):
                found += [a / size_a + b / size_b, a / size_a - b / size_b]
            if abs(float(a @ b)) <= AGREE * size_a * size_b:
                found += [a, b]
    return [vector / np.hypot(*vector) for vector in found if np.hypot(*vector) > ON_AXIS * 1e-3]


def _along(direction: Floats, peaks: Peaks) -> MirrorLine | None:
    """The line of a direction, if reflections are mapped onto others or lie both along and across it."""
    g, height = peaks.g_yx, peaks.power - peaks.background
    size = np.hypot(*g.T)
    along = g @ direction
    mirrored = 2 * along[:, None] * direction - g
    apart = np.minimum(
        np.hypot(*(mirrored[:, None] - g[None]).transpose(2, 0, 1)),
        np.hypot(*(mirrored[:, None] + g[None]).transpose(2, 0, 1)),
    )
    mapped = apart.min(axis=1) <= AGREE * size
    partner = apart.argmin(axis=1)
    across_only = np.abs(along) <= ON_AXIS * size
    along_only = np.abs(along) >= np.sqrt(1 - ON_AXIS**2) * size
    off = mapped & ~across_only & ~along_only
    if not (off.any() or (across_only.any() and along_only.any())):
        return None
    steps = np.abs(along[mapped & ~across_only])
    weight = height[mapped & ~across_only]
    step = _common_step(steps, weight)
    if step is None or step * LONGEST_ORDER < size[mapped].min():
        return None
    power = float(np.minimum(height, height[partner])[mapped].sum())
    flip = direction[0] < 0 or (direction[0] == 0 and direction[1] < 0)
    dy, dx = (-direction if flip else direction).tolist()
    return MirrorLine((dy, dx), 1 / step, power)


def _common_step(steps: Floats, weight: Floats) -> float | None:
    """The largest length that all ``steps`` are multiples of, within AGREE of their own; None beyond LONGEST_ORDER."""
    for order in range(1, LONGEST_ORDER + 1):
        step = float(steps.min()) / order
        multiples = np.rint(steps / step)
        if np.all(np.abs(steps / step - multiples) <= AGREE * 2 * multiples):
            return float(np.sum(weight * steps) / np.sum(weight * multiples))
    return None


def _angle_deg(a: MirrorLine, b: MirrorLine) -> float:
    cosine = abs(float(np.dot(a.direction_yx, b.direction_yx)))
    return float(np.rad2deg(np.arccos(min(cosine, 1.0))))
