"""The width of a lamella, from rows of atoms that are drawn plane by plane."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.track.errors import TrackError
from emreel.track.lamella import does_cross, measure_lamella

SPACING, PERIOD = 7.5, 9.0  # of the planes, and of the atoms along them, px
PLANE = np.array([1 / SPACING, 0.0])
CROSS = np.array([1 / (3 * SPACING), -1 / PERIOD])  # fringes of the parent across the planes


def stacked(planes: int, first: int = 12, n: int = 30, ledge: int | None = None, noise: float = 0.3) -> np.ndarray:
    """Rows of atoms, each a third of a period further than the one below; the other way within the lamella.

    ledge : from this column on the lamella has a plane less."""
    y, x = np.mgrid[: int(n * SPACING), :260].astype(float)
    picture = np.zeros(y.shape)
    for part in (False, True):
        shift = 0.0
        for plane in range(n):
            rows = np.exp(-(((y - (plane + 0.5) * SPACING) / 2) ** 2)) * (1 + np.cos(2 * np.pi * (x - shift) / PERIOD))
            columns = x >= 10**6 if ledge is None else x >= ledge
            picture += np.where(columns == part, rows, 0)
            twin = first <= plane < first + planes - part
            shift += (-1 if twin else 1) * PERIOD / 3
    return picture + np.random.default_rng(planes).normal(0, noise, picture.shape)


@pytest.mark.parametrize("planes", [1, 2, 3, 6, 10])
def test_planes_are_counted(planes: int) -> None:
    picture = stacked(planes)
    inside = np.zeros(picture.shape, bool)
    inside[8:-8, 8:-8] = True
    found = measure_lamella(picture, inside, PLANE, CROSS)
    assert found.width_px == pytest.approx(planes * SPACING, abs=0.25 * SPACING)
    assert found.centre_yx[0] + found.low_px == pytest.approx((12 + 0.5) * SPACING, abs=SPACING)


def test_no_lamella_has_no_width() -> None:
    picture = stacked(0)
    found = measure_lamella(picture, np.ones(picture.shape, bool), PLANE, CROSS)
    assert found.width_px == 0 and found.gain < 1.01


def test_a_ledge_counts_by_its_share() -> None:
    picture = stacked(4, ledge=130)
    found = measure_lamella(picture, np.ones(picture.shape, bool), PLANE, CROSS)
    assert found.width_px / SPACING == pytest.approx(3.5, abs=0.2)


def test_fringes_along_the_plane_do_not_cross_it() -> None:
    plane = np.array([0.125, 0.0])
    assert does_cross(plane, np.array([0.125 / 3, 0.118]))
    assert not does_cross(plane, np.array([0.25, 0.0]))
    assert not does_cross(plane, np.array([0.0, 0.12]))
    with pytest.raises(TrackError, match="alike"):
        measure_lamella(np.ones((64, 64)), np.ones((64, 64), bool), plane, np.array([0.0, 0.12]))
