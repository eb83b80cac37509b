"""What of a front's positions is noise: three frames tell it from the front's own shape and motion.

A front that moves steadily has no second difference in time, and a rough one neither; what second differences remain
is noise. (With positions of one frame alone, roughness could not be told from noise: at a true width of 3.16 px the raw
value reads 3.82.) Errors that last longer than three frames are not seen here: they come out as correlated residuals
of the front through time, for which `emreel.track.kinetics` allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Variance of x(t) - (x(t - 1) + x(t + 1)) / 2 for independent x of variance 1.
_SECOND = 1.5
_MAD = 1.4826
LEAST_COLUMNS = 8
#: Differences beyond so many standard deviations are cut before correlations are taken.
_CUT = 4.0


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard errors, px: of one column's position, and of the mean over the columns."""

    column_px: float = float("nan")
    mean_px: float = float("nan")


def noise_of(before: Floats, now: Floats, after: Floats) -> Noise:
    """Noise of positions, shape (column,) each, NaN where unknown, of three frames one after another."""
    return _noise(now - (before + after) / 2)


def noise_across(now: Floats) -> Noise:
    """The same from one frame, where there is no other: differences between columns count as noise (an upper bound
    where the front is rough, a lower one where errors of neighbours are alike)."""
    around = np.full(now.shape, np.nan)
    around[1:-1] = (now[:-2] + now[2:]) / 2
    return _noise(now - around)


def _noise(difference: Floats) -> Noise:
    known = np.isfinite(difference)
    if known.sum() < LEAST_COLUMNS:
        return Noise()
    away = difference - np.median(difference[known])
    column = _MAD * float(np.median(np.abs(away[known])))
    cut = np.where(known, np.clip(away, -_CUT * column, _CUT * column), 0.0)
    column /= np.sqrt(_SECOND)
    return Noise(column_px=column, mean_px=column / float(np.sqrt(max(known.sum() / correlated_length(cut), 1.0))))


def correlated_length(values: Floats) -> float:
    """1 + 2 sum of the autocorrelations up to the first that is not positive: so many values count as one."""
    power = np.abs(np.fft.rfft(values, 2 * len(values))) ** 2
    correlation = np.fft.irfft(power)[: len(values)]
    if correlation[0] <= 0:
        return 1.0
    correlation = correlation / correlation[0]
    ends = np.flatnonzero(correlation <= 0)
    return float(1 + 2 * correlation[1 : ends[0] if ends.size else len(values)].sum())


def roughness_of(positions: Floats, column_px: Floats, noise_px: float) -> tuple[float, float]:
    """Root mean square width of a front about a straight line, px: without its noise, and as measured."""
    known = np.isfinite(positions)
    if known.sum() < LEAST_COLUMNS:
        return float("nan"), float("nan")
    x, y = column_px[known] - column_px[known].mean(), positions[known] - positions[known].mean()
    slope = float(x @ y) / max(float(x @ x), 1e-12)
    raw = float(np.sqrt(np.mean((y - slope * x) ** 2)))
    return float(np.sqrt(max(raw**2 - noise_px**2, 0.0))), raw
