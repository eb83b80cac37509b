"""Preparation: what a recorded frame needs before it is described, each step reported per frame."""

from emreel.prepare.quality import FrameReport, FrameSums
from emreel.prepare.steps import Prepare

__all__ = ["FrameReport", "FrameSums", "Prepare"]
