"""Lattices on both sides of a boundary."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.orientation import Fringe
from emreel.track.errors import TrackError
from emreel.track.lattices import compare_lattices, family_range, turn_between


def fringes(*vectors: tuple[float, float]) -> list[Fringe]:
    return [Fringe(g_yx=g, power=1.0) for g in vectors]


def test_lattices_that_mirror_one_another() -> None:
    turn = np.deg2rad(35.26)
    one = fringes((0.13, 0.0), (0.13 * np.cos(2 * turn), 0.13 * np.sin(2 * turn)), (0.1, 0.1))
    other = fringes(*((g.g_yx[0], -g.g_yx[1]) for g in one))
    mirror = compare_lattices(one, other, np.array([0.995, 0.1]))
    assert mirror.is_twin and mirror.mirrored == 1 and mirror.alike < 0.5
    assert abs(mirror.normal_yx[0]) == pytest.approx(1) and mirror.normal_yx[1] == pytest.approx(0)
    assert not compare_lattices(one, one, np.array([1.0, 0.0])).is_twin
    assert not compare_lattices(one, [], np.array([1.0, 0.0])).is_twin
    assert np.isnan(turn_between(one, []))


@pytest.mark.parametrize("turn_deg", [0.0, 12.5, 44.0])
def test_turns_between_lattices(turn_deg: float) -> None:
    turn = np.deg2rad(turn_deg)
    c, s = np.cos(turn), np.sin(turn)
    one = [(0.14, 0.0), (0.03, 0.12), (0.17, 0.12)]
    other = [(c * y + s * x, c * x - s * y) for y, x in one]
    assert turn_between(fringes(*one), fringes(*other)) == pytest.approx(turn_deg, abs=0.5)


def test_one_family_of_fringes() -> None:
    found = [Fringe(g_yx=(1 / 8, 0.0), power=5.0), Fringe(g_yx=(0.0, 1 / 8.2), power=4.0)]
    found += [Fringe(g_yx=(1 / 6, 0.0), power=6.0)]
    low, high = family_range(found)
    assert low < 8 < 8.2 < high < 9 and low > 6.5
    with pytest.raises(TrackError, match="no crystal"):
        family_range([])
