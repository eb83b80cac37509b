"""How fast: slopes that outliers do not move, and where a front jumps, stalls or starts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from emreel.track.noise import correlated_length

Floats = npt.NDArray[np.float64]

_MAD = 1.4826
#: Values a straight piece, at least; and how many values are looked at one by one.
LEAST_PIECE, MOST_POINTS = 8, 1000
#: What a further piece must lower the sum of squares by, in noise^2 log n: one for each of its three parameters.
PENALTY = 3.0
#: A first fit has so many times the penalty, so that what it leaves over shows how neighbours are alike.
COARSE = 10.0
#: Frames on each side that a jump is compared with; a jump's least size in standard deviations; the least noise, px.
JUMP_FRAMES, JUMP_SIGMAS, LEAST_NOISE_PX = 5, 8.0, 0.25
#: A piece of less than this share of the mean speed stalls; a front that came less far than so much noise never moved.
STALL_SHARE, MOVED_SIGMAS = 0.4, 10.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """A front jumps, stalls or starts at the row ``index``. step : how far it jumps; else 0."""

    kind: Literal["jumps", "stalls", "starts"]
    index: int
    step: float = 0.0


def theil_sen(x: Floats, y: Floats) -> float:
    """Median of the slopes between every two points; NaN below two."""
    i, j = np.triu_indices(len(x), 1)
    apart = x[j] - x[i]
    slopes = (y[j] - y[i])[apart != 0] / apart[apart != 0]
    return float(np.median(slopes)) if slopes.size else float("nan")


def local_slopes(x: Floats, y: Floats, reach: int) -> Floats:
    """Theil-Sen slope over the ``reach`` points on each side of every point; NaN where x is unknown."""
    known = np.isfinite(x) & np.isfinite(y)
    slopes = np.full(len(x), np.nan)
    rows = np.flatnonzero(known)
    for place, row in enumerate(rows):
        part = rows[max(place - reach, 0) : place + reach + 1]
        if len(part) >= 3:
            slopes[row] = theil_sen(x[part], y[part])
    return slopes


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A straight piece of a curve: rows ``start`` to ``stop`` (not included), its slope, and its value at both ends."""

    start: int
    stop: int
    slope: float
    first: float
    last: float


