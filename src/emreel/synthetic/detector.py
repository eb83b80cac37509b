"""From relative intensity to counts as recorded: dose, gain, noise, and everything that breaks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require, require_choice, require_number, require_whole
from emreel.synthetic.streams import Stream, random_stream
from emreel.synthetic.texture import Image

Yx = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A counting camera or STEM detector with its faults.

    Bad pixels and lines sit in the detector: they stay where they are while the specimen drifts. Each of
    `hot_pixels`, `dead_pixels`, `nan_pixels` is a number (the places are drawn) or a tuple of (y, x).

    Parameters
    ----------
    dose : counts a pixel where the scene's relative intensity is 1.
    dtype : "uint8", "uint16" or "float32"; integers are clipped to their range.
    counts_per_electron : gain of the camera; above 1 the noise is stronger than the counts suggest.
    dark_counts : counts a pixel without beam (their shot noise included).
    read_noise : standard deviation of the read-out noise, counts.
    flicker : relative standard deviation of the gain from frame to frame.
    line_noise : relative standard deviation of the gain from row to row, anew in every frame.
    hot_pixels, dead_pixels, nan_pixels : see above. Hot pixels read 12 to 20 doses, dead ones 0; NaN needs float32.
    dead_rows, dead_columns : rows and columns that read 0.
    dead_line_frames : the frames in which they do; None: all frames.
    blank_frames : frames without beam.
    duplicate_frames : frames that repeat the counts of the frame before.
    noise_seed : seed of everything random in here; None: the scene's seed.
    """

    dose: float = 40.0
    dtype: str = "uint8"
    counts_per_electron: float = 1.0
    dark_counts: float = 0.0
    read_noise: float = 0.0
    flicker: float = 0.0
    line_noise: float = 0.0
    hot_pixels: int | tuple[Yx, ...] = 0
    dead_pixels: int | tuple[Yx, ...] = 0
    nan_pixels: int | tuple[Yx, ...] = 0
    dead_rows: tuple[int, ...] = ()
    dead_columns: tuple[int, ...] = ()
    dead_line_frames: tuple[int, ...] | None = None
    blank_frames: tuple[int, ...] = ()
    duplicate_frames: tuple[int, ...] = ()
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        require_number("dose", self.dose, above=0)
        require_choice("dtype", self.dtype, ("uint8", "uint16", "float32"))
        require_number("counts_per_electron", self.counts_per_electron, above=0)
        for name in ("dark_counts", "read_noise", "flicker", "line_noise"):
            require_number(name, getattr(self, name), least=0)
        for name in ("hot_pixels", "dead_pixels", "nan_pixels"):
            _require_pixels(name, getattr(self, name))
        for name in ("dead_rows", "dead_columns", "blank_frames", "duplicate_frames"):
            _require_indices(name, getattr(self, name))
        if self.dead_line_frames is not None:
            _require_indices("dead_line_frames", self.dead_line_frames)
        require(
            not self.nan_pixels or self.dtype == "float32",
            f"nan_pixels with dtype={self.dtype!r}",
            "dtype='float32' (whole numbers have no NaN)",
        )
        require(0 not in self.duplicate_frames, "frame 0 in duplicate_frames", "frames that have one before them")
        if self.noise_seed is not None:
            require_whole("noise_seed", self.noise_seed, least=0)

    def check_fits(self, shape_yx: Yx, n_frames: int) -> None:
        """Raise SceneError when a pixel, line or frame named here is outside the movie."""
        for name in ("hot_pixels", "dead_pixels", "nan_pixels"):
            places = getattr(self, name)
            if isinstance(places, tuple):
                for y, x in places:
                    inside = y < shape_yx[0] and x < shape_yx[1]
                    require(inside, f"{name} at ({y}, {x})", f"pixels inside frames of shape {shape_yx}")
        limits = {"dead_rows": shape_yx[0], "dead_columns": shape_yx[1]}
        limits |= dict.fromkeys(("blank_frames", "duplicate_frames", "dead_line_frames"), n_frames)
        for name, limit in limits.items():
            for number in getattr(self, name) or ():
                require(number < limit, f"{name} with {number}", f"numbers below {limit}")
        drawn = sum(n for n in (self.hot_pixels, self.dead_pixels, self.nan_pixels) if isinstance(n, int))
        require(drawn <= shape_yx[0] * shape_yx[1] // 4, f"{drawn} bad pixels", "at most a quarter of the frame")

    def source_index(self, index: int) -> int:
        """The frame whose counts are shown at `index`: itself, or for duplicates the one before."""
        while index in self.duplicate_frames:
            index -= 1
        return index

    def status(self, index: int) -> str:
        """ "ok", "blank" (also when the frame repeats a blank one) or "duplicate"."""
        if self.source_index(index) in self.blank_frames:
            return "blank"
        return "duplicate" if index in self.duplicate_frames else "ok"

    def gain(self, index: int, seed: int) -> float:
        """Relative gain of frame `index`, by flicker; mean 1, at least 0.1."""
        if not self.flicker:
            return 1.0
        rng = random_stream(self._seed(seed), Stream.GAIN, index)
        return max(0.1, 1.0 + self.flicker * float(rng.standard_normal()))

    def expected_counts(self, relative: Image | None, shape_yx: Yx, index: int, seed: int) -> Image:
        """Mean counts of frame `index` without noise and bad pixels; `relative` None means no beam."""
        if relative is None:
            return np.full(shape_yx, self.dark_counts, dtype=np.float32)
        counts = np.maximum(relative, np.float32(0)) * np.float32(self.dose * self.gain(index, seed))
        if self.line_noise:
            rows = random_stream(self._seed(seed), Stream.ROWS, index).standard_normal(shape_yx[0])
            counts *= np.maximum(0.1, 1.0 + self.line_noise * rows).astype(np.float32)[:, None]
        if self.dark_counts:
            counts += np.float32(self.dark_counts)
        return counts

    def record(self, relative: Image | None, shape_yx: Yx, index: int, seed: int) -> npt.NDArray[Any]:
        """Counts of frame `index` as they come from the detector, shape (y, x)."""
        expected = self.expected_counts(relative, shape_yx, index, seed)
        rng = random_stream(self._seed(seed), Stream.NOISE, index)
        gain = self.counts_per_electron
        counts = rng.poisson(expected if gain == 1 else expected / np.float32(gain)).astype(np.float32)
        if gain != 1:
            counts *= np.float32(gain)
        if self.read_noise:
            counts += np.float32(self.read_noise) * rng.standard_normal(shape_yx, dtype=np.float32)
        hot, dead, empty = _bad_places(self, shape_yx, self._seed(seed))
        counts[hot] = self.dose * rng.uniform(12, 20, len(hot[0]))
        counts[dead] = 0
        if self.dead_line_frames is None or index in self.dead_line_frames:
            counts[list(self.dead_rows), :] = 0
            counts[:, list(self.dead_columns)] = 0
        if self.dtype == "float32":
            counts[empty] = np.nan
            return counts
        top = np.iinfo(self.dtype).max
        return np.clip(np.rint(counts), 0, top).astype(self.dtype)

    def bad_pixels(self, shape_yx: Yx, index: int, seed: int) -> npt.NDArray[np.bool_]:
        """True where frame `index` shows a hot, dead or NaN pixel or a dead line, shape (y, x)."""
        mask = np.zeros(shape_yx, dtype=bool)
        for places in _bad_places(self, shape_yx, self._seed(seed)):
            mask[places] = True
        if self.dead_line_frames is None or self.source_index(index) in self.dead_line_frames:
            mask[list(self.dead_rows), :] = True
            mask[:, list(self.dead_columns)] = True
        return mask

    def _seed(self, seed: int) -> int:
        return seed if self.noise_seed is None else self.noise_seed


Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


@lru_cache(maxsize=16)
def _bad_places(detector: Detector, shape_yx: Yx, seed: int) -> tuple[Places, Places, Places]:
    """Hot, dead and NaN pixels as index arrays (y, x); drawn ones never coincide."""
    kinds = (detector.hot_pixels, detector.dead_pixels, detector.nan_pixels)
    drawn = sum(kind for kind in kinds if isinstance(kind, int))
    rng = random_stream(seed, Stream.BAD_PIXELS)
    pool = rng.choice(shape_yx[0] * shape_yx[1], size=drawn, replace=False) if drawn else np.zeros(0, dtype=np.intp)
    out: list[Places] = []
    for kind in kinds:
        if isinstance(kind, int):
            y, x = np.divmod(pool[:kind], shape_yx[1])
            pool = pool[kind:]
        else:
            y, x = np.array(kind, dtype=np.intp).reshape(-1, 2).T
        out.append((y.astype(np.intp), x.astype(np.intp)))
    return out[0], out[1], out[2]


def _require_pixels(name: str, value: object) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return
    good = isinstance(value, tuple) and all(
        isinstance(place, tuple) and len(place) == 2 and all(isinstance(n, int) and n >= 0 for n in place)
        for place in value
    )
    require(good, f"{name}={value!r}", "a number of pixels, or a tuple of (y, x)")


def _require_indices(name: str, value: object) -> None:
    good = isinstance(value, tuple) and all(isinstance(n, int) and n >= 0 for n in value)
    require(good, f"{name}={value!r}", "a tuple of whole numbers from 0 up")
