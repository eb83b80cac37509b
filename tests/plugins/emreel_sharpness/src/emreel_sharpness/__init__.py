"""A descriptor from another package: how much neighbouring pixels differ."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from emreel.descriptors.base import Feature, FeatureMap, Frame, Mask


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """Root mean square difference of horizontal neighbours within ``radius_px``, counts."""

    name: ClassVar[str] = "sharpness"
    features: ClassVar[tuple[Feature, ...]] = (Feature("rms_difference", "counts"),)

    radius_px: int = 6
    stride: int = 4

    @property
    def halo(self) -> int:
        return self.radius_px + 1

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        good = np.ones(padded.shape, bool) if valid is None else valid
        both = np.zeros(padded.shape, np.float64)
        both[:, :-1] = good[:, :-1] & good[:, 1:]
        square = np.zeros(padded.shape, np.float64)
        square[:, :-1] = np.diff(np.where(good, padded, 0).astype(np.float64), axis=1) ** 2 * both[:, :-1]
        size = 2 * self.radius_px + 1
        over, under = (ndimage.uniform_filter(image, size, mode="constant") for image in (square, both))
        rms = np.sqrt(np.maximum(np.divide(over, under, out=np.zeros_like(over), where=under > 1e-9), 0))
        inner = slice(self.halo, padded.shape[0] - self.halo), slice(self.halo, padded.shape[1] - self.halo)
        return rms[inner][:: self.stride, :: self.stride, None].astype(np.float32)
