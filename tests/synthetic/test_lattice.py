from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.synthetic import Optics
from emreel.synthetic.lattice import (
    Cell,
    Crystal,
    cell_table,
    column_noise,
    hexagonal_cell,
    nearest_column,
    read_cell,
    square_cell,
)

CELLS = [square_cell(9.0), square_cell(9.0, 0.5), hexagonal_cell(8.0), Cell(vectors_yx=((0.0, 8.0), (7.5, 2.7)))]


@settings(max_examples=10, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    angle=st.floats(-180, 180),
    origin=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    sigma=st.floats(1.0, 2.0),
)
def test_picture_is_the_sum_of_all_columns(cell, angle, origin, sigma):
    """Atom by atom, in float64, against the table of one cell."""
    crystal = Crystal(cell=cell, angle_deg=angle, origin_yx=origin)
    y, x = np.mgrid[:24, :20].astype(float)
    picture = read_cell(cell_table(cell, Optics(), 1.0, sigma), crystal.ticks(y, x))
    turn = np.deg2rad(angle)
    wanted, weights = np.zeros_like(y), sum(weight for *_, weight in cell.columns)
    for first, second, weight in cell.columns:
        for i in range(-14, 15):
            for j in range(-14, 15):
                (y1, x1), (y2, x2) = cell.vectors_yx
                flat_y = (i + first) * y1 + (j + second) * y2
                flat_x = (i + first) * x1 + (j + second) * x2
                at_y = origin[0] + flat_y * np.cos(turn) + flat_x * np.sin(turn)
                at_x = origin[1] + flat_x * np.cos(turn) - flat_y * np.sin(turn)
                wanted += weight * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * sigma**2))
    area = abs(np.linalg.det(np.array(cell.vectors_yx)))
    wanted *= area / (2 * np.pi * sigma**2 * weights)
    # the table is read at the nearest of 128 x 128 points
    reach = max(np.hypot(*vector) for vector in cell.vectors_yx) / 128
    np.testing.assert_allclose(picture, wanted, atol=1.3 * reach * wanted.max() / sigma)


@settings(max_examples=10, deadline=None)
@given(cell=st.sampled_from(CELLS), angle=st.floats(-180, 180), seed=st.integers(0, 1000))
def test_nearest_column_is_near(cell, angle, seed):
    crystal = Crystal(cell=cell, angle_deg=angle, origin_yx=(3.0, -2.0))
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(-200, 200, (2, 30, 30))
    i, j = nearest_column(cell, crystal.ticks(y, x))
    at_y, at_x = crystal.column_positions(i, j)
    vectors = crystal.cell.rotated_vectors(angle)
    here = np.hypot(y - at_y, x - at_x)
    around = [
        np.hypot(y - at_y - a * vectors[0, 0] - b * vectors[1, 0], x - at_x - a * vectors[0, 1] - b * vectors[1, 1])
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
    ]
    # bricks in rows: the same as the nearest lattice point but in small corners
    assert np.mean(here > np.min(around, axis=0) + 0.2) < 0.12
    assert here.max() < np.hypot(*np.abs(vectors).max(axis=0))


def test_table_means():
    for cell in CELLS:
        assert cell_table(cell, Optics(), 0.03, 0.05).mean() == pytest.approx(1, rel=1e-5)
        assert cell_table(cell, Optics(modality="hrtem"), 0.03, 0.05).mean() == pytest.approx(0, abs=1e-5)
    assert cell_table(CELLS[0], Optics(focus_gradient_nm=2.0), 0.03, 0.05).shape == (16, 128, 128)
    with pytest.raises(ValueError, match="read-only"):
        cell_table(CELLS[0], Optics(), 0.03, 0.05)[0] = 0


def test_column_noise_belongs_to_the_column():
    i, j = np.mgrid[-40:200, -30:120].astype(np.int32)
    noise = column_noise(i, j, seed=1)
    assert noise.std() == pytest.approx(1, abs=0.03) and abs(noise.mean()) < 0.03
    np.testing.assert_array_equal(noise[50:60, 50:60], column_noise(i[50:60, 50:60], j[50:60, 50:60], seed=1))
    assert not np.array_equal(noise, column_noise(i, j, seed=2))
