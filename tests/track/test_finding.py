"""Fronts of single frames: how many there are, and on which rays."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.track.finding import FrontFinder


def sides(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (label == 1).astype(np.float32), (label == 2).astype(np.float32)


def test_every_front_of_a_stack_of_layers() -> None:
    label = np.ones((90, 30), np.uint8)
    label[20:50] = 2
    label[70:] = 2
    found = FrontFinder()(*sides(label))
    assert [one.mean for one in found] == [20, 50, 70]
    assert [one.is_falling for one in found] == [True, False, True]
    assert all(one.share_kept == 1 for one in found)


def test_a_tilted_front_is_one_front() -> None:
    edge = np.linspace(15, 75, 60)
    label = np.where(np.arange(90)[:, None] < edge, 1, 2)
    [found] = FrontFinder()(*sides(label))
    assert np.abs(found.edges - np.ceil(edge)).max() <= 0.5


def test_an_island_moves_one_ray_and_no_path() -> None:
    label = np.where(np.arange(90)[:, None] < 30, 1, 2).repeat(41, axis=1)
    label[40:85, 20] = 1
    [plain] = FrontFinder()(*sides(label))
    assert plain.edges[20] == 85 and plain.edges[19] == 30
    [path] = FrontFinder(stiffness=2.0)(*sides(label))
    assert path.edges.tolist() == [30] * 41


def test_sides_that_do_not_touch_have_no_front() -> None:
    label = np.full((90, 30), 3, np.uint8)
    label[:30], label[60:] = 1, 2
    assert FrontFinder()(*sides(label)) == []
    label[30:58] = 1  # two pixels of something else are a boundary, not a layer
    [found] = FrontFinder()(*sides(label))
    assert found.mean == pytest.approx(59)


def test_no_front_where_a_side_is_missing() -> None:
    for k in (1, 2, 3):
        assert FrontFinder()(*sides(np.full((50, 20), k, np.uint8))) == []
