"""A chip's embedding from emreel's own measures: no network, no weights, no download.

Five parts, each a vector of length 1, so that the cosine of two embeddings is the mean of the five parts' cosines:

spectrum    root of the mean power in rings of one cycle a chip (the radially averaged spectrum), from 2 cycles to 17:
            which spacings there are, whatever their direction. A flat chip has the same in every ring.
translation how well the chip fits onto itself after a shift: its autocorrelation (after Wiener and Khinchin), divided
            by the window's own, for 20 shifts of up to 4/3 of a period.
rotation    how much of the power comes back after a turn by 180, 90 and 60 degrees: the angular harmonics 2, 4, 6 of
            the power, ring by ring.
contrast    standard deviation over mean.
brightness  where the mean lies in a range of counts that is learned from the movie.

A score c is written as (sin a, cos a) of the angle a = 60 c degrees, contrast and brightness as the same of angles of
their own. So every part has one length whatever its scores, a weak score stays weak, equal steps of a score are equal
angles, and two chips are alike by the cosine of the angles between their scores. (The angle whose cosine is c would be
one more choice, but it makes much of the difference between 0.98 and 0.99 in a good crystal.) Brightness spans 45
degrees: then the darkest and the brightest chips are about as far from each other as chips with a lattice and
without; over 90 degrees nothing but brightness would count.

A chip is tapered by a Hann window after its mean is taken away. The spectrum is computed over a padded square, so that
the autocorrelation does not wrap around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import fft

from emreel.descriptors.base import Feature

Chips = npt.NDArray[np.float32]  # (chip, y, x), counts
Embeddings = npt.NDArray[np.float32]  # (chip, feature)
Floats = npt.NDArray[np.float64]

#: Rings of one cycle a chip from the first to below the last; slower waves are slopes and thickness.
FIRST_RING, END_RING = 2, 18
#: Shifts are multiples of the chip's side over this: thirds of a period where the chip holds four.
LAG_STEPS_A_CHIP = 12
#: Largest shift along an axis, steps; the even ones of the half plane are taken.
LAG_REACH = 4
FOLDS = (2, 4, 6)
#: Angle of a score of 1.
SCORE_SPAN = np.pi / 3
#: Angle between the darkest and the brightest chips.
BRIGHTNESS_SPAN = np.pi / 4
#: Contrast (sd over mean) whose angle is 45 degrees, where the movie tells none.
USUAL_CONTRAST = 0.2
#: A chip whose sd is below this share of its rms is flat.
FLAT = 1e-6


def own_features(chip_px: int) -> tuple[Feature, ...]:
    """Names of the numbers that `embed_own` gives for chips of this side, px."""
    rings = [f"ring {ring} cycles" for ring in _rings(chip_px)]
    scores = [f"shift {dy:+.1f} {dx:+.1f} px" for dy, dx in _lags(chip_px)] + [f"fold {n}" for n in FOLDS]
    angles = [*scores, "contrast", "brightness"]
    return tuple(Feature(name) for name in [*rings, *(f"{name} {part}" for name in angles for part in ("x", "y"))])


def embed_own(
    chips: Chips, *, brightness_range: tuple[float, float] | None = None, contrast: float = USUAL_CONTRAST
) -> Embeddings:
    """Embed chips, shape (chip, side, side), counts; shape (chip, feature), every row of length 1.

    brightness_range : counts that are dark (0 degrees) and bright (45 degrees); None leaves brightness out.
    contrast : sd over mean that stands for 45 degrees.
    """
    side = chips.shape[1]
    plan = _plan(side)
    mean = np.einsum("nyx,yx->n", chips, plan.taper, dtype=np.float64) / plan.taper.sum()
    flattened = (chips - mean[:, None, None].astype(np.float32)).astype(np.float64) * plan.taper
    flattened -= plan.taper * (flattened.sum(axis=(1, 2)) / plan.taper.sum())[:, None, None]
    power = np.abs(fft.rfft2(flattened, s=(plan.padded_px, plan.padded_px), axes=(1, 2))) ** 2
    sums = power.reshape(len(chips), -1) @ plan.sums
    total = sums[:, 0]
    deviation = np.sqrt(total / plan.taper_power)
    level = np.sqrt(mean**2 + deviation**2)
    structured = deviation > FLAT * level
    parts = (
        _spectrum(sums[:, plan.rings], structured, plan.ring_sizes),
        _on_circle(_shift_scores(sums, total, structured, plan) * SCORE_SPAN),
        _on_circle(_fold_scores(sums, structured, plan) * SCORE_SPAN),
        _on_circle(np.arctan2(deviation, contrast * np.abs(mean))[:, None]),
        _on_circle(_brightness_angle(mean, brightness_range)[:, None]),
    )
    embedded = np.concatenate(parts, axis=1) / np.sqrt(len(parts))
    return np.asarray(embedded, np.float32)


def _spectrum(ring_power: Floats, structured: npt.NDArray[np.bool_], ring_sizes: Floats) -> Floats:
    amplitude = np.sqrt(np.maximum(ring_power / ring_sizes, 0))
    amplitude[~structured] = 1.0
    length = np.linalg.norm(amplitude, axis=1, keepdims=True)
    amplitude[length[:, 0] == 0] = 1.0
    return np.asarray(amplitude / np.linalg.norm(amplitude, axis=1, keepdims=True))


def _shift_scores(sums: Floats, total: Floats, structured: npt.NDArray[np.bool_], plan: _Plan) -> Floats:
    """Correlations with shifted copies, -1..1; 0 for flat chips."""
    scale = np.where(structured, total, 1.0)[:, None]
    return np.where(structured[:, None], np.clip(sums[:, plan.lags] / scale / plan.taper_lags, -1, 1), 0.0)


def _fold_scores(sums: Floats, structured: npt.NDArray[np.bool_], plan: _Plan) -> Floats:
    """Shares of the rings' power that a turn brings back, 0..1; 0 for flat chips."""
    whole = sums[:, plan.rings].sum(axis=1)
    scale = np.where(structured & (whole > 0), whole, np.inf)
    waves = [np.hypot(sums[:, c], sums[:, s]).sum(axis=1) for c, s in zip(plan.cosines, plan.sines, strict=True)]
    return np.asarray(np.clip(np.stack(waves, axis=1) / scale[:, None], 0, 1))


