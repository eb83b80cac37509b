from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.refine import RefineError, Steady


def plainly(window, at, steady, shifts=None):
    """Posterior of every path through the classes, summed by brute force: log of the marginal at ``at``."""
    first, last = max(at - steady.lag, 0), min(at + steady.lag, len(window) - 1)
    n = window[at].shape[-1]
    leave = (1 - steady.stay) / max(n - 1, 1)
    out = np.zeros(window[at].shape)
    for point in np.ndindex(window[at].shape[:2]):
        marginal = np.zeros(n)
        for path in np.ndindex(*(n,) * (last - first + 1)):
            weight = 1.0
            for step, k in enumerate(path):
                frame = window[first + step]
                # the frame itself counts in full afterwards
                weight *= 1.0 if frame is None or first + step == at else np.exp(steady.weight * frame[point][k])
                if step:
                    weight *= steady.stay if path[step - 1] == k else leave
            marginal[path[at - first]] += weight
        out[point] = window[at][point] + np.log(marginal) / steady.weight
    return out


def alike(one, other):
    """Equal up to a constant of the point."""
    np.testing.assert_allclose(one - one.max(-1, keepdims=True), other - other.max(-1, keepdims=True), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_frames=st.integers(1, 5),
    n_classes=st.integers(1, 3),
    lag=st.integers(1, 4),
    stay=st.floats(0.4, 0.999),
    weight=st.floats(0.1, 1.0),
    gap=st.integers(0, 4),
)
def test_equals_the_sum_over_all_paths(seed, n_frames, n_classes, lag, stay, weight, gap):
    window = list(np.random.default_rng(seed).normal(0, 2, (n_frames, 2, 3, n_classes)).astype(np.float32))
    at = seed % n_frames
    if gap < n_frames and gap != at:
        window[gap] = None
    steady = Steady(lag=lag, stay=stay, weight=weight)
    alike(steady(window, at), plainly(window, at, steady))


def test_a_front_is_neither_late_nor_early():
    """White noise on a front of one point a frame: the mean place is right, and the rms smaller than the raw one's."""
    rng = np.random.default_rng(0)
    n_frames, width = 40, 60
    truth = np.arange(n_frames)[:, None] + 8 > np.arange(width)[None]  # True on the left, growing
    side = np.where(truth, 1.0, -1.0)[:, None, :] + rng.normal(0, 1.2, (n_frames, 30, width))
    window = list(np.stack([side, -side], axis=-1).astype(np.float32))
    steady = Steady(lag=4, stay=0.99, weight=1.0)
    smooth = np.stack([steady(window, at).argmax(-1) for at in range(n_frames)])
    raw = (side < 0).astype(int)
    right = (~truth[:, None, :]).astype(int)
    assert (smooth != right).mean() < 0.2 * (raw != right).mean()
    middle = slice(5, 35)
    ahead = (smooth[middle] == 0).sum(-1) - (right[middle] == 0).sum(-1)
    assert abs(ahead.mean()) < 0.15


def test_flicker_of_white_noise_falls_below_a_tenth():
    rng = np.random.default_rng(1)
    scores = 1.0 + rng.normal(0, 1.0, (30, 20, 20))
    window = list(np.stack([scores, -scores], axis=-1).astype(np.float32))
    smooth = np.stack([Steady(lag=4, weight=1.0)(window, at).argmax(-1) for at in range(30)])
    raw = np.stack([frame.argmax(-1) for frame in window])

    def flicker(labels):
        return (labels[1:] != labels[:-1]).mean()

    assert flicker(raw) > 0.2
    assert flicker(smooth) < 0.1 * flicker(raw)


def test_the_specimen_is_read_where_it_was():
    """A pattern that moves by whole and half points: with its shifts it is as good as one that rests."""
    rng = np.random.default_rng(2)
    pattern = np.where(np.add.outer(np.arange(60) // 6, np.arange(60) // 6) % 2, 1.0, -1.0)
    moves = np.array([(0, 0), (3, -2), (5, 1), (8, 4), (10, 3)], float)
    frames = [np.roll(pattern, move.astype(int), (0, 1)) for move in moves]
    window = [
        np.stack([f, -f], axis=-1).astype(np.float32) + rng.normal(0, 1.0, (60, 60, 2)).astype(np.float32)
        for f in frames
    ]
    steady, core = Steady(lag=2, weight=1.0), np.s_[12:48, 12:48]
    right = (frames[2] < 0).astype(int)[core]

    def wrong(shifts):
        return (steady(window, 2, shifts).argmax(-1)[core] != right).mean()

    assert wrong(moves) < 0.03
    assert wrong(None) > 3 * wrong(moves)
    assert wrong(moves + 100.0) == wrong(moves)  # only differences count


def test_half_a_point_lies_halfway():
    left = np.zeros((1, 8, 2), np.float32)
    left[0, :, 0] = np.arange(8)
    now = np.zeros((1, 8, 2), np.float32)
    steady = Steady(lag=1, weight=1.0, stay=0.9)
    out = steady([left, now], 1, [(0, 0.5), (0, 0)])
    halfway = np.zeros((1, 8, 2), np.float32)
    halfway[0, :7, 0] = np.arange(7) + 0.5
    halfway[0, 7, 0] = 7.0
    alike(out, steady([halfway, now], 1))


def test_what_lies_beyond_the_frame_says_nothing():
    rng = np.random.default_rng(3)
    window = list(rng.normal(0, 2, (2, 6, 6, 2)).astype(np.float32))
    out = Steady(lag=1)(window, 1, [(0, -3), (0, 0)])
    alike(out[:, :3], Steady(lag=1)([None, window[1]], 1)[:, :3])
    for far in (np.inf, np.nan, 1e6):
        alike(Steady(lag=1)(window, 1, [(far, 0), (0, 0)]), Steady(lag=1)([None, window[1]], 1))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), y=st.integers(0, 12), x=st.integers(0, 12))
def test_a_part_equals_the_whole_to_the_bit(seed, y, x):
    rng = np.random.default_rng(seed)
    window = list(rng.normal(0, 2, (5, 30, 26, 3)).astype(np.float32))
    shifts = rng.uniform(-2.5, 2.5, (5, 2))
    whole = Steady()(window, 2, shifts)
    cut = np.s_[y : y + 18, x : x + 14]
    parts = [np.ascontiguousarray(frame[cut]) for frame in window]
    inside = np.s_[6:12, 6:8]  # as far inside as the largest shift
    got = Steady()(parts, 2, shifts, inside=inside)
    np.testing.assert_array_equal(got, whole[cut][inside])


def test_inputs_stay_and_errors_tell():
    window = list(np.random.default_rng(4).normal(0, 1, (3, 4, 4, 2)).astype(np.float32))
    before = [frame.copy() for frame in window]
    Steady()(window, 1, np.ones((3, 2)))
    for frame, old in zip(window, before, strict=True):
        np.testing.assert_array_equal(frame, old)
    with pytest.raises(RefineError, match="the frame itself"):
        Steady()([None, None], 0)
    with pytest.raises(RefineError, match="beside"):
        Steady()([window[0], window[1][:2]], 0)
    for fields in ({"lag": 0}, {"stay": 1.0}, {"weight": 0.0}, {"weight": 1.5}):
        with pytest.raises(RefineError, match="wanted"):
            Steady(**fields)
