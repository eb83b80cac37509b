"""Rotation symmetry: how well the surroundings of a position fit onto themselves after a part of a turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.kernels.polar import NONE, POOR
from emreel.descriptors.polar import PolarSymmetry, ScoreMaps, SymmetryError, score_permutations

#: Largest fold: the angular grid must hold a multiple of all folds.
LARGEST_FOLD = 12


@dataclass(frozen=True, kw_only=True)
class RotationSymmetry(PolarSymmetry):
    """The largest n-fold rotation scores around a grid point, for n = 2, 3, 4, 6.

    The score of an n-fold axis at a position is the mean over the parts of a turn of the weighted cosine correlation
    of the polar patch with its turned copy::

        S_n = 1 / (n - 1)  sum_k=1..n-1  c(k 360 deg / n)
        c(a) = sum_ij r_i^2 P(r_i, t_j) P(r_i, t_j + a)  /  sum_ij r_i^2 P(r_i, t_j)^2

    P are the counts minus the mean of the square of half side R around the position, sampled by cubic splines on
    ``radii`` rings of ``angles`` angles; r^2 gives equal areas nearly equal say. On a grid of 60 angles five lags serve
    all folds: S_2 = c30, S_3 = c20, S_4 = (2 c15 + c30) / 3, S_6 = (2 c10 + 2 c20 + c30) / 5.

    A score is near 1 only where an axis passes, so the 10 largest scores of each fold, among positions within
    ``window_px``, are the features: 40 numbers that do not depend on where in the cell the grid point lies.

    Source: Wang et al., Microsc. Microanal. 27 (2021) 1454, section "Extracting features via rotation and reflection
    operations". Unlike the published program: nothing but scores enters the pool; the edges of the frame are
    described, over the samples that are valid; the grid point lies in the middle of what it describes; every length
    is a field.

    Parameters
    ----------
    folds : n of every n-fold axis, 2 to 12.
    radius_px : R of the patch, px.
    window_px : positions lie within this distance of a grid point along both axes, px.
    step_px : between positions, px. Positions of a frame lie gcd(step_px, stride) px apart, so let one of the two
        divide the other.
    stride : px between grid points.
    radii, angles : rings of a patch, and samples of a ring (raised to the next multiple of all folds).
    largest : how many scores of each fold are features.

    The defaults are the published ones, which suit lattices whose {hkl} spacings d are 4 to 8 px. `suggest` sets
    the radius to 2 d, the window to 2.5 d and the step to about d / 4, from the movie's own spectrum.

    When to use: phases, boundary cores and defects that differ in their axes, whatever their orientation: two grains
    of one crystal get the same scores, and the boundary between them another. When it fails: phases with the same
    rotation axes (a crystal against its own twin; p2 against p2mm, where `reflection` helps); sharp boundaries, over
    which the largest scores of a window spread from the phase of higher symmetry; lattices so small that a pixel is a
    large part of the period; noise so strong that scores of one patch are mostly noise (`translation` averages over
    more); steps beyond half a period, at which axes are missed by chance.

    Raises
    ------
    SymmetryError : a length that is no whole number, a fold out of range, more ``largest`` than positions.

    Examples
    --------
    A square lattice has fourfold axes and no threefold ones; a triangular one has three- and sixfold axes.

    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:64, :64] * 2 * np.pi / 9
    >>> square = np.cos(x) + np.cos(y)
    >>> triangular = sum(np.cos(np.cos(a) * x + np.sin(a) * y) for a in np.deg2rad([0, 60, 120]))
    >>> rotation = RotationSymmetry(radius_px=18, window_px=8, step_px=2, stride=8, largest=1)
    >>> for frame in square, triangular:
    ...     print(rotation(*pad_frame(frame.astype(np.float32), rotation.halo))[4, 4].round(1))
    [1.  0.1 1.  0.2]
    [1.  0.8 0.3 0.8]
    """

    name: ClassVar[str] = "rotation"

    folds: tuple[int, ...] = (2, 3, 4, 6)

    def __post_init__(self) -> None:
        super().__post_init__()
        folds = tuple(self.folds)
        for fold in folds:
            if not isinstance(fold, int) or isinstance(fold, bool) or not 2 <= fold <= LARGEST_FOLD:
                raise SymmetryError(f"got the fold {fold!r}, wanted whole numbers from 2 to {LARGEST_FOLD}.")
        if not folds or len(set(folds)) < len(folds):
            raise SymmetryError(f"got folds = {folds}, wanted at least one fold, and each once.")
        object.__setattr__(self, "folds", folds)

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(f"{n}-fold" for n in self.folds)

    @property
    def n_angles(self) -> int:
        """Samples of a ring: ``angles``, raised to a multiple of all folds."""
        together = math.lcm(*self.folds)
        return -(-self.angles // together) * together

    def scores(self, padded: Frame, valid: Mask | None = None) -> ScoreMaps:
        """S_n of every fold at every position; see `PolarSymmetry.scores`."""
        lags, shares = self._lags()
        turned = (np.arange(self.n_angles) + lags[:, None]) % self.n_angles
        found = score_permutations(self, padded, valid, turned)
        poor, missing = found < -POOR / 2, found < (NONE - POOR) / 2
        mixed: ScoreMaps = np.einsum("fl,ylx->yfx", shares, found + POOR * poor, dtype=np.float32)
        for f, share in enumerate(shares):  # a fold is as poor as the worst of its lags
            mixed[:, f] -= POOR * poor[:, share > 0].any(axis=1)
            mixed[:, f][missing[:, share > 0].any(axis=1)] = NONE
        return mixed

    def _lags(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The turns that the folds need, in samples (half a ring at most), and their share in each fold."""
        n = self.n_angles
        turns = [[min(k * n // fold, n - k * n // fold) for k in range(1, fold)] for fold in self.folds]
        lags = sorted(set().union(*turns))
        shares = [[turn.count(lag) / len(turn) for lag in lags] for turn in turns]
        return np.array(lags), np.array(shares, np.float32)
