"""Frames of an overlay movie: the tinted picture, and under it a strip with scale bar, clock and legend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emreel.result import INVALID, NOT_COMPUTED, UNKNOWN
from emreel.view.marks import scale_bar
from emreel.view.overlay import INVALID_COLORS, UNKNOWN_COLORS, Bytes, Color, overlay_rgb
from emreel.view.pictures import BLANK_GRAY, Pictures

#: Small pictures are enlarged by whole factors until their longer side has at least this many px.
LEAST_PX = 480
GROUND: Color = (24, 24, 24)
INK: Color = (255, 255, 255)
_FONT_PX = 15
_LINE_PX = 24
_PAD_PX = 10
_SWATCH_PX = 13
_STRIPE_PX = 8


@dataclass(frozen=True)
class _Item:
    """An entry of the legend: what it says, and where it stands in the strip, px."""

    text: str
    color: Color
    left: int
    top: int


class Reel:
    """Renders the frames of one result's overlay movie, all of one even size."""

    def __init__(self, pictures: Pictures, opacity: float) -> None:
        self.pictures = pictures
        self.opacity = opacity
        height, width = (-(-side // pictures.factor) for side in pictures.shape_yx)
        self.zoom = max(1, -(-LEAST_PX // max(height, width)))
        self.picture_yx = height * self.zoom, width * self.zoom
        self.bar = scale_bar(pictures.shape_yx[1], pictures.result.pixel_size_nm)
        self.bar_px = max(round(self.bar.length_px * self.zoom / pictures.factor), 1)
        self._font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _FONT_PX)

    @cached_property
    def shape_yx(self) -> tuple[int, int]:
        """Size of a movie frame, px; even, as the usual video formats want it."""
        lowest = max((item.top for item in self._legend), default=0) + _LINE_PX
        height = self.picture_yx[0] + lowest + _PAD_PX
        return height + height % 2, self._width

    @cached_property
    def picture_left(self) -> int:
        """First column of the picture in the movie's frame, px."""
        return (self.shape_yx[1] - self.picture_yx[1]) // 2

    def render(self, frame: int) -> Bytes:
        """A frame of the movie, shape (y, x, 3), uint8."""
        gray, label = (array.repeat(self.zoom, axis=0).repeat(self.zoom, axis=1) for array in self.pictures.pair(frame))
        rgb = overlay_rgb(gray, label, self.pictures.colors, self.opacity, stripe_px=_STRIPE_PX)
        canvas = self._still.copy()
        canvas[: self.picture_yx[0], self.picture_left : self.picture_left + self.picture_yx[1]] = rgb
        text = self.pictures.clock.text(frame)
        line = Image.new("RGB", (self._text_px(text) + 1, _LINE_PX), GROUND)
        ImageDraw.Draw(line).text((0, _LINE_PX // 2), text, INK, self._font, anchor="lm")
        right = self.shape_yx[1] - _PAD_PX
        canvas[self._strip_top : self._strip_top + _LINE_PX, right - line.width : right] = np.asarray(line)
        return canvas

    def frames(self) -> Iterator[Bytes]:
        """Every frame of the movie."""
        return map(self.render, range(self.pictures.n_frames))

    @cached_property
    def entries(self) -> tuple[tuple[str, Color], ...]:
        """What the legend says: every class, and unknown, invalid and not computed where they occur."""
        special = {
            UNKNOWN: ("unknown", UNKNOWN_COLORS[0]),
            INVALID: ("invalid", INVALID_COLORS[1]),
            NOT_COMPUTED: ("not computed", (BLANK_GRAY,) * 3),
        }
        present = self.pictures.present()
        classes = zip(self.pictures.names, self.pictures.colors, strict=True)
        return (*classes, *(entry for value, entry in special.items() if value in present))

    # -------------------------------------------------------------------------------------- the strip

    @property
    def _strip_top(self) -> int:
        return self.picture_yx[0] + _PAD_PX // 2

    @cached_property
    def _width(self) -> int:
        """Wide enough for the picture, for bar and clock side by side, and for the longest entry."""
        clock = max(self._text_px(text) for text in self._clock_texts)
        first_line = self.bar_px + self._text_px(self.bar.text) + clock + 4 * _PAD_PX
        longest = max(self._entry_px(text) for text, _ in self.entries) + _PAD_PX
        width = max(self.picture_yx[1], first_line, longest)
        return width + width % 2

    @cached_property
    def _clock_texts(self) -> set[str]:
        """One text for every pattern that the clock shows; all digits are as wide as an 8."""
        return {re.sub(r"\d", "8", self.pictures.clock.text(frame)) for frame in range(self.pictures.n_frames)}

    @cached_property
    def _legend(self) -> Sequence[_Item]:
        """The entries in lines under the clock, as many in each as fit."""
        items: list[_Item] = []
        left, top = _PAD_PX, _LINE_PX
        for text, color in self.entries:
            if left > _PAD_PX and left + self._entry_px(text) > self._width:
                left, top = _PAD_PX, top + _LINE_PX
            items.append(_Item(text, color, left, top))
            left += self._entry_px(text)
        return items

    @cached_property
    def _still(self) -> Bytes:
        """All that does not change from frame to frame."""
        height, width = self.shape_yx
        image = Image.new("RGB", (width, height), GROUND)
        draw = ImageDraw.Draw(image)
        middle = self._strip_top + _LINE_PX // 2
        draw.rectangle((_PAD_PX, middle - 2, _PAD_PX + self.bar_px - 1, middle + 1), INK)
        draw.text((2 * _PAD_PX + self.bar_px, middle), self.bar.text, INK, self._font, anchor="lm")
        for item in self._legend:
            centre = self._strip_top + item.top + _LINE_PX // 2
            top = centre - _SWATCH_PX // 2
            draw.rectangle((item.left, top, item.left + _SWATCH_PX - 1, top + _SWATCH_PX - 1), item.color)
            draw.text((item.left + _SWATCH_PX + _PAD_PX // 2, centre), item.text, INK, self._font, anchor="lm")
        return np.asarray(image)

    def _text_px(self, text: str) -> int:
        return int(np.ceil(self._font.getlength(text)))

    def _entry_px(self, text: str) -> int:
        return _SWATCH_PX + _PAD_PX // 2 + self._text_px(text) + 2 * _PAD_PX
