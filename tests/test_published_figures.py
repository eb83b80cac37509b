"""The published example of the symmetry method: its explained variance and area fractions come out of ours (W7, W8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.translation import TranslationSymmetry
from emreel.reduce import PCA, Moments

#: Explained variance of five components on high_entropy_alloy.npy (Wang et al. 2021, pySTEM's own example).
EXPLAINED = [0.476, 0.177, 0.121, 0.049, 0.030]


@pytest.mark.data
def test_explained_variance_of_the_published_example(data_dir: Path) -> None:
    frame = np.load(data_dir / "real" / "high_entropy_alloy.npy").astype(np.float32)
    descriptor = TranslationSymmetry(window_px=20, patch_px=20, stride=5)
    features = descriptor(*pad_frame(frame, descriptor.halo))
    inside = features[8:-8, 8:-8].reshape(-1, features.shape[2])
    pca = PCA(n_components=5).fit_moments(Moments.of(inside))
    np.testing.assert_allclose(pca.explained_variance_ratio_, EXPLAINED, atol=0.004)
