"""The preparation that a model carries: learned once at fit time, the same for every frame after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.geometry import Tile
from emreel.prepare.quality import FrameReport, usable_pixels


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Cast, mask, divide by the frame's relative gain.

    Parameters
    ----------
    reference_mean : counts a pixel of an ordinary frame; learned at fit time (median over the sample).
    gain : divide each frame by its mean over ``reference_mean``, which takes out flicker and dose steps.
    repair : mask dead lines as well as unreadable pixels.
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
        Returns the prepared region, float32, and its mask: False where a pixel is dead. Dead pixels hold the
        frame's mean. The input is left as it was.
        """
        valid = usable_pixels(region)
        if self.repair:
            for row in report.dead_rows:
                if tile.y0 <= row < tile.y1:
                    valid[row - tile.y0] = False
            for column in report.dead_columns:
                if tile.x0 <= column < tile.x1:
                    valid[:, column - tile.x0] = False
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
