"""Measures of regions against shapes that are known, and plainly counted ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.track.measures import border_lengths, measure_regions


@pytest.mark.parametrize(("a", "b", "turn_deg"), [(30, 30, 0), (40, 15, 0), (36, 20, 30), (36, 20, 120)])
def test_ellipses(a: float, b: float, turn_deg: float) -> None:
    y, x = np.mgrid[:121, :131].astype(float)
    turn = np.deg2rad(turn_deg)
    u, v = (x - 64) * np.cos(turn) + (y - 60) * np.sin(turn), (y - 60) * np.cos(turn) - (x - 64) * np.sin(turn)
    row = measure_regions(((u / a) ** 2 + (v / b) ** 2 <= 1).astype(np.uint32)).iloc[0]
    h = ((a - b) / (a + b)) ** 2
    around = np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))
    assert row["area_px2"] == pytest.approx(np.pi * a * b, rel=0.01)
    assert (row["centroid_y_px"], row["centroid_x_px"]) == pytest.approx((60, 64), abs=0.05)
    assert row["perimeter_px"] == pytest.approx(around, rel=0.03)
    assert row["elongation"] == pytest.approx(a / b, rel=0.02)
    assert not row["touches_edge"]
    if a > b:
        assert row["axis_deg"] == pytest.approx(turn_deg, abs=0.5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
def test_any_regions_are_counted_as_by_hand(seed: int, n: int) -> None:
    region = np.random.default_rng(seed).integers(0, n + 1, (9, 11)).astype(np.uint32)
    table = measure_regions(region)
    assert table["region"].tolist() == [k for k in np.unique(region).tolist() if k > 0]
    for row in table.itertuples():
        y, x = np.nonzero(region == row.region)
        assert (row.area_px2, row.centroid_y_px, row.centroid_x_px) == pytest.approx((y.size, y.mean(), x.mean()))
        at_edge = bool(((y == 0) | (y == 8) | (x == 0) | (x == 10)).any())
        assert row.touches_edge == at_edge
        around = np.pad(region, 1)
        near = {
            int(around[i + 1 + dy, j + 1 + dx])
            for i, j in zip(y, x, strict=True)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        }
        assert row.n_neighbours == len(near - {0, row.region})


def test_borders_of_stripes() -> None:
    region = np.repeat(np.arange(1, 4, dtype=np.uint32), 20)[None].repeat(200, axis=0)
    borders = border_lengths(region)
    assert borders[["region", "neighbour"]].to_numpy().tolist() == [[1, 2], [2, 3]]
    assert borders["length_px"].to_numpy() == pytest.approx(200, rel=0.06)
    assert border_lengths(np.ones((5, 5), np.uint32)).empty
    assert measure_regions(np.zeros((5, 5), np.uint32)).empty
