"""The mean field of the Potts model: plain float64 loops are the reference; tiles equal the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.refine import Potts, RefineError


def plain_mean_field(scores: np.ndarray, potts: Potts) -> np.ndarray:
    """Every step in float64, every neighbour visited."""
    height, width, _ = scores.shape
    r = potts.radius
    field = scores.astype(np.float64)
    for _ in range(potts.steps):
        p = np.exp(field - field.max(axis=2, keepdims=True))
        p /= p.sum(axis=2, keepdims=True)
        pulled = np.zeros_like(p)
        for y in range(height):
            for x in range(width):
                cover = 0.0
                for dy in range(-r, r + 1):
                    for dx in range(-r, r + 1):
                        if 0 <= y + dy < height and 0 <= x + dx < width:
                            weight = np.exp(-(dy**2 + dx**2) / (2 * potts.sigma_points**2))
                            pulled[y, x] += weight * p[y + dy, x + dx]
                            cover += weight
                pulled[y, x] /= cover
        field = scores + potts.coupling * pulled
    return field


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 10**6),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.floats(0.3, 2.0),
    st.floats(0, 8),
    st.integers(1, 3),
)
def test_equals_the_plain_mean_field(
    seed: int, height: int, width: int, n_classes: int, sigma: float, coupling: float, steps: int
) -> None:
    scores = np.random.default_rng(seed).normal(0, 5, (height, width, n_classes)).astype(np.float32)
    potts = Potts(coupling=coupling, sigma_points=sigma, steps=steps)
    np.testing.assert_allclose(potts(scores), plain_mean_field(scores, potts), atol=2e-4, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.4, 1.5), st.integers(1, 3), st.integers(0, 20), st.integers(0, 20))
def test_a_tile_with_its_reach_is_its_part_of_the_whole(seed: int, sigma: float, steps: int, y: int, x: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 3, (48, 53, 3)).astype(np.float32)
    potts = Potts(coupling=4.0, sigma_points=sigma, steps=steps)
    whole, r = potts(scores), potts.reach_points
    y0, y1, x0, x1 = max(y - r, 0), min(y + 7 + r, 48), max(x - r, 0), min(x + 11 + r, 53)
    part = potts(scores[y0:y1, x0:x1])
    np.testing.assert_array_equal(part[y - y0 : y - y0 + 7, x - x0 : x - x0 + 11], whole[y : y + 7, x : x + 11])


def test_the_reach_is_no_longer_than_said() -> None:
    scores = np.zeros((41, 41, 2), np.float32)
    potts = Potts(coupling=5.0, sigma_points=1.0, steps=2)
    changed = scores.copy()
    changed[20, 20, 1] = 9.0
    touched = np.argwhere(np.any(potts(changed) != potts(scores), axis=2))
    assert np.abs(touched - 20).max() == potts.reach_points == 4


def test_noise_gives_way_and_an_edge_stays() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(40) >= 20, 40).reshape(40, 40).T.astype(int)
    scores = rng.normal(0, 1.2, (40, 40, 2)).astype(np.float32)
    np.put_along_axis(scores, truth[..., None], np.take_along_axis(scores, truth[..., None], 2) + 1.5, 2)
    before = scores.argmax(axis=2)
    after = Potts(coupling=4.0, sigma_points=1.5)(scores).argmax(axis=2)
    assert np.mean(before != truth) > 0.12
    assert np.mean(after != truth) < 0.02
    flipped = Potts(coupling=4.0, sigma_points=1.5)(scores[:, ::-1]).argmax(axis=2)[:, ::-1]
    np.testing.assert_array_equal(flipped, after)  # drawn to neither side


def test_no_coupling_changes_nothing() -> None:
    scores = np.random.default_rng(1).normal(size=(8, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(Potts(coupling=0.0, sigma_points=1.0)(scores), scores)


def test_huge_scores_stay_finite_and_the_input_as_it_was() -> None:
    scores = np.array([[[0.0, -1e9], [-1e9, 0.0], [-1e30, -1e30]]], np.float32)
    scores.setflags(write=False)
    found = Potts(coupling=4.0, sigma_points=1.0)(scores)
    assert np.isfinite(found).all()
    assert found[0, :2].argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"coupling": -1.0, "sigma_points": 1.0},
        {"coupling": 1.0, "sigma_points": 0.0},
        {"coupling": float("nan"), "sigma_points": 1.0},
        {"coupling": 1.0, "sigma_points": 1.0, "steps": 0},
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(RefineError, match="wanted a coupling of at least 0"):
        Potts(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 2), (4, 4, 0)])
def test_what_is_no_map_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RefineError, match="wanted .y_grid, x_grid, K."):
        Potts(coupling=1.0, sigma_points=1.0)(np.zeros(shape))
