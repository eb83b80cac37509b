"""Every element of every array is written by exactly one block, and so is every shard."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.movie import EmreelError
from emreel.result import Layout, LayoutError, fit_tile, plan_layout

shapes = st.tuples(st.integers(1, 9), st.integers(1, 90), st.integers(1, 90)) | st.tuples(
    st.integers(1, 3), st.integers(1, 5000), st.integers(1, 5)
)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    shape = draw(shapes)
    stride = draw(st.integers(1, 24))
    tile = None
    if draw(st.booleans()):
        wanted = (draw(st.integers(1, shape[1] + 8)), draw(st.integers(1, shape[2] + 8)))
        tile = fit_tile(shape[1:], stride, wanted)
    return plan_layout(
        shape,
        stride,
        draw(st.integers(1, 5)),
        frames_per_block=draw(st.integers(1, 11)),
        tile_yx=tile,
        with_membership=draw(st.booleans()),
    )


def assert_each_written_once(layout: Layout) -> None:
    owners: dict[str, int] = {}
    blocks = list(layout.blocks())
    assert [block.index for block in blocks] == list(range(layout.n_blocks))
    assert [block.frames for block in blocks] == sorted(block.frames for block in blocks)
    for name, spec in layout.arrays().items():
        writers = np.zeros(spec.shape, np.uint8)
        for block in blocks:
            region = layout.region(name, block)
            writers[region] += 1
            touched = {
                tuple(at)
                for at in product(
                    *(range(p.start // n, -(-p.stop // n)) for p, n in zip(region, spec.shards, strict=True))
                )
            }
            assert len(touched) == 1
            key = layout.shard_key(name, block)
            assert key == "/".join([spec.path, "c", *map(str, touched.pop())])
            assert owners.setdefault(key, block.index) == block.index
        assert (writers == 1).all()
        assert len([key for key in owners if key.startswith(spec.path + "/c")]) == layout.n_blocks
        assert all(shard % chunk == 0 for shard, chunk in zip(spec.shards, spec.chunks, strict=True))
        assert max(spec.chunks[-2:]) <= 1024
        assert len(spec.dims) == len(spec.shape) == len(spec.chunks) == len(spec.shards)


@given(layouts())
@settings(deadline=None, max_examples=150)
def test_every_element_and_every_shard_has_one_writer(layout: Layout) -> None:
    assert_each_written_once(layout)


@given(shapes, st.integers(1, 24), st.integers(1, 200), st.integers(1, 200))
@settings(deadline=None, max_examples=300)
def test_a_tile_of_any_size_is_safe_or_refused(shape: tuple[int, int, int], stride: int, ty: int, tx: int) -> None:
    try:
        layout = plan_layout(shape, stride, 2, frames_per_block=2, tile_yx=(ty, tx))
    except LayoutError:
        whole = min(ty, shape[1]) == shape[1] and min(tx, shape[2]) == shape[2]
        assert not whole, "whole frames always fit"
        return
    assert layout.tile_yx == (min(ty, shape[1]), min(tx, shape[2]))
    assert_each_written_once(layout)


@given(layouts(), st.data())
@settings(deadline=None, max_examples=200)
def test_no_layout_that_shares_a_shard_can_be_made(layout: Layout, data: st.DataObject) -> None:
    values = layout.to_dict()
    name = data.draw(st.sampled_from(sorted(set(values) - {"with_membership"})))
    if isinstance(values[name], list):
        values[name] = [data.draw(st.integers(1, 100)) for _ in values[name]]
    else:
        values[name] = data.draw(st.integers(1, 100))
    try:
        changed = Layout.from_dict(values)
    except LayoutError:
        return
    assert_each_written_once_or_large(changed)


def assert_each_written_once_or_large(layout: Layout) -> None:
    if math.prod(layout.shape_tyx) * layout.n_classes < 10**7 and layout.n_blocks < 2000:
        assert_each_written_once(layout)


@given(layouts())
@settings(deadline=None)
def test_json_gives_the_same_layout_back(layout: Layout) -> None:
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


@given(st.tuples(st.integers(1, 20000), st.integers(1, 20000)), st.integers(1, 64), st.integers(1, 9000))
@settings(deadline=None, max_examples=300)
def test_fit_tile_is_always_taken_and_close_to_what_was_wanted(
    shape_yx: tuple[int, int], stride: int, wanted: int
) -> None:
    tile = fit_tile(shape_yx, stride, (wanted, wanted))
    layout = plan_layout((3, *shape_yx), stride, 2, frames_per_block=1, tile_yx=tile)
    assert layout.tile_yx == tile
    for side, got in zip(shape_yx, tile, strict=True):
        unit = math.lcm(layout.stride, layout.preview_factor)
        assert got == side if wanted >= side else got <= max(wanted, 32 + 2 * unit)
        assert got > min(side, wanted) / 2 - unit
    assert max(layout.arrays()["preview"].shape[1:]) <= 1024


def test_whole_frames_are_one_block_and_waste_no_chunk() -> None:
    layout = plan_layout((25, 1300, 4096), 4, 3, frames_per_block=10)
    assert layout.n_blocks == 3
    label = layout.arrays()["label"]
    assert (label.chunks, label.shards) == ((1, 650, 1024), (10, 1300, 4096))
    assert layout.arrays()["membership"].chunks == (1, 3, 325, 1024)
    assert layout.arrays()["preview"].shape == (25, 325, 1024)


def test_large_frames_are_split() -> None:
    tile = fit_tile((8192, 8192), 5, (4096, 2000))
    layout = plan_layout((2, 8192, 8192), 5, 3, frames_per_block=1, tile_yx=tile)
    assert layout.preview_factor == 8 and tile == (4000, 2000)
    assert layout.tiles_yx == (3, 5) and layout.n_blocks == 30
    assert layout.arrays()["label"].chunks == (1, 1000, 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile_yx": (30, 64)}, "multiple of 4"),
        ({"shape_tyx": (0, 64, 64)}, "positive"),
        ({"stride": 0}, "positive"),
        ({"frames_per_block": 0}, "positive"),
        ({"n_classes": 254}, "at most 253"),
        ({"n_classes": 0}, "positive"),
        ({"tile_yx": (4 * 1021, 4096), "shape_tyx": (3, 4096, 4096)}, "leave chunks of only 4 px"),
        ({"stride": 2000, "shape_tyx": (3, 8000, 8000), "tile_yx": (4000, 4000)}, "smaller stride"),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(change: dict[str, object], message: str) -> None:
    wanted = {"shape_tyx": (3, 64, 64), "stride": 4, "n_classes": 2, "frames_per_block": 2} | change
    with pytest.raises(LayoutError, match=message) as caught:
        plan_layout(**wanted)
    assert isinstance(caught.value, EmreelError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "change",
    [
        {"stride": 2.0},
        {"stride": True},
        {"stride": None},
        {"extra": 1},
        {"tile_yx": [3, 7]},
        {"tile_yx": [7]},
        {"shape_tyx": [3, 64]},
        {"shape_tyx": "abc"},
        {"frames_per_shard": 9},
        {"chunk_yx": [3, 64]},
    ],
)
def test_a_layout_read_from_a_file_is_checked(change: dict[str, object]) -> None:
    values = plan_layout((8, 64, 64), 4, 2, frames_per_block=2, tile_yx=(32, 32)).to_dict()
    with pytest.raises(LayoutError):
        Layout.from_dict(values | change)


def test_blocks_beyond_the_last_are_refused() -> None:
    layout = plan_layout((3, 8, 8), 4, 2, frames_per_block=2)
    for index in (-1, 2):
        with pytest.raises(LayoutError, match="wanted 0 to 1"):
            layout.block(index)
