"""Intensity fields: class means of the intensity that bend over the frame.

Illumination, contamination and slow changes of thickness make one phase brighter on one side of the frame than on the
other, by more than two lattice-free phases differ in. The mean intensity of class k may therefore follow

    c_k + f_k(y, x),    f_k = a common quadratic of the position + one of the class's own,

learned by ridge regression, in rounds with the assignment to classes, as in the bias fields of W. M. Wells et al.
(IEEE Trans. Med. Imaging 15 (1996) 429), here with a polynomial of six terms a class.

A layered specimen looks like such a field itself. Three things keep it out: only rows take part whose surroundings
are flat (nothing of the edges' tails, which bend the field across the layers: without this rule the front movies
lose .005 to .02 of their accuracy), that lie clearly nearer to their class than to the next, and that are no
outliers of their class. And the field is dropped when it explains too little of the intensity's variance there.

The field belongs to the frame, not to the specimen: it stays where it is while the specimen drifts, as illumination and
camera do. Thickness and contamination move with the specimen, which does no harm as long as the drift is
small against the frame, because a quadratic changes slowly. A frame of another shape shows another field of view,
in which the field is not known: it is left out there, which the centres allow, for every f_k has mean zero over its
class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from emreel.cluster.assign import Centers, Rows, parse_centers, parse_rows, squared_distances
from emreel.cluster.errors import ClusterError
from emreel.reduce import Moments

#: Terms of a field: 1, y, x, y^2, y x, x^2, positions from -1 to 1 over the frame.
N_TERMS = 6
#: Rounds at most; they end when fewer than one row in so many changes its class.
_N_ROUNDS, _SETTLED = 30, 2000
#: Ridge of the common field, in units of the number of rows; the classes' own fields have ten times as much.
_RIDGE = 1e-3
#: A confident row is nearer to its class by so much of the squared distance of the two centres.
_MARGIN = 0.5
#: Rows beyond so many standard deviations (from the median deviation) of their class are left out.
_OUTLIER = 4.0
_MEDIAN_OF_NORMAL = 0.6745
#: Fewer confident rows than this a term cannot carry a field.
_ROWS_PER_TERM = 20
#: A field must explain this share of the variance of the intensity within the classes. On generated movies those that
#: explain less gain nothing (+-.001), and those that mend uneven light or contamination explain .65 to .9.
LEAST_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class IntensityField:
    """How far each class's mean intensity departs from its centre, by the place in the frame.

    Parameters
    ----------
    coefficients : shape (class, 6), of 1, y, x, y^2, y x, x^2; y and x run from -1 to 1 over the frame.
    channel : the projected channel that holds the intensity.
    shape_yx : the frame that it was learned in, px; frames of another shape have no field.
    """

    coefficients: npt.NDArray[np.float64]
    channel: int
    shape_yx: tuple[int, int]

    def at(self, y_px: npt.ArrayLike, x_px: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The fields at n places, shape (n, class)."""
        y, x = _scaled(y_px, self.shape_yx[0]), _scaled(x_px, self.shape_yx[1])
        one, a, b, aa, ab, bb = (term[None, :] for term in self.coefficients.T)
        y, x = y[:, None], x[:, None]
        values: npt.NDArray[np.float64] = one + a * y + b * x + aa * (y * y) + ab * (y * x) + bb * (x * x)
        return values

    def squared_distances(
        self, rows: npt.ArrayLike, centers: npt.ArrayLike, y_px: npt.ArrayLike, x_px: npt.ArrayLike
    ) -> npt.NDArray[np.float32]:
        """Squared distance of every row, shape (n, d), at its place to every centre, shape (n, K)."""
        rows, centers = parse_rows(rows), parse_centers(centers)
        distances = squared_distances(rows, centers)
        if self.coefficients.shape[0] != len(centers) or not 0 <= self.channel < rows.shape[1]:
            raise ClusterError(
                f"got a field of {len(self.coefficients)} classes in channel {self.channel} for {len(centers)} centres "
                f"of {rows.shape[1]} features. Use the field that was learned with these centres."
            )
        y, x = _scaled(y_px, self.shape_yx[0]), _scaled(x_px, self.shape_yx[1])
        _bend(distances, rows, y, x, centers[:, self.channel].copy(), self.coefficients, self.channel)
        return distances

    def flattened(
        self, rows: npt.ArrayLike, centers: npt.ArrayLike, y_px: npt.ArrayLike, x_px: npt.ArrayLike
    ) -> npt.NDArray[np.float32]:
        """The rows without the field of the class that each is nearest to, shape (n, d)."""
        rows = parse_rows(rows)
        nearest = self.squared_distances(rows, centers, y_px, x_px).argmin(axis=1)
        flat = rows.copy()
        flat[:, self.channel] -= self.at(y_px, x_px)[np.arange(len(rows)), nearest].astype(np.float32)
        return flat

    def reordered(self, order: npt.NDArray[np.int64]) -> Self:
        """The field of the classes in another order."""
        coefficients = np.ascontiguousarray(self.coefficients[order])
        return type(self)(coefficients=coefficients, channel=self.channel, shape_yx=self.shape_yx)


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Rows of a sample and where they lie: what a field is learned from.

    rows : shape (n, d). y_px, x_px : shape (n,). roughness : shape (n,), how much the intensity changes in the row's
    surroundings.
    """

    rows: Rows
    y_px: npt.NDArray[np.float64]
    x_px: npt.NDArray[np.float64]
    roughness: npt.NDArray[np.float64]


def learn_field(
    placed: Placed,
    centers: npt.ArrayLike,
    *,
    channel: int,
    shape_yx: tuple[int, int],
    least_share: float = LEAST_SHARE,
    shared: bool = False,
) -> tuple[Centers, IntensityField] | None:
    """Centres and field, learned in turns from a sample; None when the field explains too little.

    Sums are exact and every row is worked on alone, so the bits depend on the rows and their order only.

    Parameters
    ----------
    centers : shape (K, d), e.g. of k-means. least_share : of the variance within the classes, 0 to 1.
    shared : one field for all classes. It cannot tell classes apart that are halves of one bent phase, as fields of
        their own can.
    """
    rows, start = parse_rows(placed.rows), parse_centers(centers)
    if len(rows) < _ROWS_PER_TERM * N_TERMS:
        return None
    field = IntensityField(coefficients=np.zeros((len(start), N_TERMS)), channel=channel, shape_yx=shape_yx)
    basis = _basis(placed, shape_yx)
    moved, share = start, 0.0
    before = np.full(len(rows), -1)
    for _ in range(_N_ROUNDS):
        distances = field.squared_distances(rows, moved, placed.y_px, placed.x_px)
        nearest = distances.argmin(axis=1)
        if np.count_nonzero(nearest != before) * _SETTLED < len(rows):
            break
        before = nearest
        rest = rows[:, channel].astype(np.float64) - moved[nearest, channel]
        left = rest - field.at(placed.y_px, placed.x_px)[np.arange(len(rows)), nearest]
        used = _confident(distances, nearest, moved) & _typical(left, nearest, placed.roughness, len(moved))
        if np.count_nonzero(used) < _ROWS_PER_TERM * N_TERMS:
            return None
        coefficients, share = _regress(basis[used], rest[used], nearest[used], len(moved), shared=shared)
        field = IntensityField(coefficients=coefficients, channel=channel, shape_yx=shape_yx)
        at = field.at(placed.y_px, placed.x_px)[np.arange(len(rows)), nearest]
        moved = _shifted(moved, rest[used] - at[used], nearest[used], channel)
    return (moved, field) if share >= least_share else None


# ------------------------------------------------------------------------------------------------ inside


def _scaled(position_px: npt.ArrayLike, n_px: int) -> npt.NDArray[np.float64]:
    scaled: npt.NDArray[np.float64] = np.asarray(position_px, np.float64) * (2.0 / max(n_px - 1, 1)) - 1.0
    return scaled


def _basis(placed: Placed, shape_yx: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The terms but the constant, shape (n, 5)."""
    y, x = _scaled(placed.y_px, shape_yx[0]), _scaled(placed.x_px, shape_yx[1])
    return np.stack([y, x, y * y, y * x, x * x], axis=1)


