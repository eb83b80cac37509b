"""The conformance suite catches each fault it is there for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from emreel.descriptors.base import Feature
from emreel.testing import check_descriptor


def _moments(padded, valid, radius, first, stride, shape):
    """Mean and spread of the valid pixels in a square window; window corner at (first + i stride)."""
    frame = padded.astype(np.float64)
    weight = np.ones(frame.shape) if valid is None else valid.astype(np.float64)
    frame = np.where(weight > 0, frame, 0.0)
    side = 2 * radius + 1
    window = (slice(first, first + shape[0], stride), slice(first, first + shape[1], stride))

    def total(image):
        return sliding_window_view(image, (side, side))[window].sum((-1, -2))

    n = np.maximum(total(weight), 1)
    mean = total(frame * weight) / n
    return mean, np.sqrt(np.maximum(total(frame**2 * weight) / n - mean**2, 0))


@dataclass(frozen=True, kw_only=True)
class Moments:
    """A right descriptor: local mean and spread."""

    name: ClassVar[str] = "moments"
    stride: int = 4
    radius_px: int = 3
    slack_px: int = 0  # halo beyond what is needed
    shift_px: int = 0  # fault: the window is off its pixel

    @property
    def halo(self):
        return self.radius_px + self.slack_px

    @property
    def features(self):
        return (Feature("mean", "counts"), Feature("spread", "counts"))

    def __call__(self, padded, valid=None):
        shape = (padded.shape[0] - 2 * self.halo, padded.shape[1] - 2 * self.halo)
        moments = _moments(padded, valid, self.radius_px, self.slack_px + self.shift_px, self.stride, shape)
        return np.stack(moments, axis=-1).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
def test_a_right_descriptor_passes(stride):
    check_descriptor(Moments(stride=stride))
    check_descriptor(Moments(stride=stride, slack_px=2))


def test_a_frame_may_be_given():
    check_descriptor(Moments(), np.random.default_rng(3).normal(size=(70, 90)))


class Shifted(Moments):
    def __call__(self, padded, valid=None):
        rolled = np.roll(padded, (-1, -1), (0, 1))
        return super().__call__(rolled, None if valid is None else np.roll(valid, (-1, -1), (0, 1)))


class ShiftedAtItsStride(Moments):
    """Right at stride 1; one pixel off at any other."""

    @property
    def halo(self):
        return self.radius_px + 1

    def __call__(self, padded, valid=None):
        shape = (padded.shape[0] - 2 * self.halo, padded.shape[1] - 2 * self.halo)
        first = 1 if self.stride == 1 else 2
        moments = _moments(padded, valid, self.radius_px, first, self.stride, shape)
        return np.stack(moments, axis=-1).astype(np.float32)


class HaloTooSmall(Moments):
    @property
    def halo(self):
        return self.radius_px - 1

    def __call__(self, padded, valid=None):
        return super().__call__(
            np.pad(padded, 1, mode="edge"), None if valid is None else np.pad(valid, 1, mode="edge")
        )[
            : -(-(padded.shape[0] - 2 * self.halo) // self.stride),
            : -(-(padded.shape[1] - 2 * self.halo) // self.stride),
        ]


class ForgetsItsHalo(Moments):
    """Declares a halo and cuts another: the map comes out too large."""

    @property
    def halo(self):
        return self.radius_px + 2

    def __call__(self, padded, valid=None):
        shape = (padded.shape[0] - 2 * self.radius_px, padded.shape[1] - 2 * self.radius_px)
        return np.stack(_moments(padded, valid, self.radius_px, 0, self.stride, shape), axis=-1).astype(np.float32)


class Float64(Moments):
    def __call__(self, padded, valid=None):
        return super().__call__(padded, valid).astype(np.float64)


class WritesIntoInput(Moments):
    def __call__(self, padded, valid=None):
        padded -= padded.min()
        return super().__call__(padded, valid)


class WritesWhereItCan(Moments):
    def __call__(self, padded, valid=None):
        if padded.flags.writeable:
            padded -= padded.min()
        return super().__call__(padded, valid)


class WritesIntoMask(Moments):
    def __call__(self, padded, valid=None):
        if valid is not None and valid.flags.writeable:
            valid[0] = False
        return super().__call__(padded, valid)


class GlobalMean(Moments):
    def __call__(self, padded, valid=None):
        return super().__call__(padded, valid) - np.float32(padded.mean())


class NaNOnFlat(Moments):
    def __call__(self, padded, valid=None):
        plain = super().__call__(padded, valid)
        with np.errstate(all="ignore"):
            return plain / plain[..., 1:]


class IgnoresTheMask(Moments):
    def __call__(self, padded, valid=None):
        return super().__call__(padded, None)


class CountsTheMaskTwice(Moments):
    """All valid is not the same as no mask."""

    def __call__(self, padded, valid=None):
        return super().__call__(padded, valid) * np.float32(1.0 if valid is None else 1.001)


class DependsOnTheColumn(Moments):
    def __call__(self, padded, valid=None):
        plain = super().__call__(padded, valid)
        return plain + np.arange(plain.shape[1], dtype=np.float32)[:, None]


class DropsAFeature(Moments):
    def __call__(self, padded, valid=None):
        return super().__call__(padded, valid)[..., :1]


class RoundsTheGridDown(Moments):
    def __call__(self, padded, valid=None):
        plain = super().__call__(padded, valid)
        n_rows = max((padded.shape[0] - 2 * self.halo) // self.stride, 1)
        return plain[:n_rows]


class ProjectsWithoutMean(Moments):
    def project(self, padded, mean, components, valid=None):
        return (self(padded, valid) @ components.T).astype(np.float32)


@dataclass(kw_only=True)
class Thawed:
    name: ClassVar[str] = "thawed"
    stride: int = 1
    halo: ClassVar[int] = 0
    features: ClassVar[tuple[Feature, ...]] = (Feature("brightness"),)

    def __call__(self, padded, valid=None):
        return padded[..., None].copy()


MUTANTS = [
    (Shifted(), "whole frame|sees"),
    (ShiftedAtItsStride(), "sees .* before its pixel|differs from stride 1"),
    (Moments(slack_px=1, shift_px=1), "before its pixel"),
    (Moments(slack_px=1, shift_px=-1), "before its pixel"),
    (Moments(slack_px=5, shift_px=1, stride=3), "before its pixel"),
    (HaloTooSmall(), "whole frame|sees|does not give features"),
    (ForgetsItsHalo(), "wanted"),
    (Float64(), "float64"),
    (WritesIntoInput(), "writes into its input"),
    (WritesWhereItCan(), "writes into the frame"),
    (WritesIntoMask(), "writes into the mask"),
    (GlobalMean(), "weight|whole frame"),
    (NaNOnFlat(), "not finite"),
    (IgnoresTheMask(), "carry weight"),
    (CountsTheMaskTwice(), "valid=None"),
    (DependsOnTheColumn(), "whole frame|shifted"),
    (DropsAFeature(), "wanted"),
    (RoundsTheGridDown(), "wanted"),
    (ProjectsWithoutMean(), "project"),
    (Thawed(), "frozen"),
]


@pytest.mark.parametrize(("mutant", "message"), MUTANTS, ids=lambda value: type(value).__name__)
def test_a_fault_is_caught(mutant, message):
    with pytest.raises(AssertionError, match=message):
        check_descriptor(mutant)


def test_a_shift_is_caught_at_stride_3_and_1():
    for stride in (1, 3):
        with pytest.raises(AssertionError):
            check_descriptor(Shifted(stride=stride))


def test_an_uncentred_descriptor_passes_when_it_is_meant_so():
    check_descriptor(Moments(slack_px=1, shift_px=1), centred=False)


def test_small_differences_pass_within_a_tolerance():
    class Rough(Moments):
        def __call__(self, padded, valid=None):
            plain = super().__call__(padded, valid)
            return plain * np.float32(1 + 1e-6 * (padded.shape[0] % 7))

    with pytest.raises(AssertionError):
        check_descriptor(Rough())
    check_descriptor(Rough(), tolerance=1e-4)
