"""The overview: the right frames, the right fractions, on one page that cuts nothing off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import StepPatch
from PIL import Image

from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.label import label_movie
from emreel.result import Result, open_result
from emreel.synthetic import make_scene
from emreel.view import draw_overview, overlay_rgb, save_overview
from emreel.view.overview import class_fractions, frame_edges
from emreel.view.pictures import Pictures

MakeResult = Callable[..., Result]
COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))


def growing(shape_tyx: tuple[int, int, int]) -> np.ndarray:
    """Class 2 grows downwards into class 1."""
    label = np.ones(shape_tyx, np.uint8)
    for frame, part in enumerate(label):
        part[: round((frame + 1) / (shape_tyx[0] + 1) * shape_tyx[1])] = 2
    return label


def test_shows_frames_over_the_whole_movie(make_result: MakeResult) -> None:
    label = growing((12, 30, 30))
    gray = np.random.default_rng(0).integers(0, 256, label.shape, dtype=np.uint8)
    figure = draw_overview(make_result(label, gray, times_s=np.arange(12) * 0.5))
    pictures = [axes for axes in figure.axes if axes.images]
    frames = [0, 3, 6, 8, 11]
    assert len(pictures) == 2 * len(frames)
    for i, frame in enumerate(frames):
        recorded, labelled = pictures[2 * i], pictures[2 * i + 1]
        assert recorded.get_title() == f"{frame * 0.5:.1f} s"
        assert (np.asarray(recorded.images[0].get_array()) == gray[frame]).all()
        assert np.ptp(np.abs(np.asarray(labelled.images[0].get_array()).astype(int) - gray[frame][..., None])) > 0
        assert (np.asarray(labelled.images[0].get_array()) == overlay_rgb(gray[frame], label[frame], COLORS)).all()
        above, below = recorded.get_position(), labelled.get_position()
        assert above.y0 > below.y1
        assert above.x0 == below.x0


def test_fractions_are_the_labels_shares(make_result: MakeResult) -> None:
    label = growing((6, 40, 10))
    label[:, :, 0] = 254
    label[2, :4] = 255
    label[4] = 254
    result = make_result(label, pixel_size_nm=0.1)
    valid = (label != 254).sum(axis=(1, 2)).astype(float)
    valid[4] = np.nan
    want = np.array([(label == value).sum(axis=(1, 2)) for value in (1, 2, 255)]) / valid
    np.testing.assert_allclose(class_fractions(result), want)
    stairs = [patch for patch in draw_overview(result).axes[-1].patches if isinstance(patch, StepPatch)]
    np.testing.assert_allclose(stairs[0].get_data().values, want[0])
    np.testing.assert_allclose(stairs[2].get_data().values, want.sum(axis=0))
    np.testing.assert_allclose(stairs[2].get_data().baseline, want[:2].sum(axis=0))
    np.testing.assert_allclose(stairs[0].get_data().edges, np.arange(7) - 0.5)


def test_axis_and_legend(make_result: MakeResult) -> None:
    label = growing((4, 20, 20))
    result = make_result(label, names=["old", "new"], times_s=[0.0, 1.0, 3.0, 4.0])
    figure = draw_overview(result)
    plot = figure.axes[-1]
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("time (s)", "area fraction")
    assert plot.get_xlim() == (-0.5, 4.5)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["old", "new"]
    assert [line.get_xdata()[0] for line in plot.lines] == [0.0, 1.0, 3.0, 4.0]


def test_legend_tells_what_occurs_anywhere(make_result: MakeResult) -> None:
    label = growing((40, 20, 20))
    label[3, 0, 0], label[5, 0, 0] = 255, 254  # in no frame that is shown
    figure = draw_overview(make_result(label, frames_per_block=10, skip=[2]))
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert texts == ["phase 1", "phase 2", "unknown", "invalid", "not computed"]
    assert "not finished" in figure.texts[0].get_text()


def test_unfinished_results_leave_gaps(make_result: MakeResult) -> None:
    fractions = class_fractions(make_result(growing((6, 20, 20)), skip=[1]))
    assert np.isnan(fractions).all(axis=0).tolist() == [False, False, True, True, False, False]


def test_nothing_computed_at_all(make_result: MakeResult) -> None:
    figure = draw_overview(make_result(growing((2, 20, 20)), skip=[0]))
    assert [t.get_text() for t in figure.axes[-1].texts] == ["no valid frame"]


@pytest.mark.parametrize(
    ("shape_tyx", "n_classes"),
    [
        ((1, 40, 40), 1),
        ((2, 40, 40), 12),
        ((9, 400, 40), 1),
        ((9, 30, 300), 12),
        ((3, 2, 2), 2),
        ((12, 64, 64), 12),
        ((7, 90, 64), 30),
    ],
)
def test_one_page_with_nothing_cut_off(
    make_result: MakeResult, shape_tyx: tuple[int, int, int], n_classes: int
) -> None:
    result = make_result(np.ones(shape_tyx, np.uint8), names=[f"phase {i}" for i in range(1, n_classes + 1)])
    figure = draw_overview(result)
    figure.draw_without_rendering()
    whole = figure.bbox
    extents = [axes.get_tightbbox() for axes in figure.axes]
    extents += [artist.get_window_extent() for artist in (*figure.legends, *figure.texts)]
    for part in extents:
        assert part.x0 >= whole.x0 - 1
        assert part.y0 >= whole.y0 - 1
        assert part.x1 <= whole.x1 + 1
        assert part.y1 <= whole.y1 + 1
    for i, one in enumerate(extents):
        for other in extents[:i]:
            assert not one.padded(-2).overlaps(other.padded(-2))
    for axes in figure.axes[:-1]:
        size = axes.get_window_extent()
        assert size.height / size.width == pytest.approx(shape_tyx[1] / shape_tyx[2], rel=0.01)
    width, height = figure.get_size_inches()
    assert width == pytest.approx(7.2)
    assert height < 10


def test_saved_beside_the_result_in_one_step(make_result: MakeResult) -> None:
    result = make_result(growing((6, 30, 30)))
    path = save_overview(result)
    assert path == result.path / "overview.png"
    assert save_overview(result) == path
    with Image.open(path) as image:
        rgb = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for color in COLORS[:2]:  # the fractions' solid colours fill a good part of the page
        assert (rgb == color).all(axis=1).mean() > 0.05
    assert not (rgb == COLORS[2]).all(axis=1).any()
    assert not list(result.path.glob("*.partial"))
    assert open_result(result.path).is_complete


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=20))
def test_frames_last_half_way_to_their_neighbours(steps: list[float]) -> None:
    times = np.concatenate([[1.0], 1.0 + np.cumsum(steps)])
    edges = frame_edges(times)
    assert edges.shape == (times.size + 1,)
    assert (edges[:-1] < times).all()
    assert (times < edges[1:]).all()
    np.testing.assert_allclose(edges[1:-1], (times[1:] + times[:-1]) / 2)


def test_of_a_movie_that_was_labelled(tmp_path: Path) -> None:
    scene = make_scene("front", shape_yx=(96, 96), n_frames=4, dose=20.0)
    model = fit_model(open_movie(scene), n_clusters=3)
    result = label_movie(open_movie(scene), model, tmp_path / "run")
    label = result.label.values
    want = np.array([(label == value).sum(axis=(1, 2)) for value in (1, 2, 3, 255)]) / (label != 254).sum(axis=(1, 2))
    np.testing.assert_allclose(class_fractions(result), want)
    figure = draw_overview(result)
    assert [t.get_text() for t in figure.legends[0].get_texts()][:3] == list(model.label_names)
    assert Pictures(result).colors == tuple(tuple(bytes.fromhex(color[1:])) for color in model.label_colors)
