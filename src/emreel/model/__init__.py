"""The model: what a fit learned, frozen. The same calls label a frame in batch, in a stream, or by hand."""

from emreel.model.errors import ModelError
from emreel.model.frames import INVALID, MOST_CLASSES, SILENCE, UNKNOWN, FrameEvidence, FrameLabels
from emreel.model.model import LABEL_COLORS, PIXEL_SIZE_TOLERANCE, SLOW_REACH, Model

__all__ = [
    "INVALID",
    "LABEL_COLORS",
    "MOST_CLASSES",
    "PIXEL_SIZE_TOLERANCE",
    "SILENCE",
    "SLOW_REACH",
    "UNKNOWN",
    "FrameEvidence",
    "FrameLabels",
    "Model",
    "ModelError",
]
