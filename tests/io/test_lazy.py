"""Chunks of whole frames, in whole native pieces, split in space only when a frame is too large."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emreel.io import open_movie
from emreel.io.lazy import CHUNK_BYTES, FRAME_BYTES_MAX, INLINE_ENTRIES, lazy_frames, plan_chunks
from emreel.io.readers import open_raw

shapes = st.tuples(st.integers(1, 5000), st.integers(1, 9000), st.integers(1, 9000))


@given(shape=shapes, itemsize=st.sampled_from([1, 2, 4, 8]), native_t=st.integers(1, 64), native_y=st.integers(1, 512))
def test_chunks(shape: Any, itemsize: int, native_t: int, native_y: int) -> None:
    native = (native_t, native_y, 64)
    t, y, x = plan_chunks(shape, itemsize, native_tyx=native, splits_rows=True)
    assert x == shape[2] and 1 <= t <= shape[0] and 1 <= y <= shape[1]
    assert t == shape[0] or t % min(native_t, shape[0]) == 0, "no piece is unpacked for two chunks"
    assert y == shape[1] or y % native_y == 0
    frame = shape[1] * shape[2] * itemsize
    if y < shape[1]:
        assert frame * min(native_t, shape[0]) > FRAME_BYTES_MAX
    else:
        assert t * frame <= max(CHUNK_BYTES, frame * min(native_t, shape[0]))


def test_frames_that_cannot_be_split_stay_whole() -> None:
    assert plan_chunks((9, 20_000, 20_000), 4) == (1, 20_000, 20_000)
    assert plan_chunks((9, 20_000, 20_000), 4, splits_rows=True) == (1, 209, 20_000)


def test_equal_files_have_equal_keys_and_changed_files_others(tmp_path: Path) -> None:
    path = tmp_path / "m.npy"
    np.save(path, np.zeros((3, 4, 5), "u2"))
    first, second = open_movie(path).data.name, open_movie(path).data.name
    np.save(path, np.ones((4, 4, 5), "u2"))
    assert first == second != open_movie(path).data.name


def test_what_is_sent_to_workers_is_small(written: Any) -> None:
    path, _, _ = written
    frames = open_raw(path).frames
    packed = pickle.dumps(frames)
    assert len(packed) < 2000
    again = pickle.loads(packed)
    assert again.shape == frames.shape and again.dtype == frames.dtype
    np.testing.assert_array_equal(again[0], frames[0])


def test_long_tables_are_one_key_of_the_graph(tmp_path: Path, writers: Any) -> None:
    n = INLINE_ENTRIES + 40
    frames = writers.make_frames(shape=(n, 4, 5))
    writers.write_folder_npy(tmp_path, frames)
    movie = lazy_frames(open_raw(str(tmp_path)).frames).rechunk({0: 50})
    tasks = [len(pickle.dumps(task)) for task in dict(movie.__dask_graph__()).values()]
    assert sorted(tasks)[-1] > 10_000 and sorted(tasks)[-2] < 2_000
    np.testing.assert_array_equal(movie[n - 3 :].compute(), frames[n - 3 :])


@pytest.mark.parametrize("key", [3, -1, (slice(None), 2), (1, 2, 3), (slice(5, 1, -2), slice(None, None, -1))])
def test_blocks_index_as_arrays_do(key: Any, written: Any) -> None:
    path, frames, _ = written
    blocks = open_raw(path).frames
    np.testing.assert_array_equal(blocks[key], frames[key])
    assert blocks[4:4].shape == (0, *frames.shape[1:])
