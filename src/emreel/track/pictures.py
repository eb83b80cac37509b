"""The frames behind a result's labels, for what is measured on the lattice itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.movie import EmreelError
from emreel.result import Result, open_result
from emreel.track.errors import TrackError

Frame = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Frames as recorded, dims (time, y, x), read one at a time."""

    frames: xr.DataArray

    @classmethod
    def of(cls, result: Result, movie: xr.DataArray | None = None) -> Pictures:
        """The movie given; the result's previews where they are full size (prepared frames of up to 1024 px); else the
        movie that the result says it was made from.

        Raises
        ------
        TrackError : the movie is not where it was, or has another shape.
        """
        if movie is None:
            if result.layout.preview_factor == 1:
                return cls(open_result(result.path, chunks=None).preview)
            movie = _reopened(result)
        if tuple(movie.shape) != result.layout.shape_tyx:
            raise TrackError(f"got a movie of shape {movie.shape} for labels of {result.layout.shape_tyx}.")
        return cls(movie)

    def read(self, frame: int) -> Frame:
        """One frame, shape (y, x), counts or preview levels; what is not finite is the frame's mean."""
        picture = np.asarray(self.frames[frame].values, np.float32)
        good = np.isfinite(picture)
        return picture if good.all() else np.where(good, picture, picture[good].mean() if good.any() else 0)


def _reopened(result: Result) -> xr.DataArray:
    from emreel.io import open_movie

    opened: dict[str, Any] = dict(result.facts["provenance"].get("opened", {}))
    source = opened.pop("source", None)
    if source is None:
        raise TrackError(f"{result.path} does not tell which movie it was made from. Give it: movie=open_movie(...).")
    tuples = {key: _as_tuples(value) for key, value in opened.items()}
    try:
        movie: xr.DataArray = open_movie(source, **tuples)
    except (EmreelError, OSError) as error:
        raise TrackError(f"the lattice is measured on the movie, which is not there ({error}). Give it.") from error
    return movie


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
