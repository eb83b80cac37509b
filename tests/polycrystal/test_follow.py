from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.orientation import angle_between
from emreel.polycrystal import GrainError, GrainFollower, GrainState
from emreel.synthetic.grains import power_diagram

FOLD, STRIDE, PERIOD = 4, 4, 12.0
FOLLOWER = GrainFollower(fold=FOLD, stride=STRIDE, period_px=PERIOD, weights=(0.7, 0.4))


def maps_of(angle_deg, noise=0.0, seed=0):
    """What `Ring` would tell of a frame whose pixels have these angles, NaN where there is no lattice."""
    rng = np.random.default_rng(seed)
    at = angle_deg[::STRIDE, ::STRIDE]
    ordered = np.isfinite(at)
    phase = np.deg2rad(np.where(ordered, at, 0.0))
    waves = np.stack([w * np.exp(1j * m * FOLD * phase) for m, w in ((1, 0.7), (2, 0.4))], axis=-1) * ordered[..., None]
    waves = waves + noise * (rng.normal(size=waves.shape) + 1j * rng.normal(size=waves.shape))
    return ordered.astype(np.float32), waves.astype(np.complex64), np.isfinite(angle_deg)


def follow(frames, follower=FOLLOWER, **options):
    state, out = None, []
    for index, frame in enumerate(frames):
        state, region = follower.step(state, *maps_of(frame, seed=index, **options))
        out.append((state, region))
    return out


def halves(edge_px, angles=(10.0, 40.0), shape_yx=(120, 160)):
    return np.where(np.arange(shape_yx[1]) < edge_px, *angles) * np.ones((shape_yx[0], 1))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), noise=st.sampled_from([0.0, 0.1]))
def test_finds_the_cells_of_a_drawn_polycrystal(seed, noise):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:192, :192].astype(np.float32)
    centres = np.stack(np.meshgrid([32, 96, 160], [32, 96, 160]), axis=-1).reshape(-1, 2) + rng.uniform(-12, 12, (9, 2))
    cells = power_diagram(y, x, centres, np.zeros(9))
    angles = rng.permutation(9) * 10.0
    (state, region), *_ = follow([angles[cells]], noise=noise)
    assert len(state.angles_deg) == 9
    for cell in range(9):
        names, counts = np.unique(region[cells == cell], return_counts=True)
        assert counts.max() > 0.93 * counts.sum()
        assert abs(angle_between(state.angles_deg[int(names[counts.argmax()])], angles[cell], FOLD)) < 1


def test_a_moving_boundary_is_followed_without_lag_and_names_stay():
    edges = [60, 63, 66, 69, 75, 81, 87, 100]
    for edge, (state, region) in zip(edges, follow([halves(edge) for edge in edges], noise=0.05), strict=True):
        assert set(np.unique(region)) == {1, 2}
        assert np.abs((region == 1).sum(axis=1) - edge).max() <= STRIDE
        assert state.angles_deg.keys() == {1, 2}


def test_a_grain_that_shrinks_away_is_gone_and_its_name_never_comes_back():
    edges = [120, 80, 40, 16, 4, 0, 0, 60]
    states = follow([halves(edge) for edge in edges])
    there = [set(state.angles_deg) for state, _ in states]
    assert there[0] == {1, 2} and there[2] == {1, 2}
    assert there[5] == there[6] == {2}
    # what grows anew is a new grain
    assert there[7] == {2, 3}
    assert states[7][0].angles_deg[3] == pytest.approx(10.0, abs=1.5)


def test_an_overgrown_grain_does_not_live_on_with_its_neighbours_angle():
    frames = [halves(60)] * 3 + [halves(0)] * 2
    assert set(follow(frames)[-1][0].angles_deg) == {2}


def test_a_turning_grain_keeps_its_name():
    frames = [halves(80, angles=(10.0, 40.0 + 0.3 * step)) for step in range(20)]
    state, _ = follow(frames)[-1]
    assert state.angles_deg.keys() == {1, 2}
    assert state.angles_deg[2] == pytest.approx(45.7, abs=3.0)


def test_neighbours_of_nearly_one_angle_stay_two_when_they_were():
    """They are told apart by where they were; new grains of so small a difference would be merged."""
    frames = [halves(80, angles=(10.0, 13.0)), halves(80, angles=(10.0, 30.0)), halves(80, angles=(10.0, 24.0))]
    first, second, third = (state.angles_deg for state, _ in follow(frames))
    assert len(first) == 1
    assert len(second) == len(third) == 2


def test_pores_belong_to_no_grain():
    frame = halves(80)
    frame[40:60, 60:100] = np.nan
    _, region = follow([frame, frame])[-1]
    np.testing.assert_array_equal(region == 0, np.isnan(frame))


def test_the_state_comes_back_from_json_and_its_map():
    import json

    frames = [halves(edge) for edge in (60, 64, 68, 72)]
    straight = follow(frames)
    state, region = straight[1]
    read = GrainState.from_json(json.loads(json.dumps(state.to_json())), region[::STRIDE, ::STRIDE])
    for index in (2, 3):
        read, again = FOLLOWER.step(read, *maps_of(frames[index], seed=index))
        np.testing.assert_array_equal(again, straight[index][1])
        assert read.to_json() == straight[index][0].to_json()


def test_inputs_stay_as_they_were():
    maps = maps_of(halves(60))
    before = [array.copy() for array in maps]
    state, _ = FOLLOWER.step(None, *maps)
    kept = state.regions.copy()
    FOLLOWER.step(state, *maps)
    for array, old in zip((*maps, state.regions), (*before, kept), strict=True):
        np.testing.assert_array_equal(array, old)


def test_folds_and_the_angle_that_is_merged():
    angles = {fold: GrainFollower(fold=fold, stride=4, period_px=12.0, weights=(1.0,)).merge_deg for fold in (2, 4, 6)}
    assert angles == {2: 4.0, 4: 4.0, 6: pytest.approx(2.667, abs=1e-3)}


def test_refuses_what_does_not_fit():
    amplitude, waves, lattice = maps_of(halves(60))
    state, _ = FOLLOWER.step(None, amplitude, waves, lattice)
    with pytest.raises(GrainError, match="wanted"):
        FOLLOWER.step(None, amplitude[1:], waves, lattice)
    with pytest.raises(GrainError, match="harmonics"):
        FOLLOWER.step(None, amplitude, waves[..., :1], lattice)
    smaller = maps_of(halves(60, shape_yx=(80, 160)))
    with pytest.raises(GrainError, match="as before"):
        FOLLOWER.step(state, *smaller)
    for fields in (
        {"fold": 1},
        {"stride": 0},
        {"memory": 0.0},
        {"coupling": -1.0},
        {"weights": ()},
        {"period_px": 0.0},
    ):
        with pytest.raises(GrainError, match="wanted"):
            GrainFollower(**({"fold": 4, "stride": 4, "period_px": 12.0, "weights": (1.0,)} | fields))
