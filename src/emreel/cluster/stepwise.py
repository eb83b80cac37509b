"""Centres that follow a movie: a fixed projection, and one k-means step a frame.

The published symmetry method segments a sequence so (Wang et al., Microsc. Microanal. 27 (2021) 1454, and their code):
descriptors, PCA and k-means are fitted once; every further frame is projected with that PCA, and k-means starts
from the centres of the frame before and takes one step,

    c_k(t) = c_k(t - 1) + rate (mean of the frame's rows that are nearest to c_k(t - 1)  -  c_k(t - 1))

and the frame is labelled by the nearest c_k(t). The published rate is 1. A class keeps its number as long as its rows
stay nearest to it, whatever its area (the original sorts classes by area in every frame, so that labels swap when two
areas cross); a class without rows in a frame keeps its centre; the first centres should come from a fit on a sample
of the whole movie, not on frame 0.

**Use it** where the same phase changes slowly in the course of the movie: contamination, a drifting focus, dose
damage. A smaller rate follows more slowly and with less noise. **It fails** where a phase vanishes for long (its
centre stays where it was, or is drawn away by strays), where the change from frame to frame is as large as the
classes lie apart, and where labels must not depend on the frames before: a model with fixed centres labels any frame
alone, this one only in order. The state is `StepwiseCenters`, plain data: an interrupted run goes on to the bit.

>>> import numpy as np
>>> followed = StepwiseCenters(centers=((0.0,), (10.0,)))
>>> for shift in (0.0, 2.0, 4.0, 6.0, 8.0):
...     followed, labels = followed.step(np.array([[0.0], [1.0], [10.0], [11.0], [12.0]]) + shift)
>>> followed.centers, labels.tolist(), followed.n_steps
(((8.5,), (19.0,)), [0, 0, 1, 1, 1], 5)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import Centers, assign, parse_centers, parse_rows
from emreel.cluster.errors import ClusterError
from emreel.cluster.kmeans import one_step


@dataclass(frozen=True, kw_only=True)
class StepwiseCenters:
    """Centres after some frames, and the rule by which they follow the next.

    Parameters
    ----------
    centers : (K, d), in the projected space, the classes in the model's order.
    rate : share of the step that is taken, above 0 up to 1 (the published one).
    n_steps : frames followed so far.

    Raises
    ------
    ClusterError : centres that are not finite or of another shape, a rate outside 0..1.
    """

    centers: tuple[tuple[float, ...], ...]
    rate: float = 1.0
    n_steps: int = 0

    def __post_init__(self) -> None:
        array = parse_centers(self.centers)
        object.__setattr__(self, "centers", tuple(tuple(map(float, center)) for center in array))
        if not 0 < self.rate <= 1:
            raise ClusterError(f"got rate = {self.rate!r}, wanted a share above 0 and up to 1.")

    @property
    def array(self) -> Centers:
        """The centres as float64, shape (K, d)."""
        return np.array(self.centers, np.float64)

    def step(self, rows: npt.ArrayLike) -> tuple[Self, npt.NDArray[np.int32]]:
        """Follow one frame: its projected rows, shape (n, d). Returns the next state and the rows' classes, 0..K-1.

        A frame without rows, or whose rows are not all finite, is refused; skip unusable frames.
        """
        table = parse_rows(rows)
        before = self.array
        moved = before + self.rate * (one_step(table, before) - before) if self.rate < 1 else one_step(table, before)
        labels, _ = assign(table, moved)
        return replace(self, centers=moved, n_steps=self.n_steps + 1), labels  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, exact: for a ledger."""
        return {"centers": [list(center) for center in self.centers], "rate": self.rate, "n_steps": self.n_steps}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The state that `to_dict` wrote."""
        known = {"centers", "rate", "n_steps"}
        if set(values) != known:
            raise ClusterError(f"got a state with the fields {sorted(values)}, wanted {sorted(known)}.")
        return cls(centers=values["centers"], rate=float(values["rate"]), n_steps=int(values["n_steps"]))
