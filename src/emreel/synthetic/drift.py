"""Where the specimen stands in each frame, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emreel.synthetic.checks import require_number, require_pair
from emreel.synthetic.streams import Stream, random_stream

_WANDER_MODES = 5


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Stage drift: a steady part, a slow wander and white jitter, none of which needs earlier frames.

    Parameters
    ----------
    drift_px_per_frame : (y, x), px a frame. The steady part turns back at `drift_limit_px`
        from its start (the operator brings the specimen back), so that endless movies keep it in view.
    drift_limit_px : px.
    wander_px : root mean square of the slow wander along each axis, px.
    wander_frames : its typical period, frames.
    jitter_px : standard deviation of the frame-to-frame jitter along each axis, px.
    """

    drift_px_per_frame: tuple[float, float] = (0.0, 0.0)
    drift_limit_px: float = 24.0
    wander_px: float = 0.0
    wander_frames: float = 60.0
    jitter_px: float = 0.0

    def __post_init__(self) -> None:
        require_pair("drift_px_per_frame", self.drift_px_per_frame)
        require_number("drift_limit_px", self.drift_limit_px, above=0)
        require_number("wander_px", self.wander_px, least=0)
        require_number("wander_frames", self.wander_frames, above=0)
        require_number("jitter_px", self.jitter_px, least=0)

    def at(self, index: int, seed: int) -> tuple[float, float]:
        """Shift (y, x) of the specimen in frame `index`, px: what lies at r in the specimen is seen at r + shift."""
        shift = np.array([_fold_back(rate * index, self.drift_limit_px) for rate in self.drift_px_per_frame])
        if self.wander_px:
            rng = random_stream(seed, Stream.DRIFT)
            period = self.wander_frames * rng.uniform(0.6, 1.8, (2, _WANDER_MODES))
            phase = rng.uniform(0, 2 * np.pi, (2, _WANDER_MODES))
            waves = np.sin(2 * np.pi * index / period + phase) - np.sin(phase)
            shift += self.wander_px * np.sqrt(2 / _WANDER_MODES) * waves.sum(axis=1)
        if self.jitter_px:
            shift += self.jitter_px * random_stream(seed, Stream.JITTER, index).standard_normal(2)
        return float(shift[0]), float(shift[1])


def _fold_back(distance: float, limit: float) -> float:
    """Triangle wave: `distance` as long as abs(distance) <= limit, then back and forth between the limits."""
    return abs((distance - limit) % (4 * limit) - 2 * limit) - limit
