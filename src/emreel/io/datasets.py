"""Which of a file's arrays is the movie."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emreel.io.errors import ReaderError


@dataclass(frozen=True)
class Candidate:
    """An array in a file that may be the movie."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_long_axes(self) -> int:
        return sum(n > 1 for n in self.shape)

    def __str__(self) -> str:
        return f"{self.name} ({' x '.join(map(str, self.shape))}, {self.dtype})"


def choose_dataset(path: str, candidates: Sequence[Candidate], wanted: str | None) -> str:
    """The name asked for; or the only array of three axes; or, where there is none, the only picture.

    Raises
    ------
    ReaderError : no such name, nothing to choose from, or several; the candidates are listed.
    """
    names = [candidate.name for candidate in candidates]
    if wanted is not None:
        name = wanted.strip("/")
        if name in names:
            return name
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ReaderError(f"{path} has no array {wanted!r}.{hint} It has: {_listed(candidates)}.")
    usable = [c for c in candidates if c.dtype.kind in "iuf" and 0 not in c.shape]
    for n_axes in (3, 2):
        fitting = [
            c for c in usable if (c.n_long_axes == 3 or len(c.shape) == 3) == (n_axes == 3) and len(c.shape) >= 2
        ]
        fitting = [c for c in fitting if n_axes == 3 or c.n_long_axes == 2]
        if len(fitting) == 1:
            return fitting[0].name
        if fitting:
            raise ReaderError(
                f"{path} holds {len(fitting)} arrays that may be the movie: {_listed(fitting)}. "
                f"Choose one: open_movie({path!r}, dataset={fitting[0].name!r})."
            )
    raise ReaderError(
        f"{path} holds no array (time, y, x) of real numbers. It has: {_listed(candidates) or 'no array at all'}."
    )


def _listed(candidates: Sequence[Candidate]) -> str:
    shown = ", ".join(map(str, candidates[:12]))
    return shown if len(candidates) <= 12 else f"{shown}, and {len(candidates) - 12} more"
