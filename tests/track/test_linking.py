"""Identities by overlap: of pieces that move, split, merge, vanish and come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emreel.track.errors import TrackError
from emreel.track.linking import Linked, RegionFinder, RegionLinker, shifted


def follow(movie: np.ndarray, **options: float) -> list[Linked]:
    finder = RegionFinder(min_area_px2=4)
    linker = RegionLinker(least_px2=4, **options)  # type: ignore[arg-type]
    return [linker.step(t, *finder(label, 4)) for t, label in enumerate(movie)]


def boxes(*places: tuple[int, int, int, int], shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Label 2 in boxes (top, left, height, width), 1 around."""
    label = np.ones(shape, np.uint8)
    for top, left, height, width in places:
        label[top : top + height, left : left + width] = 2
    return label


def test_pieces_are_connected_and_large_enough() -> None:
    label = boxes((5, 5, 10, 10), (20, 30, 2, 1), (25, 40, 5, 5))
    label[0, 0], label[0, 1] = 254, 255
    pieces, classes = RegionFinder(classes=(2,))(label, 4)
    assert classes.tolist() == [0, 2, 2]
    assert np.bincount(pieces.ravel()).tolist() == [40 * 60 - 125, 100, 25]
    everything, classes = RegionFinder()(label, 4)
    assert classes.tolist() == [0, 1, 2, 2] and everything[0, 0] == 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), n_classes=st.integers(1, 4))
def test_pieces_of_any_labels_are_those_of_each_class(seed: int, n_classes: int) -> None:
    label = np.random.default_rng(seed).integers(0, n_classes + 1, (24, 24)).astype(np.uint8)
    pieces, classes = RegionFinder()(label, 3)
    wanted = 0
    for k in range(1, n_classes + 1):
        found, n = ndimage.label(label == k)
        wanted += sum(int((found == i).sum() >= 3) for i in range(1, n + 1))
    assert len(classes) - 1 == wanted
    for piece in range(1, len(classes)):
        mask = pieces == piece
        assert mask.sum() >= 3 and ndimage.label(mask)[1] == 1
        assert np.unique(label[mask]).tolist() == [classes[piece]]


def test_a_region_that_moves_keeps_its_name() -> None:
    frames = follow(np.stack([boxes((5, 5 + 3 * t, 10, 10), (25, 40 - 3 * t, 8, 8)) for t in range(9)]))
    for t, linked in enumerate(frames):
        assert linked.region[10, 10 + 3 * t] == 2 and linked.region[28, 44 - 3 * t] == 3
        assert not linked.vanished and not linked.links and bool(linked.appeared) == (t == 0)


def test_a_split_has_a_parent_and_a_merge_an_heir() -> None:
    one, two = boxes((10, 10, 10, 30)), boxes((10, 10, 10, 18), (10, 30, 10, 10))
    frames = follow(np.stack([one, two, two, one]))
    assert [(link.kind, link.source, link.target, link.frame) for linked in frames for link in linked.links] == [
        ("split", 2, 3, 1),
        ("merge", 3, 2, 3),
    ]
    assert frames[1].appeared == () and frames[3].vanished == ()
    assert frames[3].region[15, 35] == 2


def test_a_region_that_comes_back_is_the_same_until_it_is_forgotten() -> None:
    here, away = boxes((10, 10, 10, 10)), boxes()
    short = follow(np.stack([here, away, away, here]))
    assert short[3].region[15, 15] == 2
    assert [(link.kind, link.source, link.target) for link in short[3].links] == [("gap", 2, 2)]
    long = follow(np.stack([here, *[away] * 5, here]))
    assert long[6].region[15, 15] == 3
    assert [linked.vanished for linked in long] == [(), (), (), (), ((2, 1),), (), ()]


def test_regions_of_two_classes_are_never_one() -> None:
    label = boxes((10, 10, 10, 10))
    turned = np.where(label == 2, 3, label).astype(np.uint8)
    frames = follow(np.stack([label, turned]))
    assert frames[0].region[15, 15] == 2 and frames[1].region[15, 15] == 3


def test_drift_moves_what_is_compared() -> None:
    finder, linker = RegionFinder(), RegionLinker(least_px2=4)
    linker.step(0, *finder(boxes((5, 5, 6, 6)), 4))
    far = linker.step(1, *finder(boxes((20, 30, 6, 6)), 4), (15, 25))
    assert far.region[22, 32] == 2
    region = np.arange(12, dtype=np.uint32).reshape(3, 4)
    assert shifted(region, (1, -2)).tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0]]
    assert not shifted(region, (5, 0)).any()


def test_least_areas() -> None:
    assert RegionFinder(min_area_nm2=8.0).least_px2(0.5) == 32
    with pytest.raises(TrackError, match="pixel size"):
        RegionFinder(min_area_nm2=8.0).least_px2(None)
    with pytest.raises(TrackError, match="positive"):
        RegionFinder(min_area_px2=0).least_px2(None)
