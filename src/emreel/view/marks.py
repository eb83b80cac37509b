"""What tells size and time in a picture: scale bars of round lengths, clocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

#: Part of the picture's width that a scale bar takes at most.
BAR_SHARE = 0.3
_LENGTHS = ((1e6, "mm"), (1e3, "µm"), (1.0, "nm"), (1e-3, "pm"))
_MOST_DIGITS = 6
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True)
class ScaleBar:
    """A bar of a round length: ``length_px`` of the frame's own pixels stand for ``text``."""

    length_px: float
    text: str


def scale_bar(width_px: int, pixel_size_nm: float | None, share: float = BAR_SHARE) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten that takes at most ``share`` of the width.

    width_px : the frame's width, px. pixel_size_nm : nm per px; ``None`` gives a bar in px (at least one).
    """
    if pixel_size_nm is None:
        length = max(_round_down(width_px * share), 1.0)
        return ScaleBar(length, f"{length:g} px")
    length_nm = _round_down(width_px * share * pixel_size_nm)
    factor, unit = next(((f, u) for f, u in _LENGTHS if length_nm >= f * (1 - 1e-9)), _LENGTHS[-1])
    if unit == "pm" and length_nm >= 0.1 * (1 - 1e-9):
        factor, unit = 1.0, "nm"
    return ScaleBar(length_nm / pixel_size_nm, f"{length_nm / factor:.3g} {unit}")


def _round_down(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above the value."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return max((n * power for n in (1, 2, 5) if n * power <= value * (1 + 1e-9)), default=power)


@dataclass(frozen=True, eq=False)
class Clock:
    """Tells each frame's time, or its number where a movie only counts frames.

    ``times_s`` : shape (time,), s, or None.
    """

    n_frames: int
    times_s: npt.NDArray[np.float64] | None

    @property
    def axis_label(self) -> str:
        """Name and unit of an axis of `values`."""
        return "frame" if self.times_s is None else f"time ({self._scale[1]})"

    @cached_property
    def values(self) -> npt.NDArray[np.float64]:
        """Where each frame lies on that axis."""
        if self.times_s is None:
            return np.arange(self.n_frames, dtype=np.float64)
        values: npt.NDArray[np.float64] = self.times_s / self._scale[0]
        return values

    def text(self, frame: int) -> str:
        """The frame's time with the digits that show the step from frame to frame, or "frame 3"."""
        if self.times_s is None:
            return f"frame {frame}"
        return f"{self.values[frame]:.{self._digits}f} {self._scale[1]}"

    @cached_property
    def _scale(self) -> tuple[float, str]:
        longest = 0.0 if self.times_s is None else float(np.abs(self.times_s).max())
        return next((scale for scale in _TIMES if longest >= scale[0]), _TIMES[0] if longest == 0 else _TIMES[-1])

    @cached_property
    def _digits(self) -> int:
        if self.n_frames < 2:
            return 0 if float(self.values[0]).is_integer() else 2
        step = float(np.diff(self.values).min())
        enough = (
            digits
            for digits in range(_MOST_DIGITS)
            if abs(round(step, digits) - step) < 0.05 * step
            and np.diff(np.round(self.values, digits)).min() > 0.5 * 10.0**-digits
        )
        return next(enough, _MOST_DIGITS)
