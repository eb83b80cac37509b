"""The slow field of a movie: found under phases, and left to its stated accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.geometry import Tile
from emreel.movie import make_movie
from emreel.prepare.background import Background, BackgroundError, block_px, learn_background
from emreel.prepare.flicker import BlockSums
from emreel.prepare.measure import learn_movie_background
from emreel.synthetic.catalog import make_scene


@settings(max_examples=20, deadline=None)
@given(tilt=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)), bow=st.floats(-0.3, 0.3), seed=st.integers(0, 99))
def test_a_field_over_three_phases_is_found(tilt: tuple[float, float], bow: float, seed: int) -> None:
    y, x = np.mgrid[-1:1:128j, -1:1:160j]
    truth = tilt[0] * y + tilt[1] * x + bow * x**2
    phases = np.select([y + 0.2 * x < -0.3, np.hypot(y - 0.3, x) < 0.4], [0.5, 2.0], 1.0)
    frame = np.random.default_rng(seed).poisson(400 * phases * np.exp(truth))
    size = block_px((128, 160))
    found = learn_background(BlockSums.of(frame, np.ones(frame.shape, bool), size), (128, 160))
    off = np.log(found.field(Tile(0, 128, 0, 160))) - truth
    assert off.std() < 0.03


@pytest.mark.parametrize(
    ("kind", "most"), [("front", 0.08), ("grain_growth", 0.05), ("order_disorder", 0.02), ("decahedron", 0.03)]
)
def test_illumination_of_generated_movies(kind: str, most: float) -> None:
    """Under 20 % rms of illumination; what is left is as the module says."""
    scene = make_scene(
        kind, shape_yx=(192, 224), n_frames=8, dose=20.0, dtype="float32", seed=2, flicker=0.1, thickness_variation=0.0
    )
    y, x = np.mgrid[-1:1:192j, -1:1:224j]
    light = np.exp(0.3 * (x - 0.5 * y + 0.5 * x * y - 0.4 * x**2))
    rng = np.random.default_rng(0)
    movie = make_movie(np.stack([rng.poisson(scene.expected(i) * light).astype(np.float32) for i in range(8)]))
    found = learn_movie_background(movie)
    assert np.std(np.log(found.field(Tile(0, 192, 0, 224)) / light)) < most < np.std(np.log(light))
    assert found.depth == pytest.approx(np.std(np.log(light)), abs=most)


def test_a_tile_is_as_in_the_whole() -> None:
    background = Background(shape_yx=(90, 120), terms=((1, 0, 0.2), (0, 2, -0.1), (1, 1, 0.05)))
    frame = np.random.default_rng(0).poisson(50, (90, 120)).astype(np.float32)
    whole = background(frame, Tile(0, 90, 0, 120))
    tile = Tile(10, 64, 33, 120)
    np.testing.assert_allclose(background(frame[tile.slices], tile), whole[tile.slices], rtol=1e-6)
    np.testing.assert_array_equal(Background(shape_yx=(90, 120))(frame, Tile(0, 90, 0, 120)), frame)


def test_dead_pixels_and_blank_frames_do_not_count() -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(0.7, 1.3, 128) * np.ones((96, 1))
    frames = np.stack([rng.poisson(200 * light) for _ in range(4)]).astype(np.float32)
    clean = learn_movie_background(make_movie(frames))
    frames[1] = 0
    frames[2, 10:20, 30:70] = np.nan
    dirty = learn_movie_background(make_movie(frames))
    tile = Tile(0, 96, 0, 128)
    np.testing.assert_allclose(dirty.field(tile), clean.field(tile), rtol=0.02)


def test_errors_say_what_is_wanted() -> None:
    sums = BlockSums.of(np.ones((8, 8)), np.ones((8, 8), bool), 8)
    with pytest.raises(BackgroundError, match="at least 2 along each axis"):
        learn_background(sums, (8, 8))
    with pytest.raises(BackgroundError, match="degree 9"):
        learn_background(sums, (8, 8), degree=9)