def fit_pieces(y: Floats, noise: float, *, least: int = LEAST_PIECE) -> list[Piece]:
    """Cut a curve of evenly spaced values into straight pieces, not joined to one another.

    Penalised least squares by dynamic programming (optimal partitioning): every further piece must lower the sum of
    squares by ``PENALTY noise^2 log n``, times so many values as count as one (what a first fit leaves over is
    correlated, and would be cut into pieces). Long curves are first grouped to `MOST_POINTS` means.

    y : shape (n,), finite. noise : standard deviation of a value, in its unit. least : values a piece.
    """
    n = len(y)
    group = -(-n // MOST_POINTS)
    if group > 1:
        y = y[: n // group * group].reshape(-1, group).mean(axis=1)
        noise /= np.sqrt(group)
    least, cost = max(-(-least // group), 2), noise**2 * np.log(max(n, 2))
    ends = _best_cuts(y, COARSE * PENALTY * cost, least)
    alike = correlated_length(np.concatenate([_left_over(y, *piece) for piece in pairwise(ends)]))
    ends = _best_cuts(y, PENALTY * cost * max(alike, 1.0), least)
    pieces = []
    for start, stop in pairwise(ends):
        x = np.arange(start, stop, dtype=np.float64)
        slope = theil_sen(x, y[start:stop]) if stop - start > 1 else 0.0
        level = float(np.median(y[start:stop] - slope * x))
        last = n if stop == len(y) else stop * group
        pieces.append(
            Piece(
                start=start * group,
                stop=last,
                slope=slope / group,
                first=level + slope * start,
                last=level + slope * (stop - 1),
            )
        )
    return pieces


def find_changes(y: Floats, noise: Floats | None = None) -> list[Change]:
    """Jumps, stalls and starts of positions that were taken one after another.

    A jump goes further in one step than the steps around it, by eight of their standard deviations, and stays there. A
    stall is a straight piece (`fit_pieces`) of less than `STALL_SHARE` of the mean speed.

    y : shape (n,), px; unknown ones (NaN) are left out. noise : shape (n,), standard errors, px.
    """
    rows = np.flatnonzero(np.isfinite(y))
    if len(rows) < 2 * LEAST_PIECE:
        return []
    values = y[rows]
    told = 0.0 if noise is None or not np.isfinite(noise).any() else float(np.nanmedian(noise))
    sigma = max(noise_of_steps(values), told, LEAST_NOISE_PX)
    jumps = _find_jumps(values, sigma)
    level = values.copy()
    for index, step in jumps:  # what jumps neither stalls nor goes
        level[index:] -= step
    speed = abs(level[-1] - level[0]) / len(level)
    changes = [Change(kind="jumps", index=int(rows[index]), step=step) for index, step in jumps]
    if speed * len(level) > MOVED_SIGMAS * sigma:
        pieces = fit_pieces(level, sigma, least=LEAST_PIECE)
        still = [abs(piece.slope) < STALL_SHARE * speed for piece in pieces]
        for before, after, piece in zip(still, still[1:], pieces[1:], strict=False):
            if before != after:
                changes.append(Change(kind="stalls" if after else "starts", index=int(rows[piece.start])))
    return sorted(changes, key=lambda change: change.index)


def noise_of_steps(y: Floats) -> float:
    """Standard deviation of single values, from their second differences (1.48 times the median deviation)."""
    return _MAD * float(np.median(np.abs(np.diff(y, 2)))) / np.sqrt(6.0) if len(y) > 2 else 0.0


def _find_jumps(y: Floats, sigma: float) -> list[tuple[int, float]]:
    """Rows at which y jumps, and how far."""
    step = np.diff(y)
    reach = np.lib.stride_tricks.sliding_window_view(np.pad(step, JUMP_FRAMES, mode="reflect"), 2 * JUMP_FRAMES + 1)
    excess = step - np.median(reach, axis=1)
    scale = max(_MAD * float(np.median(np.abs(excess))), sigma * np.sqrt(2.0))
    jumps = []
    for place in np.flatnonzero(np.abs(excess) > JUMP_SIGMAS * scale):
        before, after = y[max(place + 1 - JUMP_FRAMES, 0) : place + 1], y[place + 1 : place + 1 + JUMP_FRAMES]
        lasting = float(np.median(after) - np.median(before))
        if len(after) >= 2 and abs(lasting) > 0.5 * abs(excess[place]) and lasting * excess[place] > 0:
            jumps.append((int(place) + 1, float(excess[place])))
    return jumps


def _left_over(y: Floats, start: int, stop: int) -> Floats:
    """A piece less its straight line."""
    x = np.arange(stop - start, dtype=np.float64)
    return np.asarray(y[start:stop] - np.polyval(np.polyfit(x, y[start:stop], 1), x))


def _best_cuts(y: Floats, penalty: float, least: int) -> list[int]:
    """Ends of the straight pieces with the least sum of squares plus penalty, the first 0 and the last n."""
    n = len(y)
    x = np.arange(n, dtype=np.float64)
    sums = np.concatenate([np.zeros((5, 1)), np.cumsum([x, x * x, y, y * y, x * y], axis=1)], axis=1)
    cost, came_from = np.full(n + 1, np.inf), np.zeros(n + 1, np.intp)
    cost[0] = -penalty
    for stop in range(least, n + 1):
        start = np.arange(0, stop - least + 1)
        m = stop - start
        sx, sxx, sy, syy, sxy = sums[:, stop, None] - sums[:, start]
        xx, xy = sxx - sx * sx / m, sxy - sx * sy / m
        rest = np.maximum(syy - sy * sy / m - np.divide(xy * xy, xx, out=np.zeros_like(xx), where=xx > 0), 0)
        total = cost[start] + rest + penalty
        came_from[stop] = start[np.argmin(total)]
        cost[stop] = total.min()
    ends = [n]
    while ends[-1] > 0:
        ends.append(int(came_from[ends[-1]]))
    return ends[::-1]
