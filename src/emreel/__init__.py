"""emreel: unsupervised segmentation of in-situ electron-microscopy movies."""

from emreel._version import __version__

__all__ = ["__version__"]
