"""A cut tail is flagged and the rest goes on; where nothing is left, one clear error."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from emreel.io import ReaderError, open_movie

N = 40
CUT = [
    "npy", "mrc", "mib", "tvips", "ser", "tiff", "tiff-plain", "tiff-big", "tiff-imagej", "tiff-ome", "tiff-pages",
    "tiff-zlib",
]  # fmt: skip


def _cut(path: str, share: float) -> None:
    size = Path(path).stat().st_size
    with Path(path).open("r+b") as file:
        file.truncate(int(size * share) - 3)


@pytest.mark.parametrize("share", [0.98, 0.5])
@pytest.mark.parametrize("kind", CUT)
def test_the_readable_frames_are_read(kind: str, share: float, writers: Any, tmp_path: Path, caplog: Any) -> None:
    frames = writers.make_frames(shape=(N, 24, 20))
    path = writers.FORMATS[kind].write(tmp_path, frames)
    _cut(path, share)
    with caplog.at_level(logging.WARNING, logger="emreel"):
        movie = open_movie(path)
    readable = movie.sizes["time"]
    assert readable >= int(N * share) - 2
    np.testing.assert_array_equal(movie.values, frames[:readable])
    if readable == N:
        assert share > 0.9 and kind.startswith("tiff"), "only headers of pages were lost"
        return
    flag = movie.attrs["truncated"]
    assert flag["readable"] == readable < flag["declared"] <= N
    if kind not in ("mib", "tvips", "tiff-pages"):  # these write nowhere how many frames there should be
        assert flag["declared"] == N
    assert "is cut" in caplog.text


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("keep", [0, 1, 7, 100])
def test_nothing_left_is_one_clear_error(kind: str, keep: int, writers: Any, tmp_path: Path) -> None:
    path = writers.FORMATS[kind].write(tmp_path, writers.make_frames(shape=(3, 24, 20)))
    with Path(path).open("r+b") as file:
        file.truncate(keep)
    with pytest.raises(ReaderError, match=r"m[_.]"):
        open_movie(path)


@pytest.mark.parametrize("share", [0.98, 0.5, 0.02])
@pytest.mark.parametrize("kind", ["npz", "dm4"])
def test_formats_that_keep_their_index_at_the_end_say_so(kind: str, share: float, writers: Any, tmp_path: Path) -> None:
    path = writers.FORMATS[kind].write(tmp_path, writers.make_frames(shape=(N, 24, 20)))
    _cut(path, share)
    with pytest.raises(ReaderError, match=r"copy it again|damaged|cut"):
        open_movie(path)


@pytest.mark.parametrize("share", [0.98, 0.5, 0.02])
@pytest.mark.parametrize("chunks", [None, (1, 24, 20), (4, 12, 20)])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_cut_hdf5(libver: str, chunks: Any, share: float, writers: Any, tmp_path: Path) -> None:
    frames = writers.make_frames(shape=(N, 24, 20))
    with h5py.File(tmp_path / "m.h5", "w", libver=libver) as file:
        file.create_dataset("movie", data=frames, chunks=chunks)
    path = str(tmp_path / "m.h5")
    _cut(path, share)
    if share < 0.1:  # nothing but the header is left
        with pytest.raises(ReaderError, match=r"m\.h5"):
            open_movie(path)
        return
    movie = open_movie(path)
    readable = movie.sizes["time"]
    assert readable >= int(share * N) - 5
    assert movie.attrs["truncated"] == {"declared": N, "readable": readable}
    np.testing.assert_array_equal(movie.values, frames[:readable])


def test_hdf5_chunks_that_were_never_written(writers: Any, tmp_path: Path) -> None:
    frames = writers.make_frames(shape=(10, 12, 10))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        array = file.create_dataset("movie", shape=(10, 12, 10), dtype="u2", chunks=(2, 12, 10))
        array[:6] = frames[:6]
        file.create_dataset("empty", shape=(4, 5, 6), dtype="u2", chunks=(1, 5, 6))
    movie = open_movie(tmp_path / "m.h5", dataset="movie")
    assert movie.attrs["truncated"] == {"declared": 10, "readable": 6}
    np.testing.assert_array_equal(movie.values, frames[:6])
    with pytest.raises(ReaderError, match="not one whole frame"):
        open_movie(tmp_path / "m.h5", dataset="empty")


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_chunks_that_are_missing(version: int, writers: Any, tmp_path: Path) -> None:
    frames = writers.make_frames(shape=(10, 12, 10))
    array = zarr.create_array(tmp_path / "m.zarr", data=frames, chunks=(2, 6, 10), zarr_format=version)
    prefix = tmp_path / "m.zarr" / ("c" if version == 3 else "")
    gone = [prefix / "4", prefix / "3"] if version == 3 else sorted(prefix.glob("[34].*"))
    for chunk in gone:
        shutil.rmtree(chunk) if chunk.is_dir() else chunk.unlink()
    movie = open_movie(array.store_path.store.root)
    assert movie.attrs["truncated"] == {"declared": 10, "readable": 6}
    np.testing.assert_array_equal(movie.values, frames[:6])


def test_sharded_zarr_tail(writers: Any, tmp_path: Path) -> None:
    frames = writers.make_frames(shape=(10, 12, 10))
    zarr.create_array(tmp_path / "m.zarr", data=frames, chunks=(1, 12, 10), shards=(4, 12, 10))
    shutil.rmtree(tmp_path / "m.zarr" / "c" / "2")
    movie = open_movie(tmp_path / "m.zarr")
    assert movie.attrs["truncated"] == {"declared": 10, "readable": 8}
    assert movie.chunks is not None and movie.chunks[0][0] % 4 == 0, "shards must not be unpacked twice"
    np.testing.assert_array_equal(movie.values, frames[:8])


def test_a_zarr_that_was_never_written(writers: Any, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "m.zarr", shape=(5, 8, 8), chunks=(1, 8, 8), dtype="u2")
    with pytest.raises(ReaderError, match="not one chunk"):
        open_movie(tmp_path / "m.zarr")


def test_an_interrupted_series(writers: Any, tmp_path: Path) -> None:
    """TIA writes how many frames were planned; what was never recorded is no damage."""
    frames = writers.make_frames(shape=(3, 12, 10))
    movie = open_movie(writers.write_ser(tmp_path, frames, total=9))
    assert movie.shape == frames.shape and "truncated" not in movie.attrs


def test_the_last_file_of_a_folder(writers: Any, tmp_path: Path, caplog: Any) -> None:
    frames = writers.make_frames(shape=(7, 12, 10))
    writers.write_folder_png(tmp_path, frames)
    (tmp_path / "times.csv").unlink()
    (tmp_path / "frame_11.png").write_bytes(b"")
    movie = open_movie(tmp_path)
    assert movie.attrs["truncated"] == {"declared": 7, "readable": 6}
    np.testing.assert_array_equal(movie.values, frames[:6])
    (tmp_path / "frame_7.png").write_bytes(b"broken")
    with pytest.raises(ReaderError, match=r"frame_7\.png cannot be read, but later"):
        open_movie(tmp_path)


def test_a_cut_film(writers: Any, tmp_path: Path) -> None:
    frames = writers.make_frames("uint8", shape=(30, 48, 64))
    path = writers.write_video(tmp_path, frames, "m.avi", "ffv1", "gray")
    _cut(path, 0.5)
    movie = open_movie(path)
    assert 8 < movie.sizes["time"] < 30
    np.testing.assert_array_equal(movie.values, frames[: movie.sizes["time"]])
    _cut(path, 0.01)
    with pytest.raises(ReaderError, match=r"m\.avi"):
        open_movie(path)


def test_a_file_that_shrinks_after_opening(writers: Any, tmp_path: Path) -> None:
    path = writers.write_npy(tmp_path, writers.make_frames())
    movie = open_movie(path)
    _cut(path, 0.5)
    with pytest.raises(ReaderError, match="ends inside frame"):
        movie.values  # noqa: B018


def test_a_loop_of_pages_ends(writers: Any, tmp_path: Path) -> None:
    path = writers.write_tiff_pages(tmp_path, writers.make_frames())
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[-1].offset
        n_tags = len(tif.pages[-1].tags)
    with Path(path).open("r+b") as file:
        file.seek(last + 2 + 12 * n_tags)
        file.write(int(first).to_bytes(4, "little"))
    assert open_movie(path).sizes["time"] == 7