def _confident(distances: npt.NDArray[np.float32], nearest: npt.NDArray[np.int64], centers: Centers) -> Any:
    if len(centers) == 1:
        return np.ones(len(distances), bool)
    first = distances[np.arange(len(distances)), nearest]
    others = distances.copy()
    others[np.arange(len(distances)), nearest] = np.inf
    second = others.argmin(axis=1)
    apart = squared_distances(centers, centers)[nearest, second]
    return others[np.arange(len(distances)), second] - first > _MARGIN * apart


def _typical(
    left: npt.NDArray[np.float64], nearest: npt.NDArray[np.int64], roughness: npt.NDArray[np.float64], n_classes: int
) -> npt.NDArray[np.bool_]:
    """Rows in the flatter half of their class that are no outliers of it."""
    typical = np.zeros(len(left), bool)
    for k in range(n_classes):
        mine = np.flatnonzero(nearest == k)
        if mine.size:
            apart = np.abs(left[mine] - np.median(left[mine]))
            spread = float(np.median(apart)) / _MEDIAN_OF_NORMAL
            typical[mine] = (roughness[mine] <= np.median(roughness[mine])) & (apart <= _OUTLIER * spread)
    return typical


def _regress(
    basis: npt.NDArray[np.float64],
    rest: npt.NDArray[np.float64],
    nearest: npt.NDArray[np.int64],
    n_classes: int,
    *,
    shared: bool,
) -> tuple[npt.NDArray[np.float64], float]:
    """Coefficients of every class, shape (K, 6), and the share of variance explained.

    Unknowns: the common field (5), each class's own (5 K), each class's mean (K). Fields have mean zero over their
    class; a shared one has no constant.
    """
    n, m = len(rest), N_TERMS - 1
    size = m * (n_classes + 1)
    normal, right = np.zeros((size, size)), np.zeros(size)
    means, before = np.zeros((n_classes, m)), 0.0
    for k in range(n_classes):
        mine = nearest == k
        count = int(np.count_nonzero(mine))
        if count == 0:
            continue
        mean, covariance = Moments.of(np.column_stack([basis[mine], rest[mine]])).finish()
        within = covariance * max(count - 1, 1)  # about the class's mean, which the class may choose freely
        means[k], before = mean[:m], before + float(within[m, m])
        own = slice(m * (k + 1), m * (k + 2))
        for rows in (slice(0, m), own):
            right[rows] += within[:m, m]
            for columns in (slice(0, m), own):
                normal[rows, columns] += within[:m, :m]
    ridge = np.full(size, 10 * _RIDGE * n)
    ridge[:m] = _RIDGE * n
    found, free = np.zeros(size), slice(0, m if shared else size)
    with threadpool_limits(limits=1, user_api="blas"):
        found[free] = np.linalg.solve((normal + np.diag(ridge))[free, free], right[free])
    explained = 2 * float(np.sum(found * right)) - float(np.sum(found[:, None] * normal * found[None, :]))
    slopes = found[:m] + found[m:].reshape(n_classes, m)
    constant = np.zeros(n_classes) if shared else -np.sum(slopes * means, axis=1)
    return np.column_stack([constant, slopes]), explained / before if before > 0 else 0.0


def _shifted(centers: Centers, left: npt.NDArray[np.float64], nearest: npt.NDArray[np.int64], channel: int) -> Centers:
    """The centres with the mean intensity that the field leaves; the other channels know nothing of it."""
    moved = centers.copy()
    for k in range(len(centers)):
        mine = left[nearest == k]
        if len(mine):
            moved[k, channel] += Moments.of(mine[:, None]).finish()[0][0]
    return moved


@numba.njit(cache=True, nogil=True)
def _bend(distances, rows, y, x, middles, coefficients, channel):  # type: ignore[no-untyped-def]
    """Turn squared distances to the centres into those to the centres moved by the field, in place."""
    for i in range(distances.shape[0]):
        for k in range(distances.shape[1]):
            c = coefficients[k]
            moved = c[0] + c[1] * y[i] + c[2] * x[i] + c[3] * y[i] * y[i] + c[4] * y[i] * x[i] + c[5] * x[i] * x[i]
            apart = rows[i, channel] - middles[k]
            distances[i, k] = max(distances[i, k] + moved * (moved - 2 * apart), 0.0)
