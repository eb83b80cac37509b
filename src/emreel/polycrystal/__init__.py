"""Grains of one lattice in many orientations: found in a map of orientations, and followed from frame to frame."""

from emreel.polycrystal.follow import GrainError, GrainFollower, GrainState
from emreel.polycrystal.regions import find_regions

__all__ = ["GrainError", "GrainFollower", "GrainState", "find_regions"]
