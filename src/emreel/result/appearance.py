"""Names and colours that somebody gave the classes afterwards: RESULT/appearance.json, beside what was computed.

The model and the zarr keep what they were made with; views and exports show these instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emreel.result.errors import ResultError
from emreel.result.files import write_file

APPEARANCE = "appearance.json"
MOST_LETTERS = 80
_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Names and colours (RGB, 0 to 255) of the classes 1..K. Checked on creation.

    Raises
    ------
    ResultError : an empty or overlong name, another number of names than of colours, a colour out of range.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.colors):
            raise ResultError(f"got {len(self.names)} names and {len(self.colors)} colours. Give one of each a class.")
        for name in self.names:
            if not name.strip() or len(name) > MOST_LETTERS or not name.isprintable():
                raise ResultError(f"got the name {name[:MOST_LETTERS]!r}, wanted 1 to {MOST_LETTERS} letters.")
        for color in self.colors:
            if len(color) != 3 or not all(0 <= part <= 255 for part in color):
                raise ResultError(f"got the colour {color}, wanted red, green and blue from 0 to 255.")


def read_appearance(path: str | os.PathLike[str], n_classes: int) -> Appearance | None:
    """What `write_appearance` wrote, or None where nobody changed anything.

    Raises
    ------
    ResultError : the file is damaged, or of another number of classes.
    """
    file = Path(path) / APPEARANCE
    try:
        classes = json.loads(file.read_bytes())["classes"]
        names = tuple(str(entry["name"]) for entry in classes)
        colors = tuple(parse_color(entry["color"]) for entry in classes)
        found = Appearance(names=names, colors=colors)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ResultError) as error:
        raise ResultError(f"{file} is damaged ({error}). Delete it to have the model's names back.") from error
    if len(found.names) != n_classes:
        raise ResultError(f"{file} names {len(found.names)} classes, the result has {n_classes}. Delete it.")
    return found


def write_appearance(
    path: str | os.PathLike[str], names: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> None:
    """Save names and colours of the classes 1..K beside the result.

    Raises
    ------
    ResultError : as `Appearance`. StorageError : the disk refuses.
    """
    looks = Appearance(names=tuple(names), colors=tuple(colors))
    classes = [
        {"value": value, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)}
        for value, (name, color) in enumerate(zip(looks.names, looks.colors, strict=True), start=1)
    ]
    write_file(Path(path) / APPEARANCE, json.dumps({"classes": classes}, indent=2, ensure_ascii=False).encode() + b"\n")


def parse_color(text: str) -> tuple[int, int, int]:
    """ "#rrggbb" as RGB, 0 to 255. Raises ResultError."""
    if not isinstance(text, str) or not _COLOR.fullmatch(text.lower()):
        raise ResultError(f"got the colour {text!r}, wanted #rrggbb.")
    red, green, blue = (int(text[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
