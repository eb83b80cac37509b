"""The shortest repeat of a lattice, from reflections that several crystals may have left in one spectrum.

Two reflections that are not in line span a reciprocal lattice; of all pairs, the one whose lattice holds most of the
reflections is a crystal's, and of those that hold equally many the one with the largest cell, since every lattice
is also part of a finer one. Its cell is fitted to all the reflections that it holds, inverted, and reduced
(Lagrange and Gauss): the shortest vector of the real lattice is the repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: A reflection lies on a lattice when it is this near to one of its points, over the length of the shortest reflection.
TOLERANCE = 0.08
#: A reciprocal lattice has no points nearer than this share of the shortest reflection: a dense one holds anything.
SHORTEST = 0.5
#: Two reflections span a lattice when the sine of their angle is at least this.
LEAST_SINE = 0.17


@dataclass(frozen=True, eq=False)
class Repeat:
    """cell_yx : shape (2, 2), rows are the shortest lattice vectors (y, x), px; one row for stripes.

    n_held : how many of the reflections the lattice holds.
    """

    cell_yx: Floats
    n_held: int

    @property
    def length_px(self) -> float:
        """Length of the shortest lattice vector, px."""
        return float(np.hypot(*self.cell_yx[0]))


def find_repeat(g_yx: npt.ArrayLike) -> Repeat | None:
    """The shortest repeat of the lattice that holds most of the reflections, shape (n, 2), cycles/px.

    None without reflections. Reflections in one line are stripes: one vector across them.

    >>> repeat = find_repeat([(0.1, 0.0), (0.0, 0.1), (0.1, 0.1)])
    >>> round(repeat.length_px, 3), repeat.n_held
    (10.0, 3)
    """
    g = np.asarray(g_yx, np.float64).reshape(-1, 2)
    if not len(g):
        return None
    shortest = float(np.hypot(*g.T).min())
    best: tuple[int, float] = (0, 0.0)
    chosen: Floats | None = None
    for pair in combinations(range(len(g)), 2):
        drawn = g[list(pair)]
        area = abs(float(np.linalg.det(drawn)))
        if area < LEAST_SINE * np.prod(np.hypot(*drawn.T)):
            continue
        basis = _reduced(drawn)
        if np.hypot(*basis[0]) < SHORTEST * shortest:
            continue
        score = (int(np.count_nonzero(_on_lattice(g, basis))), area)
        if (score[0], score[1] * (1 - 1e-6)) > best:
            best, chosen = score, basis
    if chosen is None:
        across = g[np.hypot(*g.T).argmin()]
        return Repeat((across / float(across @ across))[None, :], len(g))
    held = _on_lattice(g, chosen)
    fitted = np.linalg.lstsq(np.rint(g[held] @ np.linalg.inv(chosen)), g[held], rcond=None)[0]
    return Repeat(_reduced(np.linalg.inv(fitted).T), best[0])


def _on_lattice(g: Floats, basis: Floats) -> npt.NDArray[np.bool_]:
    indices = g @ np.linalg.inv(basis)
    off = (indices - np.rint(indices)) @ basis
    return np.asarray(np.hypot(*off.T) < TOLERANCE * np.hypot(*g.T).min())


def _reduced(basis: Floats) -> Floats:
    """The shortest two vectors of the lattice of two, the shorter first."""
    a, b = sorted(basis.copy(), key=lambda vector: float(vector @ vector))
    while True:
        b = b - np.rint((a @ b) / (a @ a)) * a
        if float(b @ b) >= float(a @ a) * (1 - 1e-12):
            return np.array([a, b])
        a, b = b, a
