"""Pictures of communities, read back from what they draw."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb

from emreel.cluster.communities import CommunityClusters
from emreel.cluster.similarity import measure_similarities
from emreel.view.communities import (
    MOST_EDGES,
    MOST_NODES,
    community_colors,
    community_map,
    draw_communities,
    draw_graph,
    draw_similarities,
)
from emreel.view.errors import ViewError
from emreel.view.overlay import overlay_rgb


@pytest.fixture(scope="module")
def fitted():
    """Three groups on a circle and two strays."""
    rng = np.random.default_rng(0)
    angle = np.concatenate([rng.normal(m, 0.08, n) for m, n in ((0.0, 60), (0.9, 40), (2.5, 20))] + [[4.0, 5.2]])
    rows = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    return CommunityClusters(threshold=0.93).fit(rows)


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def test_a_pixel_has_its_nearest_chips_community():
    labels = np.array([[0, 3, -1], [7, 0, 1]])
    got = community_map(labels, 4, (7, 11))
    assert got.shape == (7, 11) and got.dtype == np.uint8
    for y in range(7):
        for x in range(11):
            i, j = min((y + 2) // 4, 1), min((x + 2) // 4, 2)
            assert got[y, x] == labels[i, j] + 1
    assert set(got.ravel()) == {0, 1, 2, 4, 8}  # never a number between two


def test_the_overlay_is_that_of_results():
    rng = np.random.default_rng(0)
    label = np.kron(np.array([[0, 1], [2, 3]], np.uint8), np.ones((30, 40), np.uint8))
    gray = rng.integers(0, 256, label.shape, dtype=np.uint8)
    figure = draw_communities(gray, label, pixel_size_nm=0.1)
    picture = pixels(figure)
    want = overlay_rgb(gray, label, community_colors(3))
    (axes,) = figure.axes
    box = axes.get_window_extent()
    height = round(figure.bbox.height)
    shown = picture[round(height - box.y1) : round(height - box.y0), round(box.x0) : round(box.x1)]
    assert shown.shape[0] / shown.shape[1] == pytest.approx(60 / 80, rel=0.02)
    for y, x in ((3, 5), (10, 70), (20, 60), (33, 70)):  # beyond the scale bar
        at = round((y + 0.5) / 60 * shown.shape[0]), round((x + 0.5) / 80 * shown.shape[1])
        np.testing.assert_allclose(shown[at], want[y, x], atol=3)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["1 (25%)", "2 (25%)", "3 (25%)", "masked (25%)"]


def test_masked_chips_stay_grey():
    gray = np.full((40, 40), 90, np.uint8)
    figure = draw_communities(gray, np.zeros((40, 40), np.uint8))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["masked (100%)"]
    picture = pixels(figure)
    assert (picture[picture.shape[0] // 3, picture.shape[1] // 2] == 90).all()


def test_the_histogram_marks_mean_median_mode_and_the_threshold(fitted):
    similarities = fitted.similarities_
    (axes,) = draw_similarities(similarities, fitted.threshold_).axes
    (stairs,) = [patch for patch in axes.patches if hasattr(patch, "get_data")]
    np.testing.assert_array_equal(stairs.get_data().values, similarities.counts)
    np.testing.assert_array_equal(stairs.get_data().edges, similarities.edges)
    marks = {line.get_label().split()[0]: line.get_xdata()[0] for line in axes.lines}
    assert marks == {
        "mean": similarities.mean,
        "median": similarities.median,
        "mode": similarities.mode,
        "threshold": 0.93,
    }
    assert len(draw_similarities(similarities).axes[0].lines) == 3


def test_the_graph_has_a_node_a_chip_in_its_communitys_colour(fitted):
    figure = draw_graph(fitted.graph_, fitted.labels_)
    (axes,) = figure.axes
    (nodes,) = [c for c in axes.collections if isinstance(c, PathCollection)]
    (edges,) = [c for c in axes.collections if isinstance(c, LineCollection)]
    n = len(fitted.labels_)
    assert len(nodes.get_offsets()) == n == 122
    assert len(edges.get_segments()) == fitted.graph_.nnz // 2
    colors = [tuple(round(255 * c) for c in to_rgb(face)) for face in nodes.get_facecolor()]
    wanted = [(0x9A,) * 3 if k < 0 else community_colors(3)[k] for k in fitted.labels_]
    assert colors == wanted and (fitted.labels_ == -1).sum() == 2


def test_springs_draw_communities_together(fitted):
    (axes,) = draw_graph(fitted.graph_, fitted.labels_).axes
    (nodes,) = [c for c in axes.collections if isinstance(c, PathCollection)]
    place = np.asarray(nodes.get_offsets())
    middles = np.stack([place[fitted.labels_ == k].mean(axis=0) for k in range(3)])
    own = np.hypot(*(place - middles[fitted.labels_]).T)[fitted.labels_ >= 0]
    apart = min(np.hypot(*(middles[a] - middles[b])) for a in range(3) for b in range(a))
    assert np.median(own) < apart / 2


def test_a_large_graph_is_sampled_and_drawn_the_same_again():
    rows = np.random.default_rng(0).normal(size=(900, 3)).astype(np.float32)
    found = CommunityClusters(threshold="mean").fit(rows)
    places = []
    for _ in range(2):
        (axes,) = draw_graph(found.graph_, found.labels_).axes
        (nodes,) = [c for c in axes.collections if isinstance(c, PathCollection)]
        (edges,) = [c for c in axes.collections if isinstance(c, LineCollection)]
        places.append(np.asarray(nodes.get_offsets()))
        assert len(places[-1]) == MOST_NODES and len(edges.get_segments()) == MOST_EDGES
    np.testing.assert_array_equal(*places)


def test_colours_differ():
    colors = community_colors(30)
    assert len(set(colors)) == 30 and community_colors(5) == colors[:5]
    far = [np.abs(np.subtract(a, b)).sum() for i, a in enumerate(colors[:12]) for b in colors[:i]]
    assert min(far) > 40


@pytest.mark.parametrize(
    "call",
    [
        lambda: community_map(np.zeros(4, int), 2, (8, 8)),
        lambda: community_map(np.full((2, 2), -2), 2, (4, 4)),
        lambda: community_map(np.full((2, 2), 253), 2, (4, 4)),
        lambda: draw_communities(np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8)),
        lambda: draw_graph(CommunityClusters(1).fit(np.eye(12)).graph_, np.zeros(3, int)),
        lambda: draw_communities(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), opacity=2.0),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ViewError, match="got"):
        call()


def test_similarities_of_one_kind_have_another_axis():
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    labels = [draw_similarities(measure_similarities(rows, kind)).axes[0].get_xlabel() for kind in ("range", "cosine")]
    assert labels == ["similarity (range)", "similarity (cosine)"]
