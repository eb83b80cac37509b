"""Intensity: the log of a local mean, right up to the frame's edge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.intensity import Intensity, IntensityError
from emreel.testing import check_descriptor


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_it_is_a_descriptor(stride: int) -> None:
    check_descriptor(Intensity(sigma_px=2.5, stride=stride, mean_counts=20.0))


def test_it_is_the_log_of_the_covered_mean() -> None:
    """Oracle: a Gaussian over the valid pixels, divided by the same Gaussian of their mask, in float64."""
    rng = np.random.default_rng(0)
    frame = rng.poisson(20, (60, 72)).astype(np.float32)
    valid = rng.random(frame.shape) > 0.1
    describe = Intensity(sigma_px=3.0, stride=4, mean_counts=20.0)
    smooth = {"sigma": 3.0, "truncate": 3.0, "mode": "constant"}
    over = ndimage.gaussian_filter(np.where(valid, frame, 0).astype(np.float64), **smooth)
    mean = over / ndimage.gaussian_filter(valid.astype(np.float64), **smooth)
    found = describe(*pad_frame(frame, describe.halo, valid))[..., 0]
    np.testing.assert_allclose(found, np.log(mean)[::4, ::4], rtol=0, atol=2e-6)


def test_vacuum_and_a_shifted_zero_stay_finite() -> None:
    describe = Intensity(sigma_px=2.0, stride=2, mean_counts=10.0, zero_counts=-3.0)
    padded = np.full((40, 40), -3.0, np.float32)
    np.testing.assert_allclose(describe(padded), np.log(0.13), rtol=1e-5)


@pytest.mark.parametrize("fields", [{"stride": 0}, {"sigma_px": 0.0}, {"stride": 1.5}])
def test_fields_that_cannot_work_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(IntensityError, match="wanted a whole number and a positive number"):
        Intensity(**fields)
