"""Mirror lines of lattices from their reflections: direction and period, absences and neighbours included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.mirror_lines import find_mirror_lines
from emreel.descriptors.peaks import Peaks


def reflections(a, b, degrees, present, angle_deg=90.0):
    """Peaks of a lattice of periods a (at ``degrees`` from x towards y) and b, for the (h, k) that are present."""
    t, u = np.deg2rad(degrees), np.deg2rad(degrees + angle_deg)
    real = np.array([[a * np.sin(t), a * np.cos(t)], [b * np.sin(u), b * np.cos(u)]])
    hk = np.array([hk for hk in present if hk > (0, 0)])
    g = hk @ np.linalg.inv(real).T
    g = np.where((g[:, :1] < 0) | ((g[:, :1] == 0) & (g[:, 1:] < 0)), -g, g)
    power = 100.0 / (1 + np.abs(hk).sum(axis=1))
    return Peaks(g, power, np.ones(len(g)))


ORDERS = [(h, k) for h in range(3) for k in range(-2, 3) if (h, k) > (0, 0)]


def found(peaks):
    return [(np.rad2deg(np.arctan2(*line.direction_yx)) % 180, line.period_px) for line in find_mirror_lines(peaks)]


def holds(lines, degrees, period_px):
    return any(
        abs((angle - degrees + 90) % 180 - 90) <= 0.5 and abs(period / period_px - 1) <= 0.01 for angle, period in lines
    )


@settings(deadline=None)
@given(st.floats(7, 20), st.floats(1.15, 1.9), st.floats(0, 180))
def test_a_rectangular_lattice_has_two(a, ratio, degrees):
    lines = found(reflections(a, ratio * a, degrees, ORDERS))
    assert holds(lines[:2], degrees, a)
    assert holds(lines[:2], degrees + 90, ratio * a)


@given(st.floats(0, 180))
def test_odd_orders_may_be_absent_along_a_glide_line(degrees):
    present = [(h, k) for h, k in ORDERS if k != 0 or h % 2 == 0]
    present = [(h, k) for h, k in present if h != 0 or k % 2 == 0]  # both axes: p2gg
    lines = found(reflections(10, 14, degrees, present))
    assert holds(lines, degrees, 10) and holds(lines, degrees + 90, 14)


def test_the_first_orders_alone_are_enough():
    lines = found(reflections(10, 14, 20, [(1, 0), (0, 1)]))
    assert holds(lines, 20, 10) and holds(lines, 110, 14)
    lines = found(reflections(10, 14, 20, [(1, 1), (1, -1)]))  # a centred lattice: its conventional cell
    assert holds(lines, 20, 10) and holds(lines, 110, 14)


def test_a_square_lattice_has_four_and_a_triangular_one_six():
    lines = found(reflections(9, 9, 10, ORDERS))
    assert len(lines) == 4
    assert holds(lines, 10, 9) and holds(lines, 100, 9)
    assert holds(lines, 55, 9 * np.sqrt(2)) and holds(lines, 145, 9 * np.sqrt(2))
    first = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2)]
    triangular = found(reflections(9, 9, 10, first, angle_deg=120.0))
    assert all(holds(triangular, 10 + 60 * k, 9) for k in range(3))
    assert all(holds(triangular, 40 + 60 * k, 9 * np.sqrt(3)) for k in range(3))


def test_an_oblique_lattice_has_none():
    first = [(1, 0), (0, 1), (1, 1), (1, -1)]
    assert found(reflections(9, 12.2, 10, first, angle_deg=98.0)) == []


def test_two_grains_keep_their_own():
    one, other = reflections(10, 14, 0, ORDERS), reflections(10, 14, 31, ORDERS)
    together = Peaks(*(np.concatenate(pair) for pair in zip(
        (one.g_yx, one.power, one.background), (other.g_yx, other.power, other.background), strict=True
    )))  # fmt: skip
    lines = found(together)
    for degrees in (0, 31):
        assert holds(lines, degrees, 10) and holds(lines, degrees + 90, 14)


def test_no_reflections_no_lines():
    assert find_mirror_lines(Peaks(np.zeros((0, 2)), np.zeros(0), np.zeros(0))) == []


@pytest.mark.parametrize("sigma", [0.0005])
def test_measured_reflections_are_a_little_off(sigma):
    peaks = reflections(10, 14, 20, ORDERS)
    noisy = Peaks(
        peaks.g_yx + np.random.default_rng(0).normal(0, sigma, peaks.g_yx.shape), peaks.power, peaks.background
    )
    lines = found(noisy)
    best = [min(abs((angle - degrees + 90) % 180 - 90) for angle, _ in lines[:2]) for degrees in (20, 110)]
    assert max(best) <= 1.0
    periods = sorted(period for _, period in lines[:2])
    np.testing.assert_allclose(periods, [10, 14], rtol=0.02)
