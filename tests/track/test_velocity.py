"""Speeds with outliers and correlated errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from emreel.track.correlated import correlation_of, covariance_of, describe_residuals
from emreel.track.errors import TrackError
from emreel.track.velocity import fit_velocity, front_velocity


def noise(n: int, rho: float, seed: int) -> np.ndarray:
    """Correlated values of variance 1."""
    fresh = np.random.default_rng(seed).normal(0, 1, n + 200)
    return np.asarray(lfilter([1.0], [1.0, -rho], fresh)[200:] * np.sqrt(1 - rho**2))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_intervals_cover_the_truth_at_their_rate(rho: float) -> None:
    """The same 60 movies at every run: between 85 and 100 % of the intervals hold the speed."""
    x, covered = np.arange(60.0), 0
    for seed in range(60):
        y = 0.7 * x + noise(60, rho, seed)
        y[np.random.default_rng(seed).random(60) < 0.06] += 40
        velocity = fit_velocity(x, y)
        covered += velocity.low <= 0.7 <= velocity.high
    assert 0.85 <= covered / 60 <= 1


def test_outliers_are_cut_and_counted() -> None:
    x = np.arange(40.0)
    y = 3 * x + noise(40, 0.0, 1)
    y[[5, 20]] += 100
    velocity = fit_velocity(x, y, unit="nm/s")
    assert velocity.n_outliers >= 2 and velocity.n == 40
    assert velocity.value == pytest.approx(3, abs=0.03) and "nm/s" in str(velocity)


def test_covariances_are_those_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(3)
    design, left = rng.normal(0, 1, (30, 3)), noise(30, 0.6, 4)
    residuals = describe_residuals(left, design)
    apart = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    sigma = residuals.rho**apart
    inverse = np.linalg.inv(design.T @ design)
    wanted = residuals.sd**2 * inverse @ design.T @ sigma @ design @ inverse
    assert covariance_of(design, residuals) == pytest.approx(wanted)
    hat = design @ inverse @ design.T
    assert residuals.sd**2 == pytest.approx(left @ left / (30 - np.trace(hat @ sigma)))


def test_correlations_are_unbiased() -> None:
    x = np.arange(60.0)
    found = []
    for seed in range(80):
        y = noise(60, 0.6, seed)
        found.append(correlation_of(y - np.polyval(np.polyfit(x, y, 1), x)))
    assert np.mean(found) == pytest.approx(0.6, abs=0.06)


def fronts(n_columns: int = 64, spread: float = 0.0) -> pd.DataFrame:
    rows = []
    for t in range(20):
        speed = 2.0 + spread * np.linspace(-1, 1, n_columns)
        depth = speed * t + 0.01 * noise(n_columns, 0.0, t)
        rows += [(t, t * 0.5, "1/2", "column", x, depth[x]) for x in range(n_columns)]
        rows.append((t, t * 0.5, "1/2", "mean", np.nan, depth.mean()))
    table = pd.DataFrame(rows, columns=["frame", "time_s", "front", "kind", "column_px", "depth_px"])
    return table.assign(depth_nm=table["depth_px"] * 0.1)


def test_a_front_is_told_in_nm_a_second_and_its_spread_widens_the_interval() -> None:
    steady, uneven = front_velocity(fronts()), front_velocity(fronts(spread=0.5), "1/2")
    for velocity in (steady, uneven):
        assert velocity.unit == "nm/s" and velocity.value == pytest.approx(0.4, abs=0.002)
    assert uneven.block_sd > 5 * steady.block_sd
    assert uneven.high - uneven.low > 5 * (steady.high - steady.low)
    plain = fronts().assign(depth_nm=np.nan, time_s=np.nan)
    velocity = front_velocity(plain)
    assert velocity.unit == "px/frame" and velocity.value == pytest.approx(2, abs=0.01)


def test_what_has_no_speed_is_refused() -> None:
    with pytest.raises(TrackError, match="at least 5"):
        fit_velocity([0, 1, 2], [0, 1, 2])
    with pytest.raises(TrackError, match="confidence"):
        fit_velocity(np.arange(9), np.arange(9), confidence=1.0)
    with pytest.raises(TrackError, match="wanted one of '1/2'"):
        front_velocity(fronts(), "2/3")
    with pytest.raises(TrackError, match="dose"):
        front_velocity(fronts(), against="dose_e_per_nm2")
