"""Residuals that are alike from frame to frame: how alike, and what that does to the errors of a fit.

Residuals are taken as an autoregressive process of first order, correlation rho^|i - j|. Its estimate from the
residuals of a straight line is too low by about (2 + 4 rho) / n, which is put back (F. H. C. Marriott, J. A. Pope,
Biometrika 41 (1954) 390). Covariances follow exactly from rho, in a time that grows with n alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal, stats

Floats = npt.NDArray[np.float64]

MOST_RHO = 0.97


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """What a fit leaves over. rho : correlation of neighbours. n_effective : so many independent values tell as much.
    sd : of one value."""

    rho: float
    n_effective: float
    sd: float


def correlation_of(left: Floats) -> float:
    """Correlation of neighbours among the residuals of a straight line, 0 to `MOST_RHO`, its bias put back."""
    n = len(left)
    power = float(left @ left)
    if n < 6 or power <= 0:
        return 0.0
    raw = float(left[1:] @ left[:-1]) / power
    return float(np.clip((raw + 2 / n) / (1 - 4 / n), 0.0, MOST_RHO))


def describe_residuals(left: Floats, design: Floats) -> Residuals:
    """Residuals of least squares. design : shape (n, parameters), derivatives of the fit."""
    n, rho = len(left), correlation_of(left)
    inverse = np.linalg.pinv(design.T @ design)
    taken = float(np.trace(inverse @ (design.T @ _correlated(design, rho))))
    return Residuals(
        rho=rho,
        n_effective=n * (1 - rho) / (1 + rho),
        sd=float(np.sqrt(float(left @ left) / max(n - taken, 1.0))),
    )


def covariance_of(design: Floats, residuals: Residuals) -> Floats:
    """Covariance of least-squares parameters under correlated residuals, (J'J)^-1 J'SJ (J'J)^-1."""
    inverse = np.linalg.pinv(design.T @ design)
    middle = design.T @ _correlated(design, residuals.rho)
    return np.asarray(residuals.sd**2 * inverse @ middle @ inverse)


def t_quantile(confidence: float, residuals: Residuals, n_parameters: int) -> float:
    """How many standard errors an interval reaches to each side."""
    return float(stats.t.ppf((1 + confidence) / 2, max(residuals.n_effective - n_parameters, 1.0)))


def _correlated(design: Floats, rho: float) -> Floats:
    """S J with S_ij = rho^|i - j|, by one filter forwards and one backwards."""
    forwards, backwards = (signal.lfilter([1.0], [1.0, -rho], part, axis=0) for part in (design, design[::-1]))
    return np.asarray(forwards + backwards[::-1] - design)
