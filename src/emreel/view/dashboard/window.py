"""What is seen of a frame, and at which level: only that is read and sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Pixels along the longer side that are sent of what is seen; a pane is about as many on a screen.
MOST_PX = 640
#: Share of what is seen that is read beyond each edge, so that a small pan finds it there.
MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows [y0, y1) and columns [x0, x1) of the recorded frame, px, of which every ``step``-th pixel is shown."""

    y0: int
    y1: int
    x0: int
    x1: int
    step: int

    @classmethod
    def around(
        cls,
        shape_yx: tuple[int, int],
        y_px: tuple[float, float] | None = None,
        x_px: tuple[float, float] | None = None,
        most_px: int = MOST_PX,
    ) -> Window:
        """The window that shows what lies between two heights and two columns, px; the whole frame without them.

        Edges lie on multiples of the step, so that pixels stand still while the window moves.
        """
        spans = [_span(side, seen) for side, seen in zip(shape_yx, (y_px, x_px), strict=True)]
        step = max(1, math.ceil(max(end - start for start, end in spans) / most_px))
        (y0, y1), (x0, x1) = (
            (math.floor(start / step) * step, min(math.ceil(end / step) * step, side))
            for (start, end), side in zip(spans, shape_yx, strict=True)
        )
        return cls(y0=y0, y1=y1, x0=x0, x1=x1, step=step)

    def slices(self, cell: int = 1) -> tuple[slice, slice]:
        """Index into an array that holds one value for every ``cell`` x ``cell`` px of the frame.

        Where the step spans several values, the one in the middle of the step.
        """
        stride = max(round(self.step / cell), 1)
        return tuple(_cut(start, end, cell, stride) for start, end in ((self.y0, self.y1), (self.x0, self.x1)))  # type: ignore[return-value]

    def place(self, cell: int, shape_yx: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, width and height, px, of what `slices` cuts out as an array of this shape.

        The frame's first pixel covers 0 to 1.
        """
        stride = max(round(self.step / cell), 1)
        top, left = (start // cell * cell for start in (self.y0, self.x0))
        return float(left), float(top), float(shape_yx[1] * stride * cell), float(shape_yx[0] * stride * cell)


def _span(side: int, seen: tuple[float, float] | None) -> tuple[float, float]:
    if seen is None:
        return 0.0, float(side)
    low, high = min(seen), max(seen)
    margin = MARGIN * (high - low)
    start, end = max(low - margin, 0.0), min(high + margin, float(side))
    return (start, end) if end - start >= 1 else (0.0, float(side))


def _cut(start: int, end: int, cell: int, stride: int) -> slice:
    first, last = start // cell, -(-end // cell)
    return slice(first + min(stride // 2, last - first - 1), last, stride)
