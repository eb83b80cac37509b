"""Labels with their neighbours in mind: a mean field of the Potts model, a few steps on the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from emreel.refine.errors import RefineError

Scores = npt.NDArray[np.float32]  # (y_grid, x_grid, class), log posteriors up to a constant of the point

#: The kernel ends at so many sigmas: a finite reach makes tiles equal the whole frame.
REACH_SIGMAS = 2.0


@dataclass(frozen=True, kw_only=True)
class Potts:
    """Mean field of a Potts model whose neighbours count by a Gaussian.

    Each step sets the posteriors p_k to the softmax of

        t_k = u_k + coupling * (G p_k) / (G 1),

    u_k the scores of the point alone, G a Gaussian cut off at two sigmas, divided by its coverage, so that the frame's
    edge is no neighbour. A noisy point between points of another class gives way; an edge stays where both sides
    pull alike. The mean field of C. Zhang et al. (J. Zhang, IEEE Trans. Signal Process. 40 (1992) 2570), with the
    Gaussian neighbourhood of P. Krahenbuhl and V. Koltun (NIPS 2011) without their colour term.

    Parameters
    ----------
    coupling : log odds that a class gains where all neighbours have it; 0 does nothing.
    sigma_points : of the Gaussian, grid points.
    steps : of the mean field, at least 1; each reaches two sigmas further.

    Use it for noisy labels of regions wider than the Gaussian. It rounds corners of regions narrower than that.

    >>> import numpy as np
    >>> scores = np.zeros((9, 9, 2), np.float32)
    >>> scores[..., 0] = 1.0
    >>> scores[4, 4] = 0.0, 1.0  # one point of another mind
    >>> int(Potts(coupling=4.0, sigma_points=1.5)(scores)[4, 4].argmax())
    0
    """

    coupling: float
    sigma_points: float
    steps: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.coupling < math.inf or not 0 < self.sigma_points < math.inf or self.steps < 1:
            raise RefineError(
                f"got coupling {self.coupling}, sigma {self.sigma_points} grid points, {self.steps} steps; wanted a "
                "coupling of at least 0, a positive sigma, at least one step."
            )

    @property
    def radius(self) -> int:
        """Reach of one step, grid points."""
        return math.ceil(REACH_SIGMAS * self.sigma_points)

    @property
    def reach_points(self) -> int:
        """How far away a point can matter, grid points."""
        return self.steps * self.radius

    def __call__(self, scores: npt.ArrayLike) -> Scores:
        """Scores after the last step, t_k, shape (y_grid, x_grid, class); the input is left as it was.

        Points nearer than `reach_points` to an edge of the map that is no edge of the frame are not right.
        """
        maps = np.asarray(scores, np.float32)
        if maps.ndim != 3 or 0 in maps.shape:
            raise RefineError(f"got scores of shape {maps.shape}, wanted (y_grid, x_grid, K).")
        offsets = np.arange(-self.radius, self.radius + 1)
        taps = np.exp(-0.5 * (offsets / self.sigma_points) ** 2)
        taps = (taps / taps.sum()).astype(np.float32)
        alone = np.ascontiguousarray(np.moveaxis(maps, 2, 0))
        field = np.empty_like(alone)
        _mean_field(alone, taps, np.float32(self.coupling), self.steps, field)
        return np.ascontiguousarray(np.moveaxis(field, 0, 2))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) of float32 x <= 0, to 2e-7 relative; the same bits in a vectorised loop and out of it."""
    x = max(x, np.float32(-86.0))
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - n * np.float32(0.693359375)
    r = r - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * (r * r) + r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _coverage(taps, n):  # type: ignore[no-untyped-def]
    radius = taps.size // 2
    out = np.empty(n, np.float32)
    for i in range(n):
        total = np.float32(0)
        for t in range(taps.size):
            if 0 <= i + t - radius < n:
                total += taps[t]
        out[i] = np.float32(1) / total
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _posteriors(field, p):  # type: ignore[no-untyped-def]
    """p = softmax of field over its first axis."""
    n_classes, height, width = field.shape
    top, total = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        for x in range(width):
            top[x] = field[0, y, x]
            total[x] = np.float32(0)
        for k in range(1, n_classes):
            row = field[k, y]
            for x in range(width):
                top[x] = max(top[x], row[x])
        for k in range(n_classes):
            row, out = field[k, y], p[k, y]
            for x in range(width):
                out[x] = _exp(row[x] - top[x])
                total[x] += out[x]
        for k in range(n_classes):
            out = p[k, y]
            for x in range(width):
                out[x] = out[x] / total[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean_field(alone, taps, coupling, steps, field):  # type: ignore[no-untyped-def]
    n_classes, height, width = alone.shape
    radius = taps.size // 2
    over_y, over_x = _coverage(taps, height), _coverage(taps, width)
    p = np.empty_like(alone)
    down = np.zeros(width + 2 * radius, np.float32)  # one row, smoothed along y, between margins of zeros
    across = np.empty(width, np.float32)
    field[:] = alone
    for _ in range(steps):
        _posteriors(field, p)
        for k in range(n_classes):
            for y in range(height):
                middle = down[radius : radius + width]
                middle[:] = np.float32(0)
                for t in range(max(0, radius - y), min(taps.size, height + radius - y)):
                    row, tap = p[k, y + t - radius], taps[t]
                    for x in range(width):
                        middle[x] += tap * row[x]
                across[:] = np.float32(0)
                for t in range(taps.size):
                    part, tap = down[t : t + width], taps[t]
                    for x in range(width):
                        across[x] += tap * part[x]
                own, out, weight = alone[k, y], field[k, y], coupling * over_y[y]
                for x in range(width):
                    out[x] = own[x] + weight * (across[x] * over_x[x])
