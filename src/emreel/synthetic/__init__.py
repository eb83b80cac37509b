"""Movies with known truth: physics in, counts out, and what is really there beside every frame.

>>> from emreel.synthetic import make_scene
>>> scene = make_scene("front", shape_yx=(96, 96), n_frames=1_000_000, dose=20.0)
>>> scene.frame(999_999).shape
(96, 96)
>>> scene.truth(0).labels.dtype
dtype('uint8')
"""

from emreel.synthetic.catalog import SCENES, make_scene
from emreel.synthetic.checks import FrameIndexError, SceneError
from emreel.synthetic.decahedron import Decahedron
from emreel.synthetic.detector import Detector
from emreel.synthetic.drift import Drift
from emreel.synthetic.front import AmorphousFront
from emreel.synthetic.grains import GrainGrowth
from emreel.synthetic.lamella import TwinLamella
from emreel.synthetic.optics import Optics
from emreel.synthetic.ordering import OrderDisorder
from emreel.synthetic.scene import Scene, Truth

__all__ = [
    "SCENES",
    "AmorphousFront",
    "Decahedron",
    "Detector",
    "Drift",
    "FrameIndexError",
    "GrainGrowth",
    "Optics",
    "OrderDisorder",
    "Scene",
    "SceneError",
    "Truth",
    "TwinLamella",
    "make_scene",
]
