"""Chips: overlapping squares of a frame, each told by one embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.embeddings.own import embed_own, own_features
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.peaks import learn_peaks
from emreel.movie import EmreelError

#: Lattice periods along a chip's side.
CELLS_A_SIDE = 4
#: Longer periods are taken for it.
LONGEST_PERIOD_PX = 64.0
#: Chips worked on at once, pixels of them all.
BATCH_PX = 1 << 20


class ChipsError(EmreelError, ValueError):
    """The fields of a chip descriptor, its weights, or the frame it is given, make no sense."""


def cut_chips(
    padded: Frame, valid: Mask | None, chip_px: int, stride: int
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Chips around the grid points, in batches of whole grid rows.

    padded : shape (h + 2 halo, w + 2 halo) with halo = chip_px // 2, counts. Yields rows of the grid and their chips,
    shape (chip, chip_px, chip_px). Where ``valid`` is False a chip shows what lies opposite (through its vertical
    middle line, its horizontal one, its middle), and its mean where that is invalid too: so a chip at the frame's edge
    has texture everywhere, and nothing in it comes from an invalid pixel.
    """
    views = np.lib.stride_tricks.sliding_window_view(padded, (chip_px, chip_px))[::stride, ::stride]
    good = np.isfinite(padded) if valid is None else valid & np.isfinite(padded)
    masks = np.lib.stride_tricks.sliding_window_view(good, (chip_px, chip_px))[::stride, ::stride]
    halo = chip_px // 2
    n_rows, n_cols = (grid_length(n - 2 * halo, stride) for n in padded.shape)
    views, masks = views[:n_rows, :n_cols], masks[:n_rows, :n_cols]
    step = max(1, BATCH_PX // (n_cols * chip_px**2))
    for first in range(0, n_rows, step):
        rows = slice(first, min(first + step, n_rows))
        chips = views[rows].reshape(-1, chip_px, chip_px)
        seen = masks[rows].reshape(-1, chip_px, chip_px)
        yield rows, (chips if seen.all() else _filled(chips, seen))


def _filled(chips: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    holes = np.flatnonzero(~seen.all(axis=(1, 2)))
    part, mask = chips[holes], seen[holes].copy()
    part[~mask] = 0
    n_seen = mask.sum(axis=(1, 2))
    mean = part.sum(axis=(1, 2), dtype=np.float64) / np.maximum(n_seen, 1)
    original, known = part.copy(), mask.copy()
    for flip in (np.s_[:, :, ::-1], np.s_[:, ::-1, :], np.s_[:, ::-1, ::-1]):
        take = ~mask & known[flip]
        part[take] = original[flip][take]
        mask |= take
    part = np.where(mask, part, mean[:, None, None].astype(np.float32))
    whole = chips.copy()
    whole[holes] = part
    return whole


@dataclass(frozen=True, kw_only=True)
class Chips:
    """Chips."""

    name: ClassVar[str] = "chips"
    embedding: str = "own"
    chip_px: int = 33
    stride: int = 16
    brightness_range: tuple[float, float] | None = None

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out from the movie: side and stride from the lattice, ranges of counts from a sample."""
        fields = dict(given)
        if "chip_px" not in fields:
            period = learn_peaks(fold).period_px
            if period is not None:
                fields["chip_px"] = 2 * round(min(period, LONGEST_PERIOD_PX) * CELLS_A_SIDE / 2) + 1
        if "stride" not in fields:
            fields["stride"] = max(1, fields.get("chip_px", cls.chip_px) // 2)
        if "brightness_range" not in fields:
            learned = fold(partial(LevelSample.of, chip_px=fields.get("chip_px", cls.chip_px))).finish()
            if learned[1] > learned[0]:
                fields["brightness_range"] = learned
        return cls(**fields)

    @property
    def halo(self) -> int:
        return self.chip_px // 2

    @property
    def features(self) -> tuple[Feature, ...]:
        return own_features(self.chip_px)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """Embeddings of the chips around the grid points, shape (y_grid, x_grid, feature)."""
        shape = tuple(grid_length(n - 2 * self.halo, self.stride) for n in padded.shape)
        out = np.empty((*shape, len(self.features)), np.float32)
        for rows, chips in cut_chips(padded, valid, self.chip_px, self.stride):
            out[rows] = embed_own(chips, brightness_range=self.brightness_range).reshape(-1, *out.shape[1:])
        return out


@dataclass(frozen=True, eq=False)
class LevelSample:
    """Mean counts of the chips of sample frames: a mergeable partial."""

    levels: npt.NDArray[np.float64]

    @classmethod
    def of(cls, frame: Frame, valid: Mask, chip_px: int) -> Self:
        """Means over squares that do not overlap and are valid for the most part."""
        side = min(chip_px, *frame.shape)
        rows, cols = frame.shape[0] // side, frame.shape[1] // side
        cut = np.where(valid, frame, 0)[: rows * side, : cols * side].reshape(rows, side, cols, side)
        n_valid = valid[: rows * side, : cols * side].reshape(rows, side, cols, side).sum(axis=(1, 3))
        enough = n_valid > side * side // 2
        sums = cut.sum(axis=(1, 3), dtype=np.float64)
        return cls(sums[enough] / n_valid[enough])

    def __add__(self, other: Self, /) -> Self:
        return type(self)(np.concatenate((self.levels, other.levels)))

    def finish(self) -> tuple[float, float]:
        """The 1 % and 99 % quantiles, counts."""
        if not self.levels.size:
            return 0.0, 0.0
        low, high = np.percentile(self.levels, [1, 99])
        return float(low), float(high)
