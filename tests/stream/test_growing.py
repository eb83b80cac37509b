"""Files that grow: only frames that are whole, never fewer than before."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import zarr

from emreel.stream import GrowingFile, GrowingZarr, StreamError

FRAMES = np.arange(5 * 6 * 8, dtype=np.uint16).reshape(5, 6, 8)


def places(source: GrowingZarr | GrowingFile) -> list[int]:
    return [arrival.index for arrival in source.poll()]


@pytest.mark.parametrize("in_group", [False, True])
def test_a_zarr_tells_what_its_marker_says(in_group: bool, tmp_path: Path) -> None:
    source = GrowingZarr(str(tmp_path / "m.zarr"), frame_time_s=0.5)
    assert places(source) == []
    target = tmp_path / "m.zarr"
    parent = zarr.open_group(target, mode="w") if in_group else None
    kind = {"shape": (5, 6, 8), "chunks": (1, 6, 8), "dtype": "u2"}
    array = zarr.create_array(target, **kind) if parent is None else parent.create_array("movie", **kind)
    array.attrs["n_complete"] = 0
    assert places(source) == []
    array[0] = FRAMES[0]
    assert places(source) == [], "a frame without its marker"
    array.attrs["n_complete"] = 1
    assert [(a.index, a.time_s) for a in source.poll()] == [(0, 0.0)]
    array[1:3] = FRAMES[1:3]
    array.attrs["n_complete"] = 3
    assert places(source) == [1, 2]
    np.testing.assert_array_equal(source.read(2), FRAMES[2])
    assert not source.is_finished
    array.attrs["finished"] = True
    assert places(source) == []
    assert source.is_finished


def test_a_zarr_that_is_resized(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", shape=(0, 6, 8), chunks=(1, 6, 8), dtype="u2")
    array.attrs["n_complete"] = 0
    source = GrowingZarr(str(tmp_path / "m.zarr"))
    assert places(source) == []
    for index in range(3):
        array.resize((index + 1, 6, 8))
        array[index] = FRAMES[index]
        array.attrs["n_complete"] = index + 1
        assert places(source) == [index]
        np.testing.assert_array_equal(source.read(index), FRAMES[index])


def test_a_zarr_without_a_marker_or_with_a_wrong_one(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", shape=(2, 6, 8), chunks=(1, 6, 8), dtype="u2")
    with pytest.raises(StreamError, match=r"attrs\['n_complete'\] = number of frames"):
        GrowingZarr(str(tmp_path / "m.zarr")).poll()
    array[0] = FRAMES[0]
    array.attrs["n_complete"] = 2
    with pytest.raises(StreamError, match="2 frames are whole, but has 1"):
        GrowingZarr(str(tmp_path / "m.zarr")).poll()


def test_shrinking_is_an_error(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", data=FRAMES, chunks=(1, 6, 8))
    array.attrs["n_complete"] = 3
    source = GrowingZarr(str(tmp_path / "m.zarr"))
    source.poll()
    array.attrs["n_complete"] = 2
    with pytest.raises(StreamError, match="shrank from 3 to 2 frames"):
        source.poll()
    shutil.rmtree(tmp_path / "m.zarr")
    with pytest.raises(StreamError, match="cannot be read any more"):
        source.poll()


def test_a_file_of_frames_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "m.mrc"
    source = GrowingFile(str(path))
    assert places(source) == []
    header = struct.pack("<4i", 8, 6, 5, 6).ljust(1024, b"\0")
    body = FRAMES.astype("<u2").tobytes()
    for end, expected in ((50, []), (96, [0]), (96, []), (200, [1]), (len(body), [2, 3, 4])):
        path.write_bytes(header + body[:end])
        assert places(source) == expected
    np.testing.assert_array_equal(source.read(4).astype(int), FRAMES[4])
    path.write_bytes(header + body[:200])
    with pytest.raises(StreamError, match="shrank from 5 to 2"):
        source.poll()
    path.unlink()
    with pytest.raises(StreamError, match="shrank"):
        source.poll()


def test_a_format_that_cannot_be_followed(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["movie"] = FRAMES
    with pytest.raises(StreamError, match="cannot be followed while it grows"):
        GrowingFile(str(tmp_path / "m.h5")).poll()
