"""Intensity fields: found where they are, dropped where they are not, each row on its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.cluster import ClusterError, assign
from emreel.cluster.field import IntensityField, Placed, learn_field

SHAPE = (200, 300)


def polynomial(coefficients: np.ndarray, y_px: np.ndarray, x_px: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """The fields in plain float64, shape (n, K)."""
    out = np.empty((len(y_px), len(coefficients)))
    for i, (a, b) in enumerate(zip(y_px, x_px, strict=True)):
        y, x = 2 * a / (shape_yx[0] - 1) - 1, 2 * b / (shape_yx[1] - 1) - 1
        out[i] = coefficients @ [1, y, x, y * y, y * x, x * x]
    return out


def bent_sample(strength: float, n: int = 6000, seed: int = 0) -> tuple[Placed, np.ndarray, np.ndarray, np.ndarray]:
    """Three classes: two told by intensity alone; brighter towards the lower right. Rows, class, centres, field."""
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(0, SHAPE[0] - 1, n), rng.uniform(0, SHAPE[1] - 1, n)
    label = rng.integers(0, 3, n)
    centers = np.array([[0.0, -0.15], [0.0, 0.15], [0.8, 0.0]])
    bend = strength * ((y / 100 - 1) * 0.5 + (x / 150 - 1))
    rows = centers[label] + rng.normal(0, [0.05, 0.03], (n, 2))
    rows[:, 1] += bend
    placed = Placed(rows=rows.astype(np.float32), y_px=y, x_px=x, roughness=rng.uniform(0, 1, n))
    return placed, label, centers, bend


def test_a_field_is_found_and_tells_classes_apart_that_it_hid() -> None:
    placed, label, centers, bend = bent_sample(0.12)
    plain = assign(placed.rows, centers)[0]
    learned = learn_field(placed, centers, channel=1, shape_yx=SHAPE)
    assert learned is not None
    moved, field = learned
    found = field.squared_distances(placed.rows, moved, placed.y_px, placed.x_px).argmin(axis=1)
    assert np.mean(plain == label) < 0.985
    assert np.mean(found == label) > 0.999
    at = field.at(placed.y_px, placed.x_px)
    for k in range(3):
        apart = (at[:, k] - at[:, k].mean()) - (bend - bend.mean())
        assert np.sqrt(np.mean(apart**2)) < 0.1 * bend.std()
        assert abs(at[label == k, k].mean()) < 0.1 * bend.std()  # leaving the field out does not move a class


def test_no_field_is_learned_from_an_even_frame() -> None:
    placed, _, centers, _ = bent_sample(0.0)
    assert learn_field(placed, centers, channel=1, shape_yx=SHAPE) is None


def test_the_gate_is_a_share_of_the_variance() -> None:
    placed, _, centers, _ = bent_sample(0.03)
    low = learn_field(placed, centers, channel=1, shape_yx=SHAPE, least_share=0.1)
    high = learn_field(placed, centers, channel=1, shape_yx=SHAPE, least_share=0.9)
    assert low is not None
    assert high is None


def test_too_few_rows_carry_no_field() -> None:
    placed, _, centers, _ = bent_sample(0.12, n=60)
    assert learn_field(placed, centers, channel=1, shape_yx=SHAPE) is None


def test_layers_with_soft_edges_are_not_taken_for_a_field() -> None:
    """Layers along y whose edges run into each other: rows near an edge are rough, and stay out of it."""
    rng = np.random.default_rng(3)
    n = 20_000
    y, x = rng.uniform(0, SHAPE[0] - 1, n), rng.uniform(0, SHAPE[1] - 1, n)
    edges, levels, width = np.array([60.0, 110.0]), np.array([-0.2, 0.2, -0.1]), 16.0
    step = 1 / (1 + np.exp(-(y[:, None] - edges) / width))
    intensity = levels[0] + step @ np.diff(levels)
    roughness = np.abs((step * (1 - step)) @ np.diff(levels) / width)
    rows = np.column_stack([np.where(y > 110, 0.5, 0.0), intensity + rng.normal(0, 0.02, n)]).astype(np.float32)
    centers = np.array([[0.0, -0.2], [0.0, 0.2], [0.5, -0.1]])
    flat = Placed(rows=rows, y_px=y, x_px=x, roughness=roughness)
    assert learn_field(flat, centers, channel=1, shape_yx=SHAPE) is None
    blind = Placed(rows=rows, y_px=y, x_px=x, roughness=np.zeros(n))
    assert learn_field(blind, centers, channel=1, shape_yx=SHAPE) is not None  # the rule is what keeps it out


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 50))
def test_distances_are_those_to_the_moved_centres(seed: int, n_classes: int, n_features: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, n_features)).astype(np.float32)
    centers = rng.normal(size=(n_classes, n_features))
    channel = int(rng.integers(0, n_features))
    coefficients = rng.normal(size=(n_classes, 6))
    y, x = rng.integers(0, SHAPE[0], n).astype(float), rng.integers(0, SHAPE[1], n).astype(float)
    field = IntensityField(coefficients=coefficients, channel=channel, shape_yx=SHAPE)
    bend = polynomial(coefficients, y, x, SHAPE)
    np.testing.assert_allclose(field.at(y, x), bend, atol=1e-12)
    moved = np.repeat(centers[None], n, axis=0)
    moved[:, :, channel] += bend
    expected = ((rows[:, None, :] - moved) ** 2).sum(axis=2)
    found = field.squared_distances(rows, centers, y, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # every row on its own, to the bit
    parts = [field.squared_distances(rows[i : i + 7], centers, y[i : i + 7], x[i : i + 7]) for i in range(0, n, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), found)
    flat = field.flattened(rows, centers, y, x)
    nearest = found.argmin(axis=1)
    np.testing.assert_allclose(flat[:, channel], rows[:, channel] - bend[np.arange(n), nearest], atol=1e-5)


def test_reordered_classes_keep_their_fields() -> None:
    placed, _, centers, _ = bent_sample(0.12)
    learned = learn_field(placed, centers, channel=1, shape_yx=SHAPE)
    assert learned is not None
    moved, field = learned
    order = np.array([2, 0, 1])
    before = field.squared_distances(placed.rows, moved, placed.y_px, placed.x_px)
    after = field.reordered(order).squared_distances(placed.rows, moved[order], placed.y_px, placed.x_px)
    np.testing.assert_array_equal(after, before[:, order])


def test_one_class_may_have_a_field() -> None:
    rng = np.random.default_rng(1)
    y, x = rng.uniform(0, SHAPE[0] - 1, 4000), rng.uniform(0, SHAPE[1] - 1, 4000)
    rows = np.column_stack([rng.normal(0, 0.1, 4000), 0.3 * (x / 150 - 1) ** 2]).astype(np.float32)
    placed = Placed(rows=rows, y_px=y, x_px=x, roughness=np.zeros(4000))
    learned = learn_field(placed, [[0.0, 0.1]], channel=1, shape_yx=SHAPE)
    assert learned is not None
    assert learned[1].coefficients[0, 5] == pytest.approx(0.3, rel=0.05)


def test_a_field_of_other_centres_is_refused() -> None:
    field = IntensityField(coefficients=np.zeros((3, 6)), channel=1, shape_yx=SHAPE)
    with pytest.raises(ClusterError, match="got a field of 3 classes in channel 1 for 2 centres"):
        field.squared_distances(np.zeros((4, 2)), np.zeros((2, 2)), np.zeros(4), np.zeros(4))


def test_a_shared_field_does_not_part_the_halves_of_one_bent_phase() -> None:
    """Brightness that rises along the frame: fields of their own leave two flat halves, a shared one one phase."""
    rng = np.random.default_rng(4)
    n = 4000
    y_px, x_px = rng.uniform(0, 199, (2, n))
    rows = np.column_stack([rng.normal(0, 0.02, n), x_px / 199 + rng.normal(0, 0.02, n)]).astype(np.float32)
    placed = Placed(rows=rows, y_px=y_px, x_px=x_px, roughness=np.zeros(n))
    halves = np.array([[0.0, 0.25], [0.0, 0.75]])
    learned = learn_field(placed, halves, channel=1, shape_yx=(200, 200), shared=True)
    assert learned is not None
    centers, field = learned
    np.testing.assert_array_equal(field.coefficients[0], field.coefficients[1])
    flat = field.flattened(rows, centers, y_px, x_px)
    assert flat[:, 1].std() < 0.03  # of 0.29 before
