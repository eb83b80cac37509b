"""Pictures of grains: what is drawn where."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from emreel.track.grains import measure_grains
from emreel.view.errors import ViewError
from emreel.view.grains import draw_grain_sizes, draw_grains, grain_boundaries, grain_colors, grains_rgb


@pytest.fixture
def grains():
    """Three grains, and nothing in the upper right corner."""
    grains = np.ones((40, 60), np.int32)
    grains[:, 30:] = 2
    grains[20:, 30:] = 3
    grains[:10, 50:] = 0
    return grains


@pytest.fixture
def frame(grains):
    return np.random.default_rng(0).poisson(50, grains.shape).astype(np.float32)


def test_boundaries_lie_between_grains_and_nowhere_else(grains):
    edge = grain_boundaries(grains)
    assert edge[:, 29].all() and edge[19, 30:].all() and edge[9, 50:].all()
    assert not edge[:, :29].any() and not edge[25:, 31:].any()
    wide = grain_boundaries(grains, 3)
    assert wide[:, 28:31].all() and not wide[:, :28].any()
    assert not grain_boundaries(np.ones((5, 6), np.int32), 3).any()


def test_grains_are_tinted_and_what_is_none_is_dark(frame, grains):
    rgb = grains_rgb(frame, grains)
    assert rgb.shape == (*grains.shape, 3) and rgb.dtype == np.uint8
    assert np.all(rgb[grain_boundaries(grains)] == 255)
    flat = grains_rgb(np.full(grains.shape, 7.0), grains)
    inside = [flat[5, 5], flat[5, 40], flat[35, 50], flat[3, 57]]
    assert len({tuple(color) for color in inside}) == 4
    np.testing.assert_array_equal(inside[3], 0)
    for color, drawn in zip(grain_colors(3), inside, strict=False):
        assert np.corrcoef(color, drawn)[0, 1] > 0.99
    brighter = grains_rgb(frame + 1000 * (np.arange(60) > 30), grains)
    assert brighter[5, 40].sum() > brighter[5, 10].sum()


def test_many_grains_have_many_colors():
    colors = grain_colors(60)
    assert len(set(colors)) == 60
    assert min(np.abs(np.subtract(a, b)).sum() for a, b in pairwise(colors)) > 100


def test_the_picture_has_a_scale_bar(frame, grains):
    for size_nm, text in ((2.0, "20 nm"), (None, "10 px")):
        figure = draw_grains(frame, grains, pixel_size_nm=size_nm)
        figure.canvas.draw()
        texts = [child.get_text() for child in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
        assert text in texts
        width, height = figure.get_size_inches()
        assert 5 <= width < 5.5 and height < width


def test_areas_as_histogram_and_boxes(grains):
    table = measure_grains(grains, pixel_size_nm=100.0)
    other = measure_grains(np.kron(grains, np.ones((2, 2), np.int32)), pixel_size_nm=100.0)
    figure = draw_grain_sizes({"22 °C": table, "31 °C": other})
    figure.canvas.draw()
    left, right = figure.axes
    assert left.get_xlabel() == "grain area (µm²)"
    drawn = sum(patch.get_path().vertices[:, 1].max() for patch in left.patches)
    assert drawn >= 2
    legend = [text.get_text() for text in left.get_legend().get_texts()]
    assert legend[0].startswith(f"22 °C: 3 grains, mean {table['area_um2'].mean():.3g}, median ")
    assert [text.get_text() for text in right.get_xticklabels()] == ["22 °C", "31 °C"]
    medians = [line.get_ydata()[0] for line in right.lines if len(line.get_ydata()) == 2]
    assert any(np.isclose(median, table["area_um2"].median()) for median in medians)
    bare = draw_grain_sizes({"": measure_grains(grains)})
    assert bare.axes[0].get_xlabel() == "grain area (px)"


def test_nothing_to_draw_is_refused(frame, grains):
    with pytest.raises(ViewError, match="got"):
        draw_grains(frame[:-1], grains)
    with pytest.raises(ViewError, match="tables"):
        draw_grain_sizes({})
    with pytest.raises(ViewError, match="grain in each"):
        draw_grain_sizes({"none": measure_grains(np.zeros((9, 9), np.int32))})
