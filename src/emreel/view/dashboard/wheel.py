"""The colour wheel of orientations."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.plotting import figure

from emreel.view.orientation import wheel_rgba

_WHEEL_PX = 110


def wheel_figure(fold: int) -> Any:
    """Which colour tells which direction of a lattice vector in the picture; hidden at first."""
    wheel = figure(
        frame_width=_WHEEL_PX, frame_height=_WHEEL_PX, min_border=2, x_range=(-1, 1), y_range=(-1, 1), tools="",
        toolbar_location=None, title="direction of g", outline_line_color=None, visible=False,
    )  # fmt: skip
    wheel.axis.visible = False
    wheel.grid.visible = False
    wheel.title.text_font_style = "normal"
    rgba = np.ascontiguousarray(wheel_rgba(fold, 2 * _WHEEL_PX)[::-1]).view(np.uint32)[..., 0]
    wheel.image_rgba([rgba], x=-1, y=-1, dw=2, dh=2)
    wheel.text([0], [0], [f"{360 / fold:g}°"], text_align="center", text_baseline="middle", text_font_size="11px")
    return wheel
