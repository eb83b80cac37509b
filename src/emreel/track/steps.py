"""Steps between two sides along rays: how many there are, where each is, to a part of a pixel.

Along a ray s = p(first side) - p(second side) lies between 1 and -1, and is 0 where there is neither. With C(e) the sum
of s before the edge e, a step from the first side to the second fits best at the edge where C is largest: there the
wrong evidence on both sides together is least (a step fit, or the best split in one dimension). Wrong islands move it
only when they outweigh all that lies between. The position within the edge's surroundings is the share of the first
side there, which is the integral of a smooth rise whatever its shape.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Share = npt.NDArray[np.float32]
Edges = npt.NDArray[np.int64]
_compile: Any = numba.njit(cache=True, nogil=True)

#: A pixel belongs to the two sides when their shares together reach this.
LEAST_SHARE = 0.5


@_compile  # type: ignore[untyped-decorator]
def cut_rays(signed: Share, least_px: float) -> npt.NDArray[np.int8]:
    """Side of every sample, 1 or -1: the most evidence, less ``least_px`` for every change along the ray (Viterbi).

    signed : shape (along, ray), p(first) - p(second).
    """
    n, n_rays = signed.shape
    side = np.empty((n, n_rays), np.int8)
    came_from = np.empty((n, 2), np.int8)
    for j in range(n_rays):
        first, second = 0.0, 0.0
        for i in range(n):
            s = signed[i, j]
            came_from[i, 0] = 0 if first >= second - least_px else 1
            came_from[i, 1] = 1 if second >= first - least_px else 0
            first, second = max(first, second - least_px) + s, max(second, first - least_px) - s
        state = 0 if first >= second else 1
        for i in range(n - 1, -1, -1):
            side[i, j] = 1 - 2 * state
            state = came_from[i, state]
    return side


@_compile  # type: ignore[untyped-decorator]
def fit_steps(signed: Share, low: Edges, high: Edges) -> Edges:
    """Edge of the best step from the first side to the second, shape (ray,); between low and high, the middle of ties.

    signed : shape (along, ray). low, high : shape (ray,), edges from 0 to along.
    """
    n_rays = signed.shape[1]
    edges = np.empty(n_rays, np.int64)
    for j in range(n_rays):
        total, best, first, last, level = 0.0, 0.0, low[j], low[j], True
        for i in range(low[j], high[j]):
            total += signed[i, j]
            if total > best + 1e-6:
                best, first, last, level = total, i + 1, i + 1, True
            elif level and total > best - 1e-6:
                last = i + 1
            else:
                level = False
        edges[j] = (first + last) // 2
    return edges


@_compile  # type: ignore[untyped-decorator]
def fit_path(signed: Share, low: Edges, high: Edges, stiffness: float) -> Edges:
    """The same for all rays together: the most evidence, less ``stiffness`` for every pixel between neighbours.

    A path through C(e) by dynamic programming; one sweep a ray in each direction finds the best neighbour for an L1
    penalty.
    """
    n, n_rays = signed.shape
    score = np.zeros(n + 1)
    best = np.zeros(n + 1)
    came_from = np.zeros((n_rays, n + 1), np.int64)
    for j in range(n_rays):
        for e in range(n + 1):
            best[e] = score[e]
            came_from[j, e] = e
        for e in range(1, n + 1):
            if best[e - 1] - stiffness > best[e]:
                best[e] = best[e - 1] - stiffness
                came_from[j, e] = came_from[j, e - 1]
        for e in range(n - 1, -1, -1):
            if best[e + 1] - stiffness > best[e]:
                best[e] = best[e + 1] - stiffness
                came_from[j, e] = came_from[j, e + 1]
        total = 0.0
        for e in range(n + 1):
            inside = low[j] <= e <= high[j]
            score[e] = best[e] + total if inside else -np.inf
            if e < n:
                total += signed[e, j] if low[j] <= e < high[j] else 0.0
    edges = np.empty(n_rays, np.int64)
    edge = int(np.argmax(score))
    for j in range(n_rays - 1, -1, -1):
        edges[j] = edge
        edge = came_from[j, edge]
    return edges


@_compile  # type: ignore[untyped-decorator]
def refine_steps(first: Share, second: Share, edges: Edges, reach_px: int, gap_px: int) -> tuple[Floats, Floats]:
    """Positions of the edges to a part of a pixel, and how well both sides are there, shape (ray,) each.

    first, second : shape (along, ray), shares of the two sides. Within ``reach_px`` of the edge the window reaches as
    far as the two sides do (apart by no more than ``gap_px`` of something else), and the position is its start plus
    the sum of first / (first + second). The margin is the lesser of what the first side has before the edge and the
    second after it, less the other's, px: at most ``reach_px``; below zero or near it, one of them is not there.
    """
    n, n_rays = first.shape
    position = np.empty(n_rays)
    margin = np.empty(n_rays)
    for j in range(n_rays):
        edge = edges[j]
        low, high = edge, edge
        for i in range(edge - 1, max(edge - reach_px, 0) - 1, -1):
            if first[i, j] + second[i, j] < LEAST_SHARE and edge - i > gap_px:
                break
            if first[i, j] + second[i, j] >= LEAST_SHARE:
                low = i
        for i in range(edge, min(edge + reach_px, n)):
            if first[i, j] + second[i, j] < LEAST_SHARE and i - edge >= gap_px:
                break
            if first[i, j] + second[i, j] >= LEAST_SHARE:
                high = i + 1
        before, after, covered = 0.0, 0.0, 0.0
        for i in range(low, high):
            both = first[i, j] + second[i, j]
            covered += first[i, j] / both if both > 1e-6 else 0.5
            if i < edge:
                before += first[i, j] - second[i, j]
            else:
                after += second[i, j] - first[i, j]
        position[j] = low + covered
        margin[j] = min(before, after)
    return position, margin
