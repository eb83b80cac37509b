"""The plainest descriptor: how bright the specimen is. Beside another one it tells lattice-free layers apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.peaks import learn_peaks
from emreel.descriptors.sample_sums import CountSums
from emreel.descriptors.working_grid import WorkingView, divide_covered, gaussian_taps, reach_px, smooth
from emreel.movie import EmreelError

#: Local means below this share of the movie's mean counts are taken as that much (vacuum).
LEAST_COUNTS = 0.01
#: Sigma of the average, lattice periods: enough to even out the columns of atoms.
MEAN_PERIODS = 1.5
#: The same for a movie without a lattice, px.
PLAIN_SIGMA_PX = 6.0


class IntensityError(EmreelError, ValueError):
    """Fields of an intensity descriptor that cannot work."""


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """Logarithm of the local mean counts.

    feature = log(max(m - z, 0.01 (M - z))), with m the mean counts around a point (Gaussian of ``sigma_px``, divided
    by its coverage), M the movie's mean and z what the detector reports for no electron. Counts are averaged before the
    logarithm is taken, so that a low dose does not bias it. Segmentation by brightness is the baseline that every other
    method is held against; phases of like density (amorphous and crystalline film differ by a few per cent) are beyond
    it, thickness and contamination mislead it. Combined with a descriptor of order (`Combined`) it tells vacuum,
    support and lattice-free layers apart, which no symmetry can.

    Parameters
    ----------
    sigma_px : sigma of the average, px; `suggest` takes 1.5 lattice periods.
    stride : px between grid points.
    mean_counts, zero_counts : M and z.

    Raises
    ------
    IntensityError : a stride or sigma that is not positive.

    >>> import numpy as np
    >>> step = np.repeat(np.float32([[10, 40]]), 32, axis=1).repeat(64, axis=0)
    >>> describe = Intensity(sigma_px=2.0, stride=8, mean_counts=25.0)
    >>> padded = np.pad(step, describe.halo, mode="symmetric")
    >>> np.exp(describe(padded)[4, :, 0]).round().astype(int).tolist()
    [10, 10, 10, 10, 28, 40, 40, 40]
    """

    name: ClassVar[str] = "intensity"
    features: ClassVar[tuple[Feature, ...]] = (Feature("log_counts", brightness=True),)

    sigma_px: float = PLAIN_SIGMA_PX
    stride: int = 4
    mean_counts: float = 1.0
    zero_counts: float = 0.0

    def __post_init__(self) -> None:
        if self.stride < 1 or int(self.stride) != self.stride or not 0 < self.sigma_px < np.inf:
            raise IntensityError(
                f"got a stride of {self.stride} and a sigma of {self.sigma_px} px, wanted a whole number and a "
                "positive number."
            )

    @property
    def halo(self) -> int:
        """Reach of the average, px; a multiple of the stride."""
        return grid_length(reach_px(self.sigma_px), self.stride) * self.stride

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        zero = np.float32(self.mean_counts)
        view = WorkingView.of(padded, valid, halo=self.halo, grid_px=self.stride, zero=zero)
        taps = gaussian_taps(self.sigma_px)
        total = smooth(view.counts, taps, self.stride, view.n_grid_yx)
        cover = smooth(view.weight, taps, self.stride, view.n_grid_yx)
        mean = divide_covered(total, cover) + np.float32(self.mean_counts - self.zero_counts)
        least = max(LEAST_COUNTS * (self.mean_counts - self.zero_counts), float(np.finfo(np.float32).tiny))
        shape_yx = (padded.shape[0] - 2 * self.halo, padded.shape[1] - 2 * self.halo)
        picked = np.log(np.maximum(mean, np.float32(least)))[view.picked(self.stride, shape_yx)]
        return np.ascontiguousarray(picked[..., None])

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Intensity:
        """The fields given; sigma from the movie's lattice period, counts from its sample."""
        learned = dict(given)
        if "sigma_px" not in learned:
            period_px = learn_peaks(fold).period_px
            learned["sigma_px"] = PLAIN_SIGMA_PX if period_px is None else MEAN_PERIODS * period_px
        if not {"mean_counts", "zero_counts"} <= learned.keys():
            counts = fold(CountSums.of)
            learned = {"mean_counts": counts.mean, "zero_counts": counts.zero, **learned}
        return cls(**learned)
