"""Names and colours of the classes, to be changed: the page's legend and its editor at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import ColorPicker, Div, TextInput

from emreel.result import ResultError
from emreel.result.appearance import parse_color, write_appearance
from emreel.view.figures import web_color
from emreel.view.overlay import Color
from emreel.view.pictures import Pictures

#: Classes above this many scroll.
MOST_ROWS_PX = 330


class ClassEditor:
    """One row a class: colour, name, share of the frame. What is changed is saved beside the result at once."""

    def __init__(self, pictures: Pictures, changed: Callable[[], None], say: Callable[[str], None]) -> None:
        self._path, self._changed, self._say = pictures.result.path, changed, say
        self._colors = [ColorPicker(color=web_color(color), width=36, margin=(2, 4, 2, 0)) for color in pictures.colors]
        self._names = [TextInput(value=name, width=120, margin=(2, 4, 2, 0)) for name in pictures.names]
        self._shares = [Div(text="", width=48, margin=(8, 0, 0, 0)) for _ in pictures.names]
        for number, (color, name) in enumerate(zip(self._colors, self._names, strict=True), start=1):
            color.html_attributes = {"title": f"colour of class {number}"}
            color.on_change("color", self._edit)
            name.on_change("value", self._edit)
        rows = [row(*parts) for parts in zip(self._colors, self._names, self._shares, strict=True)]
        self.layout: Any = column(*rows, styles={"max-height": f"{MOST_ROWS_PX}px", "overflow-y": "auto"}, width=240)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name.value) for name in self._names)

    @property
    def colors(self) -> tuple[Color, ...]:
        return tuple(parse_color(str(color.color)) for color in self._colors)

    def show_shares(self, shares: list[float]) -> None:
        """Write each class's share of the frame, 0 to 1."""
        for part, share in zip(self._shares, shares, strict=True):
            part.text = f"{100 * share:.1f} %"

    def _edit(self, attr: str, old: object, new: object) -> None:
        try:
            write_appearance(self._path, self.names, self.colors)
        except ResultError as error:
            self._say(str(error))
            return
        self._say("")
        self._changed()
