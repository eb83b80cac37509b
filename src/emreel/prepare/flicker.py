"""The gain of a frame, from what of the specimen rests.

The mean of a frame is its gain only as long as the specimen stays the same: a front that leaves an amorphous layer 4 %
darker over half of the frame would be taken for a source that fades by 2 %, and dividing by it would make the resting
half brighter. Here the frame is cut into tiles that go with the specimen. With m_i the tile's mean counts and l_i the
level at which it rests,

    log g = argmin sum_i w_i rho(log m_i - l_i - log g),

rho Tukey's biweight (J. W. Tukey; constants of P. W. Holland, R. E. Welsch, Commun. Stat. A6 (1977) 813), its scale the
median absolute deviation of the tiles. Tiles that agree teach their level (a plain mean over all their frames, so it
does not wander); a tile that disagrees for long is given a new level where it stands, and counts again as it
settles there.

When to use it: whenever phases of different brightness grow. When it fails: less than `LEAST_AGREEING` of the frame's
tiles agree (the whole frame changes, or the beam is on another place); then the gain is the frame's mean over its
running mean, and ``note`` says so. A change of brightness common to most tiles is gain, by definition.

Cost: 1 ms a frame of 512 x 512 px besides the block sums (2 ms).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Mask
from emreel.descriptors.geometry import grid_length

Doubles = npt.NDArray[np.float64]

#: Less of the tiles in agreement than this share, and the frame's mean is taken instead.
LEAST_AGREEING = 0.25
#: Width of the biweight in standard deviations, and standard deviations a median absolute deviation.
BIWEIGHT_WIDTH, SIGMA_A_MAD = 4.685, 1.4826
#: Tiles of fewer valid pixels than this share, or counts in all, are not heard.
LEAST_COVER, LEAST_COUNTS = 0.5, 10.0
#: Spread of the logarithms that tiles have even without noise.
LEAST_SCALE = 1e-3
#: No more than this, and so many times the shot noise of a tile, is called scatter: beyond, tiles disagree.
MOST_SCALE, MOST_SHOT_NOISE = 0.05, 3.0
#: Memory of a tile's disagreement, frames; and how many frames a level that was set anew counts.
DISAGREEMENT_FRAMES, RESET_FRAMES = 6.0, 2.0
#: A tile is off when it disagrees by so many standard errors of that memory on average.
OFF_SIGMAS = 4.0
ROUNDS = 12
NO_COUNTS = "none: the frame has no counts to compare"
#: Memory of the frame's mean, frames.
MEAN_FRAMES = 10.0


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums of counts and numbers of valid pixels in blocks of ``block_px``, shape (block y, block x); ``a + b`` puts
    the rows of b below those of a (whose height is a multiple of the block)."""

    counts: Doubles
    n_valid: Doubles
    block_px: int

    @classmethod
    def of(cls, frame: npt.NDArray[Any], valid: Mask, block_px: int) -> BlockSums:
        """frame : shape (y, x), counts; valid : the same shape, False where a pixel is bad."""
        counts = np.where(valid, frame, 0).astype(np.float64)
        return cls(_blocks(counts, block_px), _blocks(valid.astype(np.float64), block_px), block_px)

    def __add__(self, below: BlockSums) -> BlockSums:
        counts = np.concatenate([self.counts, below.counts])
        return BlockSums(counts, np.concatenate([self.n_valid, below.n_valid]), self.block_px)

    def coarser(self, factor: int) -> BlockSums:
        """The same sums in blocks ``factor`` times as large."""
        counts, n_valid = (_blocks(image, factor) for image in (self.counts, self.n_valid))
        return BlockSums(counts, n_valid, factor * self.block_px)

    def tile_sums(self, corners_yx: Doubles, side_px: float) -> tuple[Doubles, Doubles]:
        """Counts and valid pixels of square tiles at real positions, px, shape (tile,); nothing beyond the frame.

        Blocks that a tile cuts count by the share of their area.
        """
        low = corners_yx / self.block_px
        high = low + side_px / self.block_px
        within = np.all((high > 0) & (low < self.counts.shape), axis=1)
        low, high = low[within], high[within]
        both = np.stack([self.counts, self.n_valid])
        table = np.pad(both.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
        ends = [_interpolate(table, y, x) for y in (high[:, 0], low[:, 0]) for x in (high[:, 1], low[:, 1])]
        counts, n_valid = np.zeros((2, len(within)))
        counts[within], n_valid[within] = ends[0] - ends[1] - ends[2] + ends[3]
        return counts, n_valid


@dataclass(frozen=True, kw_only=True)
class GainReport:
    """A frame's gain against the first good one. agreement : share of the tiles that it suits; note : empty, or why
    it is the frame's mean."""

    gain: float
    agreement: float
    note: str


@dataclass(frozen=True, eq=False, kw_only=True)
class FlickerState:
    """What the next frame needs; arrays of shape (tile,).

    level : log of the tile's counts a pixel at gain 1, NaN before it was seen. n_frames : how many taught it.
    off : running mean of its disagreement. mean_level : log of the frame's mean at gain 1.
    """

    corners_yx: Doubles
    level: Doubles
    n_frames: Doubles
    off: Doubles
    mean_level: float


@dataclass(frozen=True, kw_only=True)
class Flicker:
    """Measures the gain of every frame of one movie; the state goes through `step`.

    tile_px : side of the tiles, px: a few lattice periods, so that a tile's mean does not depend on where its edges
    cut the lattice.

    >>> import numpy as np
    >>> flicker, state = Flicker(tile_px=16), None
    >>> for gain, dark_rows in ((1.0, 0), (1.1, 20)):
    ...     frame = np.full((64, 64), 100.0 * gain)
    ...     frame[:dark_rows] *= 0.5
    ...     state, report = flicker.step(state, BlockSums.of(frame, np.ones(frame.shape, bool), 4))
    >>> round(report.gain, 3), round(float(frame.mean() / 100), 3)
    (1.1, 0.928)
    """

    tile_px: int = 32

    def step(
        self, state: FlickerState | None, blocks: BlockSums, drift_yx_px: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[FlickerState, GainReport]:
        """The gain of the next frame, and the state after it; tiles are where the drift has taken them."""
        height, width = (n * blocks.block_px for n in blocks.counts.shape)
        total = float(blocks.counts.sum())
        mean = float(np.log(total / blocks.n_valid.sum())) if total > 0 else -np.inf
        if state is None:
            corners = self._corners((height, width))
            unseen = np.full(len(corners), np.nan)
            zeros = np.zeros(len(corners))
            state = FlickerState(corners_yx=corners, level=unseen, n_frames=zeros, off=zeros, mean_level=mean)
        counts, n_valid = blocks.tile_sums(state.corners_yx + drift_yx_px, self.tile_px)
        heard = (n_valid >= LEAST_COVER * self.tile_px**2) & (counts >= LEAST_COUNTS)
        log_mean = np.log(np.where(heard, counts, 1.0) / np.maximum(n_valid, 1.0))
        resting = heard & np.isfinite(state.level)
        away = np.where(resting, log_mean - state.level, np.nan)
        weights = np.sqrt(np.maximum(counts, 0)) * _steadiness(state.off, resting)
        shot_noise = 1 / np.sqrt(max(float(np.median(counts[resting])), 1.0)) if resting.any() else 1.0
        most_scale = MOST_SCALE + MOST_SHOT_NOISE * shot_noise
        log_gain, scale, agreement = _robust_location(away[resting], weights[resting], most_scale)
        note = ""
        if not resting.any() and not np.isfinite(state.level).any():
            log_gain, agreement, note = 0.0, 1.0, "" if heard.any() else NO_COUNTS
        elif agreement < LEAST_AGREEING:
            log_gain, note = mean - state.mean_level, "the frame's mean: too little of the frame rests"
            if not np.isfinite(log_gain):
                log_gain, mean, note = 0.0, state.mean_level, NO_COUNTS
        report = GainReport(gain=float(np.exp(log_gain)), agreement=agreement, note=note)
        after = _taught(state, log_mean - log_gain, heard, max(scale, LEAST_SCALE))
        if np.isfinite(mean):
            old = state.mean_level if np.isfinite(state.mean_level) else mean - log_gain
            after = replace(after, mean_level=old + (mean - log_gain - old) / MEAN_FRAMES)
        return after, report

    def _corners(self, shape_yx: tuple[int, int]) -> Doubles:
        """Corners of tiles side by side over the frame and as much again around it, for what drifts into view."""
        starts = [np.arange(-n // 2 // self.tile_px, (3 * n // 2) // self.tile_px + 1) * self.tile_px for n in shape_yx]
        return np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)


def _steadiness(off: Doubles, resting: npt.NDArray[np.bool_]) -> Doubles:
    """Weights of tiles by their disagreement in the frames before, against that of most tiles."""
    if not resting.any():
        return np.ones_like(off)
    usual = max(SIGMA_A_MAD * float(np.median(np.abs(off[resting]))), LEAST_SCALE / DISAGREEMENT_FRAMES)
    return np.asarray(1 / (1 + (off / (2 * usual)) ** 2) ** 2)


def _robust_location(values: Doubles, weights: Doubles, most_scale: float) -> tuple[float, float, float]:
    """Biweight location, its scale, and the share of weight that agrees."""
    if values.size == 0:
        return 0.0, LEAST_SCALE, 0.0
    middle = _weighted_median(values, weights)
    scale = max(SIGMA_A_MAD * _weighted_median(np.abs(values - middle), weights), LEAST_SCALE)
    scale = min(scale, most_scale)
    for _ in range(ROUNDS):
        far = (values - middle) / (BIWEIGHT_WIDTH * scale)
        agrees = np.where(np.abs(far) < 1, (1 - far**2) ** 2, 0.0)
        middle = float(np.sum(weights * agrees * values) / max(np.sum(weights * agrees), 1e-300))
    return middle, scale, float(np.sum(weights * agrees) / np.sum(weights))


def _weighted_median(values: Doubles, weights: Doubles) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(reached, 0.5 * reached[-1])]])


