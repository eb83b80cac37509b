"""Slopes, pieces and changes against plainly made curves."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from emreel.track.kinetics import find_changes, fit_pieces, local_slopes, theil_sen
from emreel.track.phase_field import front_along_line


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), slope=st.floats(-3, 3), n=st.integers(4, 30))
def test_a_slope_does_not_mind_a_few_outliers(seed: int, slope: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 50, n))
    y = 2 + slope * x
    y[rng.integers(0, n)] += 1000
    slopes = [(y[j] - y[i]) / (x[j] - x[i]) for i, j in itertools.combinations(range(n), 2)]
    assert theil_sen(x, y) == pytest.approx(np.median(slopes), abs=1e-9)
    if n >= 8:
        assert theil_sen(x, y) == pytest.approx(slope, abs=1e-6)


def test_local_slopes_leave_out_what_is_unknown() -> None:
    x, y = np.arange(12.0), 3 * np.arange(12.0)
    y[4] = np.nan
    found = local_slopes(x, y, 2)
    assert np.isnan(found[4])
    assert np.delete(found, 4).tolist() == pytest.approx([3] * 11)


def test_pieces_are_those_that_the_curve_was_made_of() -> None:
    rng = np.random.default_rng(2)
    y = np.concatenate([0.5 * np.arange(60), 30 + 0 * np.arange(50), 30 + 1.5 * np.arange(40)])
    pieces = fit_pieces(y + rng.normal(0, 0.5, len(y)), 0.5)
    assert [piece.start for piece in pieces] == pytest.approx([0, 60, 110], abs=4)
    assert [piece.slope for piece in pieces] == pytest.approx([0.5, 0, 1.5], abs=0.05)


def test_long_curves_are_cut_alike() -> None:
    rng = np.random.default_rng(3)
    y = np.concatenate([0.05 * np.arange(3000), 150 + 0 * np.arange(2000)]) + rng.normal(0, 1, 5000)
    first, second = fit_pieces(y, 1.0)
    assert second.start == pytest.approx(3000, abs=100) and second.stop == 5000
    assert (first.slope, second.slope) == pytest.approx((0.05, 0.0), abs=0.002)


def test_jumps_stalls_and_starts() -> None:
    rng = np.random.default_rng(5)
    y = np.concatenate([0.6 * np.arange(80), 48 + 0 * np.arange(60), 48 + 0.8 * np.arange(100)])
    y[180:] += 20
    changes = find_changes(y + rng.normal(0, 0.4, len(y)))
    assert [change.kind for change in changes] == ["stalls", "starts", "jumps"]
    assert [change.index for change in changes] == pytest.approx([80, 140, 180], abs=6)
    assert changes[2].index == 180 and changes[2].step == pytest.approx(20, abs=1.5)


def test_nothing_happens_to_a_steady_front_nor_to_one_that_rests() -> None:
    rng = np.random.default_rng(7)
    for slope in (0.0, 0.7):
        assert find_changes(slope * np.arange(150.0) + rng.normal(0, 0.5, 150)) == []
    assert find_changes(np.arange(5.0)) == []


@pytest.mark.data
def test_the_jump_and_the_stall_of_a_real_movie(data_dir: Path) -> None:
    file = loadmat(data_dir / "real" / "phase_field_oneD_last641.mat")
    field = xr.DataArray(
        file["usol"],
        dims=("position", "time"),
        coords={"position": ("position", file["x"].ravel(), {"units": "px"}), "time": file["t"].ravel()},
    )
    position = front_along_line(field)["position"].to_numpy()
    assert (position[0], position[-1]) == pytest.approx((63, 388), abs=1)
    changes = find_changes(position)
    [jump] = [change for change in changes if change.kind == "jumps"]
    assert jump.index == 197 and jump.step == pytest.approx(31, abs=1)
    stall = changes[0]
    assert stall.kind == "stalls" and stall.index == pytest.approx(80, abs=10)
