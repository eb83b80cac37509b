"""Labels that keep still where the specimen does: a hidden Markov model a point, over a few frames before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from emreel.refine.errors import RefineError

Scores = npt.NDArray[np.float32]  # (y_grid, x_grid, class), log posteriors up to a constant of the point

#: A frame in which the specimen stands further away than this, px, says nothing.
LARGEST_SHIFT_PX = 16.0
#: Within a window a specimen that stays within this, px, is taken to rest: reading between points would only let edges
#: tremble with it.
REST_PX = 1.5


@dataclass(frozen=True, kw_only=True)
class Steady:
    """Fixed-lag smoothing of a hidden Markov model, one a grid point.

    The hidden state is the class. It stays from frame to frame with probability ``stay``; what a frame says of it are
    the point's scores u_k, times ``weight``. With the frames t - lag ... t + lag and nothing known before and after,

        a_k = p(k | frames before t),   b_k ~ p(frames after t | k),   score_k = u_k(t) + (log a_k + log b_k) / weight,

    by the forward and the backward recursion (L. R. Rabiner, Proc. IEEE 77 (1989) 257). Both directions count alike: a
    front is neither late nor early, and stays sharp, because a point that changes once pays once, whenever that is.
    A mean over frames would smear it, and a filter of the past alone would lag.

    Frames share the specimen, and its texture misleads all of them alike. So what they say together is less than its
    sum: ``weight`` = 1 / (1 + lag * rho), with rho the correlation of the scores from one frame to the next
    (`emreel.fit.in_time`): 1 for noise that is white in time.

    Parameters
    ----------
    lag : frames before and after. stay, weight : see above.

    Use it for movies. Switch it off for micrographs in no order of time, and for changes that come and go within two
    frames. The specimen's drift is taken out: each frame is read where the specimen's point was.

    >>> noisy = np.zeros((5, 1, 1, 2), np.float32)
    >>> noisy[:, 0, 0, 0] = [2.0, 2.0, -1.0, 2.0, 2.0]  # one frame of another mind
    >>> steady = Steady(lag=2, weight=0.5)
    >>> [int(steady(list(noisy), at).argmax()) for at in range(5)]
    [0, 0, 0, 0, 0]
    """

    lag: int = 4
    stay: float = 0.9
    weight: float = 0.3

    def __post_init__(self) -> None:
        if self.lag < 1 or not 0 < self.stay < 1 or not 0 < self.weight <= 1:
            raise RefineError(
                f"got lag {self.lag}, stay {self.stay}, weight {self.weight}; wanted a lag of at least 1, a "
                "probability between 0 and 1, a weight up to 1."
            )

    @staticmethod
    def certainty(n_frames: int) -> float:
        """What scores of so many frames together are worth, over their sum: 4 / (n + 3).

        Frames of the same mind add up, and are wrong together where an edge is drawn off. How much this is was found
        on generated movies: whatever the correlation of their scores, it is the same within a fifth.
        """
        return 4 / (max(n_frames, 1) + 3)

    def __call__(
        self,
        window: Sequence[Scores | None],
        at: int,
        shifts: npt.ArrayLike | None = None,
        inside: tuple[slice, slice] | None = None,
    ) -> Scores:
        """Scores of the frame ``window[at]`` with its neighbours in mind; the input is left as it was.

        Parameters
        ----------
        window : scores of frames one after another, shape (y_grid, x_grid, class) each; None for a frame that says
            nothing. Frames further than ``lag`` from ``at`` are not looked at.
        shifts : shape (frame, 2), grid points: where the specimen stands in each (y, x); None: it rests.
        inside : the part of the grid that is wanted; around it, scores are only read where the shifts lead to.
            Beyond the edge of the grid a frame says nothing.

        Returns
        -------
        shape (y, x, class) of ``inside``, float32.

        Raises
        ------
        RefineError : no scores at ``at``, or scores of another shape.
        """
        now = window[at]
        if now is None:
            raise RefineError("got no scores for the frame itself. Leave it unlabelled.")
        here = (slice(0, now.shape[0]), slice(0, now.shape[1])) if inside is None else inside
        places = np.zeros((len(window), 2)) if shifts is None else np.asarray(shifts, np.float64)
        own = np.ascontiguousarray(now[here], np.float32)
        corner = here[0].start or 0, here[1].start or 0
        total = np.zeros(own.shape, np.float64)
        before = range(max(at - self.lag, 0), at)
        after = range(min(at + self.lag, len(window) - 1), at, -1)
        for frames in (before, after):
            belief = np.full(own.shape, 1.0 / own.shape[2])
            for frame in frames:
                said = window[frame]
                if said is not None and said.shape != now.shape:
                    raise RefineError(f"got scores of {said.shape} beside some of {now.shape}.")
                shift_y, shift_x = (float(step) for step in places[frame] - places[at])
                if said is None or not math.isfinite(shift_y + shift_x):
                    said, shift_y, shift_x = now, math.inf, math.inf
                _carry(belief, np.ascontiguousarray(said, np.float32), corner, shift_y, shift_x, self.weight, self.stay)
            _add_logs(total, belief)
        return np.asarray(own + (total / self.weight).astype(np.float32))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _carry(belief, scores, corner, shift_y, shift_x, weight, stay):  # type: ignore[no-untyped-def]
    """The belief after a frame's scores, read ``shift`` grid points away, and one step in time; shape (y, x, class).

    Point (i, j) of the belief lies at (i, j) + corner of the scores; an infinite shift: the frame says nothing.
    """
    height, width, n = belief.shape
    rows, columns = scores.shape[0], scores.shape[1]
    leave = (1.0 - stay) / max(n - 1, 1)
    told = math.isfinite(shift_y)
    whole_y, whole_x = (math.floor(shift_y), math.floor(shift_x)) if told else (0, 0)
    part_y, part_x = (shift_y - whole_y, shift_x - whole_x) if told else (0.0, 0.0)
    seen = np.empty(n)
    for i in range(height):
        y = i + corner[0] + whole_y
        for j in range(width):
            x = j + corner[1] + whole_x
            at_y, at_x = y + part_y, x + part_x
            # at most half a point beyond the edge: there, its nearest scores
            if told and -0.5 <= at_y <= rows - 0.5 and -0.5 <= at_x <= columns - 0.5:
                top, below = min(max(y, 0), rows - 1), min(max(y + 1, 0), rows - 1)
                left, right = min(max(x, 0), columns - 1), min(max(x + 1, 0), columns - 1)
                largest = -np.inf
                for k in range(n):
                    above = scores[top, left, k] + part_x * (scores[top, right, k] - scores[top, left, k])
                    under = scores[below, left, k] + part_x * (scores[below, right, k] - scores[below, left, k])
                    seen[k] = weight * (above + part_y * (under - above))
                    largest = max(largest, seen[k])
                total = 0.0
                for k in range(n):
                    belief[i, j, k] *= math.exp(seen[k] - largest)
                    total += belief[i, j, k]
                for k in range(n):
                    belief[i, j, k] = leave + (stay - leave) * (belief[i, j, k] / total)
            else:
                for k in range(n):
                    belief[i, j, k] = leave + (stay - leave) * belief[i, j, k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_logs(total, belief):  # type: ignore[no-untyped-def]
    """total += log(belief) minus its largest entry of the point."""
    for i in range(belief.shape[0]):
        for j in range(belief.shape[1]):
            largest = 0.0
            for k in range(belief.shape[2]):
                largest = max(largest, belief[i, j, k])
            for k in range(belief.shape[2]):
                total[i, j, k] += math.log(belief[i, j, k] / largest)
