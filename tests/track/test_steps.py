"""Kernels of steps against plainly written ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.track.steps import cut_rays, fit_path, fit_steps, refine_steps


def signed_rays(seed: int, n: int, n_rays: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    edge = rng.integers(0, n + 1, n_rays)
    step = np.where(np.arange(n)[:, None] < edge, 1.0, -1.0)
    return np.clip(step + rng.normal(0, 0.8, (n, n_rays)), -1, 1).astype(np.float32)


def best_step(signed: np.ndarray) -> float:
    """The most evidence that any edge has, by trying them all."""
    return max(float(signed[:e].sum() - signed[e:].sum()) for e in range(len(signed) + 1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40))
def test_a_step_fit_has_the_most_evidence(seed: int, n: int) -> None:
    signed = signed_rays(seed, n, 5).astype(np.float64).astype(np.float32)
    edges = fit_steps(signed, np.zeros(5, np.int64), np.full(5, n))
    for j, edge in enumerate(edges):
        ray = signed[:, j].astype(np.float64)
        assert ray[:edge].sum() - ray[edge:].sum() == pytest.approx(best_step(ray), abs=1e-4)


def test_a_step_lies_in_the_middle_of_what_belongs_to_neither_side() -> None:
    signed = np.concatenate([np.ones(10), np.zeros(6), -np.ones(10)]).astype(np.float32)[:, None]
    assert fit_steps(signed, np.zeros(1, np.int64), np.full(1, 26)).tolist() == [13]


def test_a_step_stays_between_its_bounds() -> None:
    signed = np.where(np.arange(30) < 20, 1, -1).astype(np.float32)[:, None]
    assert fit_steps(signed, np.array([3]), np.array([12])).tolist() == [12]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), least=st.floats(0.1, 4))
def test_cuts_have_the_most_evidence_less_what_changes_cost(seed: int, n: int, least: float) -> None:
    signed = signed_rays(seed, n, 3)
    side = cut_rays(signed, least)
    for j in range(3):
        ray = signed[:, j].astype(np.float64)

        def worth(states: np.ndarray, ray: np.ndarray = ray) -> float:
            return float(states @ ray) - least * int((states[1:] != states[:-1]).sum())

        most = max(worth(np.array(states)) for states in itertools.product((1, -1), repeat=n))
        assert worth(side[:, j].astype(float)) == pytest.approx(most, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), stiffness=st.floats(0.2, 3))
def test_a_path_is_the_best_of_all_paths(seed: int, stiffness: float) -> None:
    signed = signed_rays(seed, 5, 4)
    edges = fit_path(signed, np.zeros(4, np.int64), np.full(4, 5), stiffness)
    score = np.concatenate([np.zeros((1, 4)), np.cumsum(signed.astype(np.float64), axis=0)])

    def worth(path: tuple[int, ...]) -> float:
        return float(score[list(path), range(4)].sum()) - stiffness * float(np.abs(np.diff(path)).sum())

    most = max(worth(path) for path in itertools.product(range(6), repeat=4))
    assert worth(tuple(edges.tolist())) == pytest.approx(most, abs=1e-4)


def test_a_path_goes_past_an_island_that_a_step_fit_follows() -> None:
    signed = np.where(np.arange(60)[:, None] < 20, 1, -1).repeat(21, axis=1).astype(np.float32)
    signed[30:60, 10] = 1
    low, high = np.zeros(21, np.int64), np.full(21, 60)
    assert fit_steps(signed, low, high)[10] == 60
    assert fit_path(signed, low, high, 2.0).tolist() == [20] * 21


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("width", [0.5, 2.0])
def test_positions_are_those_of_smooth_rises(shift: float, width: float) -> None:
    at = np.arange(60) + 0.5
    second = (1 / (1 + np.exp(-(at - 30 - shift) / width))).astype(np.float32)[:, None]
    position, margin = refine_steps(1 - second, second, np.array([30]), 8, 4)
    assert position[0] == pytest.approx(30 + shift, abs=0.06)
    assert 4 < margin[0] <= 8


def test_the_window_ends_where_a_third_class_begins() -> None:
    first, second = np.zeros((40, 1), np.float32), np.zeros((40, 1), np.float32)
    first[17:20], second[20:] = 1, 1
    position, margin = refine_steps(first, second, np.array([20]), 8, 4)
    assert (position[0], margin[0]) == (20, 3)


@pytest.mark.parametrize("missing", ["first", "second"])
def test_no_margin_where_a_side_is_missing(missing: str) -> None:
    full, none = np.ones((40, 1), np.float32), np.zeros((40, 1), np.float32)
    first, second = (none, full) if missing == "first" else (full, none)
    for edge in (0, 20, 40):
        assert refine_steps(first, second, np.array([edge]), 8, 4)[1][0] <= 0
