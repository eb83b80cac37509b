"""What a model says of a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import FeatureMap, Frame, Mask

INVALID, UNKNOWN = 254, 255
#: Labels 1 to 253 are classes.
MOST_CLASSES = 253


@dataclass(frozen=True)
class FrameLabels:
    """What a model says of a frame, or of a tile of one.

    label : shape (y, x), uint8: 1..K, 254 invalid, 255 unknown. membership : shape (class, y_grid, x_grid),
    uint8, 0..255 for 0..1. prepared : shape (y, x), float32, the frame that was described.
    features : of a polycrystal's usable frames, shape (y_grid, x_grid, feature): what its grains are followed by.
    region, angle_deg : once they were followed, identity of every pixel's grain, shape (y, x), uint32, 0 = none, and
    in-plane angle of the lattice, shape (y_grid, x_grid), float32, NaN where there is none.
    """

    label: npt.NDArray[np.uint8]
    membership: npt.NDArray[np.uint8]
    prepared: Frame
    features: FeatureMap | None = None
    region: npt.NDArray[np.uint32] | None = None
    angle_deg: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the points of one frame say by themselves.

    scores : shape (y_grid, x_grid, class), log posteriors up to a constant of the point. far : shape (y_grid, x_grid),
        squared distance to the nearest class, over the one from which on a point is unknown. watched : the same shape,
        what the descriptor watches beside its features; None for nothing.
    """

    scores: npt.NDArray[np.float32]
    far: npt.NDArray[np.float32]
    watched: npt.NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class FrameEvidence:
    """What one frame, or a piece of it, says by itself; what its labels and its neighbours' in time are made of.

    scores : log posteriors up to a constant of the point, shape (y_grid, x_grid, class), of the tile and what lies
        around it; None where the frame is not usable. far : shape (y_grid, x_grid), how far each point of the tile is
        from its class, over what is unknown. invalid : shape (y, x), True deep inside dead data. prepared, features :
        as in `FrameLabels`.
    """

    scores: npt.NDArray[np.float32] | None
    far: npt.NDArray[np.float32] | None
    invalid: Mask | None
    prepared: Frame
    features: FeatureMap | None = None

    def without_pixels(self) -> FrameEvidence:
        """The same without its prepared frame, for a window that keeps many."""
        return replace(self, prepared=_NOTHING)


_NOTHING = np.empty((0, 0), np.float32)
#: What a frame says that cannot be read, was dropped, or never came.
SILENCE = FrameEvidence(None, None, None, _NOTHING)