def _on_circle(angles: Floats) -> Floats:
    """(sin a, cos a) of every angle, side by side, divided so that a row has length 1."""
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=2)
    return np.asarray(pairs.reshape(len(angles), -1) / np.sqrt(angles.shape[1]))


def _brightness_angle(mean: Floats, brightness_range: tuple[float, float] | None) -> Floats:
    if brightness_range is None:
        return np.zeros_like(mean)
    low, high = brightness_range
    return np.asarray(np.clip((mean - low) / (high - low), 0, 1) * BRIGHTNESS_SPAN)


# ------------------------------------------------------------------------------------------------ the plan


@dataclass(frozen=True, eq=False)
class _Plan:
    """What chips of one side share: window, and one matrix whose columns sum the half spectrum's power."""

    padded_px: int
    taper: Floats
    taper_power: float
    sums: Floats
    rings: slice
    ring_sizes: Floats
    lags: slice
    taper_lags: Floats
    cosines: tuple[slice, ...]
    sines: tuple[slice, ...]


def _rings(chip_px: int) -> range:
    return range(FIRST_RING, max(min(END_RING, chip_px // 2), FIRST_RING + 1))


def _lags(chip_px: int) -> Floats:
    """(dy, dx), px: the even points of the half plane of a grid, signs alternating (as `independent_shifts`)."""
    n = LAG_REACH
    half = [(i, j) for i in range(n + 1) for j in range(-n, n + 1) if (i > 0 or j > 0) and (i + j) % 2 == 0]
    return np.array([(i, j) if i % 2 == 0 else (-i, -j) for i, j in half]) * (chip_px / LAG_STEPS_A_CHIP)


@lru_cache(maxsize=8)
def _plan(chip_px: int) -> _Plan:
    lags = _lags(chip_px)
    padded = int(fft.next_fast_len(chip_px + int(np.ceil(np.abs(lags).max())), real=True))
    axis = np.sin(np.pi * (np.arange(chip_px) + 0.5) / chip_px) ** 2
    taper = np.outer(axis, axis)
    ky, kx = np.meshgrid(np.fft.fftfreq(padded), np.fft.rfftfreq(padded), indexing="ij")
    twice = np.where((kx == 0) | (kx == 0.5), 1.0, 2.0) / padded**2  # the other half plane, and Parseval
    ring_of = np.rint(np.hypot(ky, kx) * chip_px)
    rings = _rings(chip_px)
    members = np.stack([twice * (ring_of == ring) for ring in rings], axis=-1).reshape(-1, len(rings))
    waves = np.cos(2 * np.pi * (ky[..., None] * lags[:, 0] + kx[..., None] * lags[:, 1])) * twice[..., None]
    angle = np.arctan2(ky, kx).ravel()[:, None]
    columns = [twice.reshape(-1, 1), members, waves.reshape(-1, len(lags))]
    for n in FOLDS:
        columns += [members * np.cos(n * angle), members * np.sin(n * angle)]
    ends = np.cumsum([0, *(column.shape[1] for column in columns)])
    at = [slice(int(a), int(b)) for a, b in pairwise(ends)]
    taper_power = np.abs(np.fft.rfft2(taper, s=(padded, padded))) ** 2
    taper_lags = taper_power.ravel() @ columns[2] / np.sum(taper**2)
    return _Plan(
        padded_px=padded,
        taper=taper,
        taper_power=float(np.sum(taper**2)),
        sums=np.hstack(columns),
        rings=at[1],
        ring_sizes=np.maximum(members.sum(axis=0), 1e-300),
        lags=at[2],
        taper_lags=taper_lags,
        cosines=tuple(at[3::2]),
        sines=tuple(at[4::2]),
    )
