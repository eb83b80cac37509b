"""The shortest repeat: drawn lattices, twins, stripes, and the movies and images whose lattice is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.peaks import learn_peaks
from emreel.descriptors.repeat import find_repeat
from emreel.fit.sample import take_sample
from emreel.io import open_movie
from emreel.recipe import Recipe


def reflections(cell_yx: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """The n shortest reflections of a real-space cell (rows), one of each pair, in any order."""
    reciprocal = np.linalg.inv(cell_yx).T
    k = np.arange(-4, 5)
    indices = np.array([(h, m) for h in k for m in k if (h, m) > (0, 0)])
    g = indices @ reciprocal
    g = g[np.argsort(np.hypot(*g.T))][:n]
    return np.random.default_rng(seed).permutation(g)


@settings(max_examples=60, deadline=None)
@given(
    length=st.floats(4, 40),
    ratio=st.floats(1, 1.8),
    angle_deg=st.floats(62, 118),
    turn_deg=st.floats(0, 180),
    n=st.integers(6, 12),
)
def test_the_shortest_vector_of_any_lattice(
    length: float, ratio: float, angle_deg: float, turn_deg: float, n: int
) -> None:
    turn, angle = np.deg2rad([turn_deg, angle_deg])
    a = length * np.array([np.sin(turn), np.cos(turn)])
    b = ratio * length * np.array([np.sin(turn + angle), np.cos(turn + angle)])
    shortest = min(np.hypot(*(i * a + j * b)) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0))
    found = find_repeat(reflections(np.array([a, b]), n))
    assert found is not None
    assert found.length_px == pytest.approx(shortest, rel=1e-6)
    assert found.n_held == n


@pytest.mark.parametrize("seed", range(5))
def test_twins_have_the_repeat_of_one_of_them(seed: int) -> None:
    """fcc along [110] and its twin: columns a sqrt(3/8) apart; reflections measured to a thousandth of a cycle."""
    rng = np.random.default_rng(seed)
    a = 13.6
    cell = np.array([[a / 2, a / np.sqrt(8)], [a / 2, -a / np.sqrt(8)]])
    turn = np.deg2rad(70.53)
    twin = cell @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    g = np.concatenate([reflections(cell, 7), reflections(twin, 5)]) + rng.normal(0, 2e-4, (12, 2))
    found = find_repeat(g)
    assert found is not None
    assert found.length_px == pytest.approx(a * np.sqrt(3 / 8), rel=0.01)


def test_stripes_and_nothing() -> None:
    stripes = find_repeat([(0.06, 0.08), (0.12, 0.16)])
    assert stripes is not None
    assert stripes.length_px == pytest.approx(10)
    assert stripes.cell_yx.shape == (1, 2)
    assert find_repeat([]) is None


MOVIES = ("front_lfo_sto", "nasty_front", "twin_lamella", "decahedron_axis", "order_disorder", "grain_growth")
#: Single crystals: the repeat is where their autocorrelation has its nearest high peak.
CRYSTALS = ("srtio3_haadf.jpg", "sto_haadf_tia.tif", "snse_673k_haadf.tif", "raw_16_STOimage_1.ser")


@pytest.mark.data
@pytest.mark.parametrize("name", MOVIES)
def test_movies(name: str, data_dir: Path) -> None:
    peaks = learn_peaks(take_sample([open_movie(data_dir / name / "movie.npz")], Recipe()).fold)
    repeat = find_repeat(peaks.g_yx)
    length_px = peaks.ring_period_px if repeat is None else repeat.length_px
    assert length_px == pytest.approx(json.loads((data_dir / name / "meta.json").read_text())["lattice_px"], rel=0.03)


@pytest.mark.data
@pytest.mark.parametrize("name", CRYSTALS)
def test_real_crystals(name: str, data_dir: Path) -> None:
    movie = open_movie(data_dir / "real" / name)
    repeat = find_repeat(learn_peaks(take_sample([movie], Recipe()).fold).g_yx)
    assert repeat is not None
    frame = movie[0].values.astype(float)
    frame = (frame - frame.mean()) * np.outer(*(np.hanning(n) for n in frame.shape))
    correlation = np.fft.fftshift(np.fft.irfft2(np.abs(np.fft.rfft2(frame)) ** 2, s=frame.shape))
    middle = np.array(frame.shape) // 2
    y, x = np.rint(middle + repeat.cell_yx[0]).astype(int)
    near = correlation[y - 4 : y + 5, x - 4 : x + 5]
    top = np.add(np.unravel_index(near.argmax(), near.shape), (y - 4, x - 4)) - middle
    assert np.hypot(*top) == pytest.approx(repeat.length_px, rel=0.03)
    assert near.max() > 0.5 * correlation.max()
