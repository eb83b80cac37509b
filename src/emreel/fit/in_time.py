"""How a movie's noise goes on in time, and so how its labels are kept still: `emreel.refine.Steady` for a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel import engine
from emreel.descriptors.geometry import Tile, grid_length
from emreel.descriptors.lattice import Lattice
from emreel.fit.sample import Sample
from emreel.model import Model
from emreel.prepare import FrameReport
from emreel.prepare.measure import measure_frames
from emreel.recipe import Recipe
from emreel.refine import Steady

#: Frames, with the one after each, that are compared; of larger frames, their middle, px.
PAIRS = 8
LARGEST_SIDE_PX = 1024
#: Labels of neighbouring frames that differ in more of their points are of no movie.
LARGEST_CHANGE = 0.3
#: Median of the square of a standard normal variable.
MEDIAN_OF_SQUARE = 0.4549


@dataclass(frozen=True, eq=False)
class PairSums:
    """Pairs of frames: how much log odds differ, over what two independent frames' would; what share of labels does.

    differences, changes : shape (pair,). ``a + b`` puts the pairs of b behind those of a.
    """

    differences: npt.NDArray[np.float64]
    changes: npt.NDArray[np.float64]

    def __add__(self, other: PairSums, /) -> PairSums:
        return PairSums(*(np.concatenate(both) for both in zip(self._both, other._both, strict=True)))

    @property
    def _both(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return self.differences, self.changes

    @property
    def correlation(self) -> float:
        """Of the log odds of one frame with those of the next, within a class, 0 to 1."""
        return float(np.clip(1 - np.median(self.differences), 0, 1))

    @property
    def is_movie(self) -> bool:
        return float(np.median(self.changes)) <= LARGEST_CHANGE


def learn_steady(model: Model, recipe: Recipe, sample: Sample) -> Steady | None:
    """How a model's labels keep still; None where the recipe does not want it, or frames do not follow each other.

    Left out of the recipe: on for models of the lattice descriptor, whose scores are those of Gaussian classes.
    """
    step = recipe.time
    wanted = isinstance(model.descriptor, Lattice) if step.steady is None else step.steady
    if not wanted or model.n_clusters < 2 or step.follow != "none":
        return None
    pairs = measure_pairs(model, sample)
    if pairs is None or (step.steady is None and not pairs.is_movie):
        return None
    lag = int(step.lag)
    weight = 1 / (1 + lag * pairs.correlation) if step.weight is None else float(step.weight)
    return Steady(lag=lag, stay=float(step.stay), weight=weight)


def measure_pairs(model: Model, sample: Sample) -> PairSums | None:
    """Frames of the sample against those after them; None when no frame has a usable one after it."""
    found = []
    for index, movie in enumerate(sample.movies):
        mine = [frame for i, frame, _ in sample.frames if i == index and frame + 1 < movie.sizes["time"]]
        every = max(-(-len(mine) * len(sample.movies) // PAIRS), 1)
        first = mine[::every]
        seen = sorted({frame for start in first for frame in (start, start + 1)})
        reports = dict(zip(seen, measure_frames(movie, seen, model.prepare.reference_mean), strict=True))
        both = [(start, reports[start], reports[start + 1]) for start in first]
        pairs = [
            (start, one, other)
            for start, one, other in both
            if one.usable and other.usable and one.signature != other.signature
        ]
        if pairs:
            shape_yx = movie.sizes["y"], movie.sizes["x"]
            work = _ComparePair(replace(model, steady=None, potts=None), shape_yx)
            found.append(engine.fold_regions(movie, pairs, partial(_region_of, reach_px=model.reach, work=work), work))
    return engine.add_in_order(found) if found else None


@dataclass(frozen=True)
class _ComparePair:
    """The task: what two frames, one after the other, say of the middle of the frame."""

    model: Model
    shape_yx: tuple[int, int]

    @property
    def tile(self) -> Tile:
        corner = [
            max(side - LARGEST_SIDE_PX, 0) // 2 // self.model.stride * self.model.stride for side in self.shape_yx
        ]
        ends = [min(first + LARGEST_SIDE_PX, side) for first, side in zip(corner, self.shape_yx, strict=True)]
        return Tile(corner[0], ends[0], corner[1], ends[1])

    def __call__(self, pixels: npt.NDArray[Any], pair: tuple[int, FrameReport, FrameReport]) -> PairSums:
        have = self.tile.grown(self.model.reach, self.shape_yx)
        scores = []
        for frame, report in zip(pixels, pair[1:], strict=True):
            evidence = self.model.evidence(frame, have, self.tile, self.shape_yx, report)
            assert evidence.scores is not None
            rows, columns = (grid_length(side, self.model.stride) for side in self.tile.shape)
            scores.append(evidence.scores[:rows, :columns].reshape(-1, self.model.n_clusters).astype(np.float64))
        order = np.argsort(scores[0], axis=1, kind="stable")
        best, second = order[:, -1], order[:, -2]
        points = np.arange(len(best))
        odds = [one[points, best] - one[points, second] for one in scores]
        centers = self.model.centers
        expected = ((centers[best] - centers[second]) ** 2).sum(axis=1) / self.model.scatter
        ratio = (odds[1] - odds[0]) ** 2 / np.maximum(2 * expected, 1e-300)
        change = np.mean(scores[1].argmax(axis=1) != best)
        return PairSums(np.array([np.median(ratio) / MEDIAN_OF_SQUARE]), np.array([change]))


def _region_of(pair: tuple[int, FrameReport, FrameReport], reach_px: int, work: _ComparePair) -> engine.Region:
    return engine.Region(pair[0], pair[0] + 2, work.tile.grown(reach_px, work.shape_yx))
