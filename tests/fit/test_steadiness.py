"""What tells the cores of phases: unrest and slope, against planes fitted plainly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from emreel.fit.sample import SLOPE_REACH, slope_share, smooth_features


def share_plainly(features: np.ndarray, y: int, x: int) -> float:
    """One point in the middle of a map, by least squares in float64."""
    reach = SLOPE_REACH
    window = features[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(np.float64)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    design = np.column_stack([np.ones(dy.size), dy.ravel(), dx.ravel()])
    rows = window.reshape(-1, features.shape[2])
    fitted = design @ np.linalg.lstsq(design, rows, rcond=None)[0]
    return float(np.sum((fitted - rows.mean(axis=0)) ** 2) / np.sum((rows - rows.mean(axis=0)) ** 2))


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_share_is_that_of_a_fitted_plane(offset: float) -> None:
    rng = np.random.default_rng(0)
    features = (ndimage.gaussian_filter(rng.normal(0, 1, (30, 30, 4)), (2, 2, 0)) + offset).astype(np.float32)
    share = slope_share(features)
    for y, x in ((10, 11), (15, 15), (20, 9)):
        assert share[y, x] == pytest.approx(share_plainly(features, y, x), abs=1e-3)


def test_edges_slope_and_texture_does_not() -> None:
    """Texture a hundred times as restless as the calm side slopes no more than it."""
    rng = np.random.default_rng(1)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, (60, 90, 6)), (1.5, 1.5, 0))
    features = noise * np.where(np.arange(90) < 45, 0.1, 1.0)[:, None]
    features += 6.0 * ndimage.gaussian_filter1d((np.arange(90) >= 45).astype(float), 1.5)[:, None]
    _, measures = smooth_features(features.astype(np.float32))
    unrest, slope = measures[10:-10, 10:-10, 0], measures[10:-10, 10:-10, 1]
    calm, edge, wild = np.s_[:, 5:20], np.s_[:, 33:37], np.s_[:, 50:65]
    assert np.median(unrest[wild]) > 20 * np.median(unrest[calm])
    assert np.median(slope[wild]) == pytest.approx(np.median(slope[calm]), abs=0.1)
    assert np.median(slope[edge]) > 2 * np.median(slope[wild])


def test_a_flat_map_slopes_nowhere() -> None:
    mean, measures = smooth_features(np.full((9, 9, 2), 3.0, np.float32))
    assert np.all(mean == 3.0)
    assert not measures.any()
