"""The preparation that a model carries: learned once at fit time, the same for every frame after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.geometry import Tile
from emreel.prepare.quality import FrameReport, usable_pixels

#: See `hot_pixels`.
HOT_OVER_NEIGHBOURS, HOT_OVER_ORDINARY = 3.0, 2.0


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Cast, mask, divide by the frame's relative gain.

    Parameters
    ----------
    reference_mean : counts a pixel of an ordinary frame; learned at fit time (median over the sample).
    gain : divide each frame by its mean over ``reference_mean``, which takes out flicker and dose steps.
    repair : mask dead lines and hot pixels as well as unreadable ones.
    display_range : counts that the preview shows as black and white.
    """

    reference_mean: float
    gain: bool = True
    repair: bool = True
    display_range: tuple[float, float] = (0.0, 255.0)

    def relative_gain(self, report: FrameReport) -> float:
        """The frame's brightness against the ordinary frame; 1 when switched off or not measurable."""
        if not self.gain or not report.usable or report.mean <= 0 or self.reference_mean <= 0:
            return 1.0
        return report.mean / self.reference_mean

    def __call__(self, region: npt.NDArray[Any], tile: Tile, report: FrameReport) -> tuple[Frame, Mask]:
        """Prepare a region of a frame.

        region : shape (y, x), counts as recorded; its place in the frame is ``tile``.
        Returns the prepared region, float32, and its mask: False where a pixel is dead or hot. Such pixels hold
        the frame's mean. The input is left as it was. A pixel is judged by its neighbours, so the region's outermost
        pixels are only right where the frame ends.
        """
        valid = usable_pixels(region)
        if self.repair:
            for row in report.dead_rows:
                if tile.y0 <= row < tile.y1:
                    valid[row - tile.y0] = False
            for column in report.dead_columns:
                if tile.x0 <= column < tile.x1:
                    valid[:, column - tile.x0] = False
            valid[hot_pixels(region, valid, report.ordinary_max)] = False
        prepared = region.astype(np.float32)
        if not valid.all():
            prepared[~valid] = report.mean if np.isfinite(report.mean) else 0.0
        gain = self.relative_gain(report)
        if gain != 1.0:
            prepared *= np.float32(1.0 / gain)
        return prepared, valid

    def preview(self, prepared: Frame, factor: int) -> npt.NDArray[np.uint8]:
        """The prepared region binned by ``factor`` (mean; the last bins may hold fewer pixels), uint8."""
        low, high = self.display_range
        height, width = (-(-n // factor) for n in prepared.shape)
        if factor > 1:
            pad = ((0, height * factor - prepared.shape[0]), (0, width * factor - prepared.shape[1]))
            padded = np.pad(prepared, pad, mode="edge")
            prepared = padded.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float32)
        scaled = (prepared - low) * (255.0 / max(high - low, 1e-12))
        shown: npt.NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        return shown


def hot_pixels(
    region: npt.NDArray[Any], valid: Mask, ordinary_max: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of single pixels that outshine all their neighbours, as no lens could image them.

    A pixel is hot beyond `HOT_OVER_NEIGHBOURS` times its brightest neighbour and `HOT_OVER_ORDINARY` times what the
    frame's rows reach; columns of atoms, noise at any dose and single electrons on a sparse frame are not.
    """
    with np.errstate(invalid="ignore"):
        bright = valid & (region > HOT_OVER_ORDINARY * max(ordinary_max, 0.0))
    if not bright.any():  # much cheaper than the list of where
        return np.empty(0, np.intp), np.empty(0, np.intp)
    rows, columns = np.nonzero(bright)
    height, width = region.shape
    brightest = np.zeros(rows.size)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y, x = rows + dy, columns + dx
            seen = (y >= 0) & (y < height) & (x >= 0) & (x < width) & ((dy != 0) | (dx != 0))
            seen[seen] = valid[y[seen], x[seen]]
            brightest[seen] = np.maximum(brightest[seen], region[y[seen], x[seen]])
    hot = region[rows, columns] > HOT_OVER_NEIGHBOURS * brightest
    return rows[hot], columns[hot]
