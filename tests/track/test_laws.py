"""Laws of kinetics: parameters recovered, named only where the data decide."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.track.errors import TrackError
from emreel.track.laws import fit_kinetics

T = np.arange(60.0)
CURVES = {
    "linear": (2 + 0.8 * T, {"v": 0.8}),
    "parabolic": (1 + np.sqrt(30 * T), {"k": 30.0}),
    "power": (1 + 0.3 * T**1.5, {"a": 0.3, "n": 1.5}),
    "avrami": (2 + 60 * (1 - np.exp(-((T / 20) ** 1.8))), {"A": 60.0, "tau": 20.0, "n": 1.8}),
    "pieces": (np.interp(T, [0, 25, 40, 59], [0, 30, 31, 60]), {}),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_law_is_found_with_its_parameters(name: str) -> None:
    curve, parameters = CURVES[name]
    y = curve + np.random.default_rng(2).normal(0, 0.3, len(T))
    y[17] += 50  # an outlier
    found = fit_kinetics(T, y)
    assert found.name == name
    law = found.law(name)
    for key, value in parameters.items():
        estimate = law.parameters[key]
        assert estimate.value == pytest.approx(value, rel=0.1)
        assert estimate.low < estimate.value < estimate.high
    assert np.sqrt(np.mean((law.curve - curve) ** 2)) < 1.5


@pytest.mark.parametrize(("name", "exponent"), [("linear", 1.0), ("parabolic", 0.5), ("power", 1.5)])
def test_exponents_lie_in_their_intervals(name: str, exponent: float) -> None:
    """The same 20 movies at every run; at least 16 intervals of 95 % hold the exponent."""
    curve, covered = CURVES[name][0], 0
    for seed in range(20):
        found = fit_kinetics(T, curve + np.random.default_rng([seed, 5]).normal(0, 0.5, len(T)))
        assert found.exponent is not None
        covered += found.exponent.low <= exponent <= found.exponent.high
    assert covered >= 16


def test_a_short_noisy_curve_is_not_decided() -> None:
    t = np.arange(12.0)
    found = fit_kinetics(t, 10 * np.random.default_rng(3).normal(0, 1, 12))
    assert found.name == "not decided"
    assert {"law", "delta_aicc", "parameter", "value", "low", "high"} == set(found.table().columns)
    assert found.table()["delta_aicc"].min() == 0


def test_an_incubation_is_left_out() -> None:
    y = np.where(T < 20, 5.0, 5 + np.sqrt(25 * np.maximum(T - 20, 0)))
    found = fit_kinetics(T, y + np.random.default_rng(1).normal(0, 0.1, len(T)), start=20.0)
    assert found.name == "parabolic"
    assert found.law("parabolic").parameters["k"].value == pytest.approx(25, rel=0.05)


def test_a_sudden_rise_is_no_law_of_growth() -> None:
    y = np.where(T < 30, 5.0, 9.0) + np.random.default_rng(4).normal(0, 0.3, len(T))
    assert fit_kinetics(T, y).name in ("pieces", "not decided")


def test_too_few_points_are_refused() -> None:
    with pytest.raises(TrackError, match="at least 12"):
        fit_kinetics(np.arange(5), np.arange(5))
    with pytest.raises(TrackError, match="was not fitted"):
        fit_kinetics(T, CURVES["linear"][0]).law("cubic")
