"""Classes that are nothing but the rim of others: boundary points mix both sides, and many of them look like a phase.

A phase has an inside somewhere in the movie; a rim is nowhere wider than the descriptor's own blur. So label the
sample's frames with the centres found and ask, class by class, how many of its points lie inside: all points
within `REACH_PERIODS` lattice periods, along both axes, are of the same class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.cluster import assign
from emreel.cluster.assign import Centers
from emreel.cluster.field import IntensityField
from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.geometry import pad_frame
from emreel.fit.projection import Projection
from emreel.fit.sample import Sample

#: Half side of the square around a point that must be of its class, lattice periods.
REACH_PERIODS = 1.0
#: A phase has at least this share of its points inside.
LEAST_INSIDE = 0.3
#: What lies between two centres is less of a detour than this, over the straight way.
MOST_DETOUR = 1.25


@dataclass(frozen=True, eq=False)
class InsideCounts:
    """Points of each class, and those inside, shape (class,) int64: a mergeable partial, the same in any order."""

    points: npt.NDArray[np.int64]
    inside: npt.NDArray[np.int64]

    @classmethod
    def of(cls, label: npt.NDArray[np.integer[Any]], valid: Mask, n_classes: int, reach: int) -> Self:
        """Counts in one map of labels 0..K-1, shape (y_grid, x_grid); points that are not valid belong to no class."""
        known = np.where(valid, label, n_classes).astype(np.int32)
        size = 2 * reach + 1
        alike = ndimage.maximum_filter(known, size, mode="nearest") == ndimage.minimum_filter(
            known, size, mode="nearest"
        )
        return cls(*(np.bincount(known[mask], minlength=n_classes + 1)[:n_classes] for mask in (valid, alike & valid)))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.points + other.points, self.inside + other.inside)

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """Share of each class's points that lie inside; 0 for a class without points."""
        share: npt.NDArray[np.float64] = self.inside / np.maximum(self.points, 1)
        return share


@dataclass(frozen=True, eq=False)
class Labeller:
    """From a prepared frame to the nearest of some centres, grid point by grid point; a field may move the centres."""

    projection: Projection
    centers: Centers
    field: IntensityField | None = None

    @property
    def stride(self) -> int:
        return self.projection.descriptor.stride

    def __call__(self, frame: Frame, valid: Mask) -> npt.NDArray[np.integer[Any]]:
        descriptor = self.projection.descriptor
        features = descriptor(*pad_frame(frame, descriptor.halo, valid))
        rows = self.projection(features.reshape(-1, features.shape[-1]))
        if self.field is None or self.field.shape_yx != frame.shape:
            nearest = assign(rows, self.centers)[0]
        else:
            y_px, x_px = np.mgrid[: frame.shape[0] : self.stride, : frame.shape[1] : self.stride].reshape(2, -1)
            nearest = self.field.squared_distances(rows, self.centers, y_px, x_px).argmin(axis=1)
        return nearest.reshape(features.shape[:2])

    def without(self, k: int) -> Labeller:
        """The same without class k."""
        kept = np.delete(np.arange(len(self.centers)), k)
        return Labeller(self.projection, self.centers[kept], None if self.field is None else self.field.reordered(kept))


def has_mixtures(centers: Centers) -> bool:
    """Whether a centre lies about between two others, shape (class, component): what mixes both may be their rim."""
    apart = np.sqrt(((centers[:, None] - centers[None]) ** 2).sum(axis=2))
    detour = apart[:, :, None] + apart[None]  # from the first over the second to the third
    n = np.arange(len(centers))
    detour[n, n] = detour[:, n, n] = np.inf
    return bool((detour < MOST_DETOUR * apart[:, None]).any())


def without_rims(labeller: Labeller, sample: Sample, period_px: float) -> Centers:
    """The centres of classes that have an inside; the one with the least goes first, and the rest is looked at anew."""
    reach = max(1, round(REACH_PERIODS * period_px / labeller.stride))
    while len(labeller.centers) > 1:
        share = sample.fold(partial(_counts_of, labeller, reach)).share
        if share.min() >= LEAST_INSIDE:
            break
        labeller = labeller.without(int(share.argmin()))
    return labeller.centers


def _counts_of(labeller: Labeller, reach: int, frame: Frame, valid: Mask) -> InsideCounts:
    seen = valid[:: labeller.stride, :: labeller.stride]
    return InsideCounts.of(labeller(frame, valid), seen, len(labeller.centers), reach)
