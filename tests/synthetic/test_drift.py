from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.synthetic import Drift, SceneError


def test_steady_drift_turns_back_at_its_limit():
    drift = Drift(drift_px_per_frame=(1.0, -0.5), drift_limit_px=4.0)
    path = np.array([drift.at(i, 0) for i in range(40)])
    np.testing.assert_allclose(path[:5, 0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(path[4:13, 0], [4, 3, 2, 1, 0, -1, -2, -3, -4])
    np.testing.assert_allclose(path[:9, 1], -0.5 * np.arange(9))
    assert np.abs(path).max() <= 4
    assert np.allclose(np.abs(np.diff(path, axis=0)), [1.0, 0.5])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), jitter=st.floats(0.1, 2))
def test_jitter_is_white(seed, jitter):
    path = np.array([Drift(jitter_px=jitter).at(i, seed) for i in range(800)])
    assert path.std() == pytest.approx(jitter, rel=0.12)
    for axis in (0, 1):
        assert abs(np.corrcoef(path[1:, axis], path[:-1, axis])[0, 1]) < 0.15
    assert abs(np.corrcoef(path.T)[0, 1]) < 0.15


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_wander_is_slow_and_as_large_as_told(seed):
    drift = Drift(wander_px=3.0, wander_frames=50)
    path = np.array([drift.at(i, seed) for i in range(0, 20_000, 19)])
    np.testing.assert_allclose(path[0], 0, atol=1e-12)
    # five waves of equal strength: the root mean square over a long time is exact but for slow beats
    assert path.std(axis=0) == pytest.approx([3.0, 3.0], rel=0.25)
    steps = np.diff([drift.at(i, seed) for i in range(300)], axis=0)
    assert np.hypot(*steps.T).max() < 3.0 * np.sqrt(2 / 5) * 5 * 2 * np.pi / 30 * np.sqrt(2)


def test_senseless_drifts_are_refused():
    for parameters, message in [
        ({"drift_px_per_frame": 0.5}, "two numbers"),
        ({"drift_limit_px": 0.0}, "drift_limit_px"),
        ({"jitter_px": -1.0}, "jitter_px"),
    ]:
        with pytest.raises(SceneError, match=message):
            Drift(**parameters)