def _taught(state: FlickerState, level: Doubles, heard: npt.NDArray[np.bool_], scale: float) -> FlickerState:
    """Levels after a frame: tiles that agree average, tiles that are off for long begin anew."""
    new = heard & ~np.isfinite(state.level)
    away = np.where(heard & ~new, level - state.level, 0.0)
    off = np.where(heard, state.off + (away - state.off) / DISAGREEMENT_FRAMES, state.off)
    is_off = np.abs(off) > OFF_SIGMAS * scale / np.sqrt(2 * DISAGREEMENT_FRAMES - 1)
    agrees = heard & ~new & (np.abs(away) < BIWEIGHT_WIDTH * scale) & ~is_off
    n_frames = np.where(agrees, state.n_frames + 1, state.n_frames)
    taught = np.where(agrees, state.level + away / np.maximum(n_frames, 1), state.level)
    anew = heard & ~new & is_off
    taught = np.where(anew, state.level + off, np.where(new, level, taught))
    n_frames = np.where(anew, RESET_FRAMES, np.where(new, 1.0, n_frames))
    return replace(state, level=taught, n_frames=n_frames, off=np.where(anew | new, 0.0, off))


def _blocks(image: Doubles, block_px: int) -> Doubles:
    if block_px == 1:
        return image
    height, width = (grid_length(n, block_px) * block_px for n in image.shape)
    if image.shape != (height, width):
        image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1])))
    rows = reduce(np.add, [image[i::block_px] for i in range(block_px)])
    return reduce(np.add, [rows[:, j::block_px] for j in range(block_px)])


def _interpolate(table: Doubles, y: Doubles, x: Doubles) -> Doubles:
    """Bilinear values of summed-area tables, shape (table, y, x); positions are clipped to them."""
    y, x = (np.clip(at, 0, n - 1) for at, n in zip((y, x), table.shape[1:], strict=True))
    i, j = (np.minimum(at.astype(np.intp), n - 2) for at, n in zip((y, x), table.shape[1:], strict=True))
    v, u = y - i, x - j
    above = table[:, i, j] * (1 - u) + table[:, i, j + 1] * u
    below = table[:, i + 1, j] * (1 - u) + table[:, i + 1, j + 1] * u
    return np.asarray(above * (1 - v) + below * v)
