"""From scores on the grid to labels on the pixels: neighbours in mind, then upsampled."""

from emreel.refine.calibration import Edges
from emreel.refine.errors import RefineError
from emreel.refine.novelty import Novelty, Plateaus
from emreel.refine.potts import Potts
from emreel.refine.steady import Steady
from emreel.refine.upsampling import MAX_CLASSES, UNKNOWN, upsample_scores

__all__ = [
    "MAX_CLASSES",
    "UNKNOWN",
    "Edges",
    "Novelty",
    "Plateaus",
    "Potts",
    "RefineError",
    "Steady",
    "upsample_scores",
]
