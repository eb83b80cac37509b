"""A movie of 2 GiB opens in little memory, and one frame is read without the rest. Sparse files: no disk is filled."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

SHAPE = (512, 1024, 2048)  # uint16: 2 GiB, 4 MiB a frame
FRAME_BYTES = SHAPE[1] * SHAPE[2] * 2
MARKED = 300  # this frame holds 7, 8, 9, ... in its first pixels; all others are holes
MARK = np.arange(7, 23, dtype=np.uint16)


def _mark(path: Path, first: int) -> None:
    """Make the file 2 GiB long and write a few pixels of one frame."""
    with path.open("r+b") as file:
        file.truncate(first + SHAPE[0] * FRAME_BYTES)
        file.seek(first + MARKED * FRAME_BYTES)
        file.write(MARK.tobytes())


def large_npy(folder: Path) -> Path:
    path = folder / "m.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": SHAPE})
        first = file.tell()
    _mark(path, first)
    return path


def large_tiff(folder: Path) -> Path:
    path = folder / "m.tif"
    tifffile.imwrite(path, shape=SHAPE, dtype=np.uint16, bigtiff=True)
    with tifffile.TiffFile(path) as tif:
        first = tif.pages[0].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(first + MARKED * FRAME_BYTES)
        file.write(MARK.tobytes())
    return path


def large_mrc(folder: Path) -> Path:
    path = folder / "m.mrc"
    head = struct.pack("<4i", SHAPE[2], SHAPE[1], SHAPE[0], 6).ljust(208, b"\0") + b"MAP \x44\x44\0\0"
    path.write_bytes(head.ljust(1024, b"\0"))
    _mark(path, 1024)
    return path


def large_hdf5(folder: Path) -> Path:
    path = folder / "m.h5"
    with h5py.File(path, "w") as file:
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        array = h5py.h5d.create(file.id, b"movie", h5py.h5t.STD_U16LE, h5py.h5s.create_simple(SHAPE), create)
        first = array.get_offset()
    with path.open("r+b") as file:
        file.seek(first + MARKED * FRAME_BYTES)
        file.write(MARK.tobytes())
    return path


def large_zarr(folder: Path) -> Path:
    path = folder / "m.zarr"
    array = zarr.create_array(path, shape=SHAPE, chunks=(1, *SHAPE[1:]), dtype="uint16")
    frame = np.zeros(SHAPE[1:], np.uint16)
    frame.flat[: MARK.size] = MARK
    array[MARKED] = frame
    array[SHAPE[0] - 1] = frame
    return path


LARGE: dict[str, Callable[[Path], Path]] = {
    "npy": large_npy,
    "tiff": large_tiff,
    "mrc": large_mrc,
    "hdf5": large_hdf5,
    "zarr": large_zarr,
}
MEASURE = r"""
import json, re, sys
import dask, dask.array, h5py, numpy, tifffile, xarray, zarr
from emreel.io.readers import hdf5, mrc, npy, tiff, zarrs
from emreel.io import open_movie
def peak(): return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024  # not the parent's
def read(): return int(next(l for l in open("/proc/self/io") if l.startswith("rchar")).split()[1])
dask.array.ones(3, chunks=1).sum().compute(scheduler="synchronous")  # dask imports what it computes with
base, before = peak(), read()
movie = open_movie(sys.argv[1])
opened, opened_read = peak(), read()
frame = movie.data[int(sys.argv[2])].compute(scheduler="synchronous")
print(json.dumps({
    "open_bytes": opened - base, "open_read": opened_read - before, "frame_bytes": peak() - base,
    "frame_read": read() - opened_read, "shape": movie.shape, "mark": frame.ravel()[:16].tolist(),
    "sum": int(frame.sum()),
}))
"""


@pytest.mark.parametrize("kind", LARGE)
def test_opens_small_and_reads_one_frame(kind: str, tmp_path: Path) -> None:
    path = LARGE[kind](tmp_path)
    # one process for each, since a peak never comes down again
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(MARKED)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    print(kind, found)
    assert tuple(found["shape"]) == SHAPE
    assert found["open_bytes"] < 200 * 2**20
    assert found["mark"] == MARK.tolist() and found["sum"] == int(MARK.sum())
    assert found["open_read"] < 8 * 2**20, "opening must read headers only"
    assert found["frame_read"] < 2 * FRAME_BYTES, "one frame must not bring the others along"
    assert found["frame_bytes"] < 200 * 2**20
