"""Regions of one orientation in a single map: cores of a low gradient, grown by a watershed, merged by their angle."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Regions = npt.NDArray[np.int32]  # (y_grid, x_grid): 0 none, 1..n
Phasors = npt.NDArray[np.complex64]  # (y_grid, x_grid), strength and fold-th angle
Mask = npt.NDArray[np.bool_]

#: The gradient is smoothed over this many lattice periods.
GRADIENT_PERIODS = 0.4


def find_regions(
    phasors: Phasors, inside: Mask, *, period_points: float, merge_rad: float, least_depth_points: float
) -> Regions:
    """Cut a map of orientations into regions of one orientation.

    1. Cores: local minima of the gradient of the unit phasor, one a period at most; a watershed of the gradient
       (L. Vincent, P. Soille, IEEE Trans. PAMI 13 (1991) 583) makes them cover the map.
    2. Neighbours whose mean phasors differ least are merged, again and again, up to ``merge_rad``. The mean of a
       merged region is that of all its points, so that a sliver between two grains joins one and never both.
    3. Regions without a point that lies ``least_depth_points`` inside are dropped.

    Parameters
    ----------
    phasors : shape (y_grid, x_grid), complex; its angle is the fold-th multiple of the orientation.
    inside : the same shape, where there is a lattice.
    period_points : of the lattice, grid points. merge_rad : in the angle of the phasors.

    Returns
    -------
    shape (y_grid, x_grid), int32: 0 outside and in between, then 1..n in the order of their first points.
    """
    from skimage.segmentation import watershed

    if not inside.any():
        return np.zeros(inside.shape, np.int32)
    gradient = gradient_of(phasors, GRADIENT_PERIODS * period_points)
    gradient[~inside] = np.inf
    size = 2 * int(np.ceil(period_points)) + 1
    cores, _ = ndimage.label((gradient == ndimage.minimum_filter(gradient, size)) & inside, np.ones((3, 3)))
    grown = watershed(gradient, cores, mask=inside).astype(np.int32)  # type: ignore[no-untyped-call]
    regions = merge_regions(grown, phasors, merge_rad)
    return renumber(keep_deep(regions, least_depth_points, least_depth_points))


def gradient_of(phasors: Phasors, sigma_points: float) -> npt.NDArray[np.float32]:
    """Squared change of the unit phasor along y and x together, smoothed, shape (y_grid, x_grid)."""
    unit = phasors / np.maximum(np.abs(phasors), np.float32(1e-12))
    steps = np.zeros(unit.shape, np.float32)
    for axis in (0, 1):
        around = np.pad(unit, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        n = unit.shape[axis]
        ahead, behind = (around.take(range(start, start + n), axis) for start in (2, 0))
        steps += np.abs(ahead - behind) ** 2
    return np.asarray(ndimage.gaussian_filter(steps, sigma_points, mode="nearest"))


def merge_regions(regions: Regions, phasors: Phasors, merge_rad: float) -> Regions:
    """Merge neighbours, those of the smallest difference of their mean phasors first, up to ``merge_rad``."""
    means = dict(enumerate(mean_phasors(regions, phasors)))
    near: dict[int, set[int]] = {}
    for a, b in neighbours_of(regions):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    waiting = [(_apart(means[a], means[b]), a, b) for a in near for b in near[a] if a < b]
    heapq.heapify(waiting)
    into = np.arange(int(regions.max()) + 1)
    changed = dict.fromkeys(means, 0)  # a pair whose means have changed is looked at anew
    seen = {(a, b): (0, 0) for _, a, b in waiting}
    while waiting and waiting[0][0] <= merge_rad:
        _, a, b = heapq.heappop(waiting)
        if a not in near or b not in near or seen.get((a, b)) != (changed[a], changed[b]):
            continue
        into[b] = a
        means[a] += means[b]
        changed[a] += 1
        for c in near.pop(b):
            near[c].discard(b)
            if c != a:
                near[c].add(a)
                near[a].add(c)
        for c in near[a]:
            pair = (min(a, c), max(a, c))
            seen[pair] = (changed[pair[0]], changed[pair[1]])
            heapq.heappush(waiting, (_apart(means[a], means[c]), *pair))
    for number in range(1, len(into)):  # every region goes into one of a lower or higher number: follow to the end
        root = number
        while into[root] != root:
            root = into[root]
        into[number] = root
    return into[regions].astype(np.int32)


def neighbours_of(regions: Regions) -> Iterator[tuple[int, int]]:
    """Pairs of regions, the lower number first, that share a border along y or x."""
    top = int(regions.max()) + 1
    found = []
    for one, other in ((regions[:-1], regions[1:]), (regions[:, :-1], regions[:, 1:])):
        border = (one != other) & (one > 0) & (other > 0)
        a, b = one[border].astype(np.int64), other[border].astype(np.int64)
        found.append(np.minimum(a, b) * top + np.maximum(a, b))
    for code in np.unique(np.concatenate(found)).tolist():
        yield code // top, code % top


def mean_phasors(regions: Regions, phasors: Phasors) -> npt.NDArray[np.complex128]:
    """Sum of the phasors of every region, shape (n + 1,)."""
    n = int(regions.max()) + 1
    flat = regions.ravel()
    sums = [np.bincount(flat, part.ravel().astype(np.float64), minlength=n) for part in (phasors.real, phasors.imag)]
    return np.asarray(sums[0] + 1j * sums[1])


def keep_deep(regions: Regions, least_main_points: float, least_other_points: float) -> Regions:
    """The connected pieces of regions that have a point so deep inside; the frame's edge is no border.

    least_main_points : for the largest piece of every region; least_other_points : for all others.
    """
    kept = np.zeros_like(regions)
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        if box is None:
            continue
        pieces, n = ndimage.label(regions[box] == number)
        largest = int(np.argmax(np.bincount(pieces.ravel())[1:])) + 1
        for piece in range(1, n + 1):
            mine = pieces == piece
            least = least_main_points if piece == largest else least_other_points
            if depth_of(mine, box, regions.shape) >= least:
                kept[box][mine] = number
    return kept


def depth_of(mine: Mask, box: tuple[slice, slice], shape_yx: tuple[int, ...]) -> float:
    """Largest distance to a point outside, grid points, of a mask that fills ``box`` of a map."""
    padded = np.pad(mine, 1)
    for axis, (part, n) in enumerate(zip(box, shape_yx, strict=True)):
        lines = np.moveaxis(padded, axis, 0)
        if part.start == 0:
            lines[0] = lines[1]
        if part.stop == n:
            lines[-1] = lines[-2]
    if padded.all():
        return float("inf")
    return float(ndimage.distance_transform_edt(padded)[1:-1, 1:-1].max())


def renumber(regions: Regions) -> Regions:
    """1..n in the order of the regions' first points."""
    numbers, first = np.unique(regions, return_index=True)
    order = np.zeros(int(regions.max()) + 1, np.int32)
    there = numbers > 0
    order[numbers[there][np.argsort(first[there])]] = np.arange(1, int(there.sum()) + 1)
    return np.asarray(order[regions])


def _apart(a: complex, b: complex) -> float:
    """Angle between two phasors, rad."""
    return float(abs(np.angle(a * np.conj(b))))
