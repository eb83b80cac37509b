"""The mean power spectrum of a movie's frames (Welch's method), mergeable from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from emreel.descriptors.base import Frame, Mask
from emreel.movie import EmreelError

Floats = npt.NDArray[np.float64]

TILE_PX = 128
#: The lowest frequency at which a peak is looked for, in cycles a window.
LOWEST_CYCLES = 4
#: A lone tile that is mostly padding or dead says nothing.
LEAST_VALID_SHARE = 0.5
#: Spots of a tile that tell where a polycrystal's ring is, and steps a bin in which their radii are counted.
SPOTS_A_TILE = 6
SPOT_STEPS = 64


class SpectrumError(EmreelError, ValueError):
    """Spectra that cannot be added."""


@dataclass(frozen=True, eq=False)
class SpectrumSums:
    """Sums of Welch power over tiles and frames: a mergeable partial.

    power : shape (tile_px, tile_px), counts^2, zero frequency in the middle.
    n_frames, n_tiles : what was added. window_px : the shortest window side that went in.
    independence : share of a frame's tiles that count as independent (tiles overlap).
    strength, strength_sq : sums over tiles of their power above the lowest frequency, and of its square.
    ring_sq, ring_sum_sq : shape (tile_px // 2,), sums over tiles of mean(power^2) and mean(power)^2 of every ring.
    spots : shape (tile_px // 2 * SPOT_STEPS,), power of each tile's clearest spots, by their distance from the middle.
    """

    power: Floats
    n_frames: int
    n_tiles: int
    window_px: int
    independence: float
    strength: float
    strength_sq: float
    ring_sq: Floats
    ring_sum_sq: Floats
    spots: Floats

    @classmethod
    def of(cls, frame: Frame, valid: Mask | None = None, tile_px: int = TILE_PX) -> SpectrumSums:
        """Sum the power of one frame, shape (y, x); frames smaller than a tile are one zero-padded window."""
        good = np.ones(frame.shape, bool) if valid is None else valid
        window_yx = (min(tile_px, frame.shape[0]), min(tile_px, frame.shape[1]))
        hann = np.outer(_hann(window_yx[0]), _hann(window_yx[1]))
        hann /= np.sqrt(np.sum(hann**2))
        rings = _HalfRings(tile_px)
        half = np.zeros(rings.index.shape)
        n_tiles, totals = 0, np.zeros(2)
        ring_sums, spots = np.zeros((2, tile_px // 2)), np.zeros(tile_px // 2 * SPOT_STEPS)
        lowest = LOWEST_CYCLES * tile_px // min(window_yx)
        for rows in _windows(frame.shape[0], window_yx[0]):
            for cols in _windows(frame.shape[1], window_yx[1]):
                tile = _flattened(frame[rows, cols], good[rows, cols])
                if tile is None:
                    continue
                power = np.abs(fft.rfft2(tile * hann, s=(tile_px, tile_px))) ** 2
                first, second = rings.mean(power), rings.mean(power**2)
                total = float(np.sum((first * rings.size)[lowest:]))
                _add_spots(spots, power, first, rings.index, lowest)
                half += power
                n_tiles += 1
                totals += total, total**2
                ring_sums += second, first**2
        whole = _whole_plane(half, tile_px)
        independence = float(np.prod([_independence(*axis) for axis in zip(frame.shape, window_yx, strict=True)]))
        strength, strength_sq = totals.tolist()
        window_px = min(window_yx)
        sq, sum_sq = ring_sums
        return cls(whole, 1, n_tiles, window_px, independence, strength, strength_sq, sq, sum_sq, spots)

    def __add__(self, other: SpectrumSums, /) -> SpectrumSums:
        if self.power.shape != other.power.shape:
            raise SpectrumError(
                f"got spectra of tiles of {self.power.shape[0]} and {other.power.shape[0]} px. Use one tile_px."
            )
        return SpectrumSums(
            self.power + other.power,
            self.n_frames + other.n_frames,
            self.n_tiles + other.n_tiles,
            min(self.window_px, other.window_px),
            min(self.independence, other.independence),
            self.strength + other.strength,
            self.strength_sq + other.strength_sq,
            self.ring_sq + other.ring_sq,
            self.ring_sum_sq + other.ring_sum_sq,
            self.spots + other.spots,
        )

    @property
    def tile_px(self) -> int:
        return int(self.power.shape[0])

    @property
    def independent_tiles(self) -> float:
        """Tiles of one frame that count: disorder repeats from frame to frame, and a bright tile outweighs others."""
        if self.strength_sq <= 0:
            return 0.0
        return self.strength**2 / self.strength_sq / self.n_frames * self.independence

    @property
    def concentration(self) -> Floats:
        """How much the power of a ring gathers in spots, within single tiles; shape (tile_px // 2,). Disorder: 2."""
        return np.divide(self.ring_sq, self.ring_sum_sq, out=np.zeros_like(self.ring_sq), where=self.ring_sum_sq > 0)

    @property
    def structure(self) -> float:
        """Mean power of the strongest ring over that of the weakest quarter: 1 in white noise, more in any texture."""
        rings = _HalfRings(self.tile_px)
        half = np.fft.ifftshift(self.mean_power())[:, : self.tile_px // 2 + 1]
        lowest = LOWEST_CYCLES * self.tile_px // self.window_px
        power = rings.mean(half)[lowest:]
        weakest = float(np.quantile(power, 0.25))
        return float(power.max() / weakest) if weakest > 0 else (np.inf if power.max() > 0 else 1.0)

    def mean_power(self) -> Floats:
        """Mean power a tile, shape (tile_px, tile_px), counts^2; white noise of variance v has mean power v."""
        return self.power / max(1, self.n_tiles)


def _hann(n: int) -> Floats:
    """Hann window shifted by half a pixel, so that no sample is zero."""
    return np.asarray(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2)


def _starts(n_px: int, window_px: int) -> npt.NDArray[np.intp]:
    """First pixels of windows that overlap by half at least and reach both ends."""
    count = 1 if n_px <= window_px else -(-2 * (n_px - window_px) // window_px) + 1
    return np.round(np.linspace(0, n_px - window_px, count)).astype(np.intp)


def _windows(n_px: int, window_px: int) -> Iterator[slice]:
    for start in _starts(n_px, window_px):
        yield slice(int(start), int(start) + window_px)


def _independence(n_px: int, window_px: int) -> float:
    """Share of an axis's windows that are independent: power correlates by the square of the windows' overlap."""
    hann, starts = _hann(window_px), _starts(n_px, window_px)
    overlap = np.correlate(hann, hann, mode="full")[window_px - 1 :] / np.sum(hann**2)
    apart = np.abs(starts[:, None] - starts[None, :])
    correlation = np.where(apart < window_px, overlap[np.minimum(apart, window_px - 1)], 0.0) ** 2
    return float(len(starts) / np.sum(correlation))


def _flattened(tile: npt.NDArray[Any], good: Mask) -> Floats | None:
    """The tile minus its mean; invalid pixels become the mean. None when too little of it is valid."""
    share = good.mean()
    if share < LEAST_VALID_SHARE:
        return None
    values = tile.astype(np.float64)
    mean = float(np.mean(values, where=good))
    return np.asarray(np.where(good, values - mean, 0.0) / np.sqrt(share))


class _HalfRings:
    """Rings of one bin over the half plane of `rfft2`; conjugate bins are counted as the whole plane has them."""

    def __init__(self, n: int) -> None:
        k_y, k_x = np.fft.fftfreq(n, 1 / n), np.arange(n // 2 + 1)
        ring = np.rint(np.hypot(k_y[:, None], k_x[None, :])).astype(np.intp)
        twice = np.where((k_x == 0) | (2 * k_x == n), 1.0, 2.0)
        inside = ring < n // 2
        self.index = np.where(inside, ring, n // 2)
        self._weight = np.where(inside, np.broadcast_to(twice, ring.shape), 0.0)
        self.size = np.bincount(self.index.ravel(), self._weight.ravel(), minlength=n // 2 + 1)[: n // 2]

    def mean(self, power: Floats) -> Floats:
        sums = np.bincount(self.index.ravel(), (power * self._weight).ravel(), minlength=len(self.size) + 1)
        return np.asarray(sums[: len(self.size)] / self.size)


def _whole_plane(half: Floats, n: int) -> Floats:
    """The full plane of a real frame's power from the half that `rfft2` gives, zero frequency in the middle."""
    whole = np.empty((n, n))
    whole[:, : n // 2 + 1] = half
    mirror = np.arange(1, (n + 1) // 2)
    whole[:, n - mirror] = half[(-np.arange(n)) % n][:, mirror]
    return np.asarray(fft.fftshift(whole))


def _add_spots(spots: Floats, power: Floats, ring_mean: Floats, ring: npt.NDArray[np.intp], lowest: int) -> None:
    """Count the spots that stand out most from their rings, each with its power; ``power`` as `rfft2` has it."""
    n = len(power)
    level = np.append(ring_mean, np.inf)[ring]
    contrast = np.where((ring >= lowest) & (level > 0), power / np.maximum(level, np.finfo(np.float64).tiny), 0.0)
    contrast[:, [0, -1]] = 0.0  # no neighbours there on one side
    for _ in range(SPOTS_A_TILE):
        y, x = np.unravel_index(int(np.argmax(contrast)), contrast.shape)
        if contrast[y, x] <= 0:
            return
        shift_y, shift_x = refine_peak(power, int(y), int(x))
        k_y = (y + n // 2) % n - n // 2
        place = int(np.hypot(k_y + shift_y, x + shift_x) * SPOT_STEPS)
        if place < len(spots):
            spots[place] += power[y, x]
        contrast[np.arange(y - 3, y + 4) % n, max(x - 3, 0) : x + 4] = 0.0


def refine_peak(power: Floats, y: int, x: int) -> tuple[float, float]:
    """Shift in bins of a maximum at bin (y, x): the top of a 2-D parabola through the log power of 3 x 3 bins."""
    rows, cols = (np.arange(y - 1, y + 2) % power.shape[0], np.arange(x - 1, x + 2) % power.shape[1])
    patch = np.log(power[np.ix_(rows, cols)] + np.finfo(np.float64).tiny)
    slope_y, slope_x = (patch[2, 1] - patch[0, 1]) / 2, (patch[1, 2] - patch[1, 0]) / 2
    curve_y, curve_x = patch[2, 1] - 2 * patch[1, 1] + patch[0, 1], patch[1, 2] - 2 * patch[1, 1] + patch[1, 0]
    cross = (patch[2, 2] - patch[2, 0] - patch[0, 2] + patch[0, 0]) / 4
    determinant = curve_y * curve_x - cross**2
    if curve_y >= 0 or curve_x >= 0 or determinant <= 0:
        return 0.0, 0.0
    shift_y = np.clip((cross * slope_x - curve_x * slope_y) / determinant, -0.5, 0.5)
    shift_x = np.clip((cross * slope_y - curve_y * slope_x) / determinant, -0.5, 0.5)
    return float(shift_y), float(shift_x)
