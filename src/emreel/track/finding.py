"""The fronts of one frame: how many steps the rays show, where each is, and where both sides are there."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emreel.track.errors import TrackError
from emreel.track.steps import Share, cut_rays, fit_path, fit_steps, refine_steps

Floats = npt.NDArray[np.float64]

#: Rays are not looked through for more fronts than this.
MOST_FRONTS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """One front of one frame. edges : shape (ray,), in samples along the ray, NaN where a side is missing.
    is_falling : whether the first side lies before it. share_kept : of the rays that have a position."""

    edges: Floats
    is_falling: bool
    share_kept: float

    @property
    def mean(self) -> float:
        return float(np.nanmean(self.edges))


@dataclass(frozen=True, kw_only=True)
class FrontFinder:
    """Finds the fronts between two sides in one frame.

    1. Every ray is cut where the evidence changes sides (Viterbi); the number of changes that most rays show is the
       number of fronts.
    2. On every ray each front is a step fit, within the half way to the next front.
    3. Its position is the share of the first side within ``reach_px`` of that step.
    4. A ray has the front where both sides are there, side by side: each with ``least_px`` more than the other.

    Parameters
    ----------
    reach_px : how far around a step its position is taken from.
    least_px : what each side must have there, and the evidence a further front needs twice over.
    gap_px : how far apart two sides may lie at their front.
    stiffness : of a path through all rays, in evidence a pixel between neighbours; None: rays stand alone.
    least_share : of the rays that must show a front.

    **When it fails.** A layer thinner than ``least_px`` is not seen, nor is an overhang: every ray has one position.
    """

    reach_px: int = 8
    least_px: float = 2.0
    gap_px: int = 4
    stiffness: float | None = None
    least_share: float = 0.1

    def __post_init__(self) -> None:
        if not (self.reach_px >= 1 and 0 < self.least_px <= self.reach_px and 0 <= self.gap_px < self.reach_px):
            raise TrackError(
                f"got reach_px = {self.reach_px}, least_px = {self.least_px}, gap_px = {self.gap_px}; wanted a reach "
                "of at least 1 px and the others within it."
            )
        if self.stiffness is not None and not 0 < self.stiffness < np.inf:
            raise TrackError(f"got stiffness = {self.stiffness}, wanted a positive number, or None.")
        if not 0 < self.least_share <= 1:
            raise TrackError(f"got least_share = {self.least_share}, wanted a share above 0, up to 1.")

    def __call__(self, first: Share, second: Share) -> list[Found]:
        """Every front of a frame, in their order along the rays. first, second : shape (along, ray), 0..1."""
        signed = first - second
        begins, cuts = self._count(signed)
        n, n_rays = signed.shape
        middles = [np.zeros(n_rays), *((a + b) / 2 for a, b in itertools.pairwise(cuts)), np.full(n_rays, n)]
        found = []
        for k in range(len(cuts)):
            falling = (begins > 0) == (k % 2 == 0)
            low, high = (np.rint(middles[k + i]).astype(np.int64) for i in (0, 1))
            towards = signed if falling else -signed
            if self.stiffness is None:
                edges = fit_steps(towards, low, high)
            else:
                edges = fit_path(towards, low, high, self.stiffness)
            sides = (first, second) if falling else (second, first)
            position, margin = refine_steps(*sides, edges, self.reach_px, self.gap_px)
            kept = margin >= self.least_px
            if kept.mean() >= self.least_share:
                edges_kept = np.where(kept, position, np.nan)
                found.append(Found(edges=edges_kept, is_falling=falling, share_kept=float(kept.mean())))
        return found

    def _count(self, signed: Share) -> tuple[int, list[Floats]]:
        """The side that most rays begin with, and for every front where it is about, shape (ray,)."""
        side = cut_rays(signed, 2 * self.least_px)
        changes = side[1:] != side[:-1]
        number = changes.sum(axis=0)
        common = Counter(zip(side[0].tolist(), number.tolist(), strict=True))
        wanted = [(n, kind) for kind, n in common.items() if 1 <= kind[1] <= MOST_FRONTS]
        most, (begins, n_fronts) = max(wanted, default=(0, (1, 0)))
        if most < self.least_share * signed.shape[1]:
            return 1, []
        rays = np.flatnonzero((side[0] == begins) & (number == n_fronts))
        edges = np.nonzero(changes[:, rays].T)[1].reshape(len(rays), n_fronts) + 1.0
        everywhere = np.arange(signed.shape[1])
        return int(begins), [np.interp(everywhere, rays, edges[:, k]) for k in range(n_fronts)]
