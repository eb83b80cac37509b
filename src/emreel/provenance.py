"""Where a model or a result comes from, and digests that tell two of them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel._version import __version__

#: Frames that go into a movie's digest, spread over the movie.
DIGEST_FRAMES = 5


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The chain that leads to a model: software, recipe, and the movies it was fitted on."""

    emreel_version: str = __version__
    recipe: str = ""
    movies: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Provenance:
        return cls(
            emreel_version=str(values["emreel_version"]),
            recipe=str(values["recipe"]),
            movies=tuple(dict(movie) for movie in values["movies"]),
        )


def digest_of(values: Any, arrays: Mapping[str, npt.NDArray[Any]] | None = None) -> str:
    """sha256 over canonical JSON and the bytes, dtypes and shapes of arrays; independent of dict order."""
    sha = hashlib.sha256(canonical_json(values).encode())
    for name in sorted(arrays or {}):
        array = np.ascontiguousarray((arrays or {})[name])
        sha.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def canonical_json(values: Any) -> str:
    """JSON with sorted keys and no spaces; NaN is refused, so equal values give equal text."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def movie_digest(movie: xr.DataArray) -> str:
    """Digest of a movie from its shape, dtype, times and `DIGEST_FRAMES` frames; never reads the rest.

    A frame that cannot be read counts as just that.
    """
    n_frames = movie.sizes["time"]
    indices = sorted({round(i * (n_frames - 1) / (DIGEST_FRAMES - 1)) for i in range(DIGEST_FRAMES)})
    arrays = {f"frame{i}": _readable(movie, i) for i in indices}
    arrays["time"] = np.asarray(movie.coords["time"].values)
    return digest_of({"shape": list(movie.shape), "dtype": np.dtype(movie.dtype).str}, arrays)


def _readable(movie: xr.DataArray, index: int) -> npt.NDArray[Any]:
    try:
        return np.asarray(movie.isel(time=index).values)
    except OSError:
        return np.empty(0)


def describe_movie(movie: xr.DataArray, digest: str) -> dict[str, Any]:
    """One movie's entry in a chain of provenance; JSON only."""
    return {
        "source": str(movie.attrs.get("source", "array")),
        "shape_tyx": list(movie.shape),
        "dtype": str(movie.dtype),
        "pixel_size_nm": movie.attrs.get("pixel_size_nm"),
        "digest": digest,
    }
