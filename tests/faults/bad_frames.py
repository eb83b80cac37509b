"""Movies with a frame that cannot be labelled: it ends the process, exhausts its memory, or cannot be read."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

from emreel.movie import make_movie


@dataclass(frozen=True)
class BadFrames:
    """Frames of an .npy file; those in ``bad`` do what ``how`` says when they are read. ``driver``: is never killed."""

    path: str
    shape: tuple[int, int, int]
    bad: tuple[int, ...]
    how: str
    driver: int
    dtype: type = np.uint8
    ndim: int = 3

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        frames = np.atleast_1d(np.arange(self.shape[0])[key[0]]).tolist()
        if set(frames) & set(self.bad):
            if self.how == "kill" and os.getpid() != self.driver:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "memory":
                raise MemoryError("cannot allocate 200 GB")
            if self.how == "unreadable":
                raise OSError("the sector cannot be read")
        return np.asarray(np.load(self.path, mmap_mode="r")[key])


def make_bad_movie(folder: Path, frames: np.ndarray, bad: tuple[int, ...], how: str) -> xr.DataArray:
    np.save(folder / "frames.npy", frames)
    source = BadFrames(str(folder / "frames.npy"), frames.shape, bad, how, os.getpid())
    empty = np.empty((0, 0, 0), np.uint8)
    chunks = (1, *frames.shape[1:])
    return make_movie(da.from_array(source, chunks=chunks, asarray=False, meta=empty, name=f"bad-{folder}"))
