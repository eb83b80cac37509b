"""What can be laid over the movie: codes 0 to 255 for every pixel that is seen, and a colour for every code.

Code 0 is transparent. Colours are mixed in the browser, so opacity and palette change without a frame being read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

from emreel.orientation import reduce_angle
from emreel.result import INVALID, UNKNOWN, Result
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.window import Window
from emreel.view.figures import web_color
from emreel.view.orientation import orientation_color
from emreel.view.overlay import INVALID_COLORS, STRIPE_PX, UNKNOWN_COLORS, Bytes, Color

CLEAR = "#00000000"
#: Codes of the second tone of the stripes of unknown and invalid; classes above are drawn without stripes.
UNKNOWN_STRIPE, INVALID_STRIPE = 253, 252
_N_REGION_COLORS = 251
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One of the things that can be laid over the movie.

    codes : of a frame's window, shape (y, x), uint8. cell : px of the frame that one code stands for, when the
    window's step is 1. palette : 256 colours "#rrggbb" or "#rrggbbaa".
    """

    name: str
    cell: int
    codes: Callable[[int, Window], Bytes]
    palette: tuple[str, ...]


def find_layers(frames: Frames, colors: tuple[Color, ...], fold: int) -> tuple[Layer, ...]:
    """What this result has: always labels, the unknown, and nothing; memberships, regions, orientations if there."""
    result, stride = frames.result, frames.result.layout.stride
    layers = [
        Layer(name="labels", cell=1, codes=lambda t, w: label_codes(frames.label(t, w)), palette=label_palette(colors)),
        Layer(
            name="unknown only",
            cell=1,
            codes=lambda t, w: label_codes(frames.label(t, w)),
            palette=label_palette((None,) * len(colors)),
        ),
    ]
    if frames.has("membership"):
        for number, name in enumerate(result.label_names):
            layers.append(
                Layer(
                    name=f"membership of {name}",
                    cell=stride,
                    codes=lambda t, w, number=number: frames.membership(t, w, number),  # type: ignore[misc]
                    palette=membership_palette(),
                )
            )
    if frames.has("region"):
        layers.append(
            Layer(
                name="regions", cell=1, codes=lambda t, w: region_codes(frames.region(t, w)), palette=region_palette()
            )
        )
    if frames.has("angle"):
        layers.append(
            Layer(
                name="orientation",
                cell=stride,
                codes=lambda t, w: angle_codes(frames.angle(t, w), fold),
                palette=angle_palette(fold),
            )
        )
    nothing = Layer(name="nothing", cell=1, codes=lambda t, w: np.zeros((1, 1), np.uint8), palette=(CLEAR,) * 256)
    return (*layers, nothing)


def label_codes(label: Bytes) -> Bytes:
    """Labels, with stripes where they are unknown (rising) or invalid (falling); told apart without colour."""
    codes = label.copy()
    y, x = np.ogrid[: label.shape[0], : label.shape[1]]
    codes[(label == UNKNOWN) & ((x + y) // STRIPE_PX % 2 == 1)] = UNKNOWN_STRIPE
    codes[(label == INVALID) & ((x - y) // STRIPE_PX % 2 == 1)] = INVALID_STRIPE
    return codes


def label_palette(colors: tuple[Color | None, ...]) -> tuple[str, ...]:
    """Colours of the classes, None for a clear one, and of the labels with a fixed meaning."""
    palette = [CLEAR] * 256
    palette[1 : len(colors) + 1] = [CLEAR if color is None else web_color(color) for color in colors]
    palette[UNKNOWN], palette[UNKNOWN_STRIPE] = map(web_color, UNKNOWN_COLORS)
    palette[INVALID], palette[INVALID_STRIPE] = map(web_color, INVALID_COLORS)
    return tuple(palette)


def membership_palette() -> tuple[str, ...]:
    """From dark blue (0) to yellow (1), for every kind of colour vision."""
    rows = np.rint(255 * colormaps["cividis"](np.arange(256))[:, :3]).astype(int)
    return tuple(web_color((r, g, b)) for r, g, b in rows.tolist())


def region_codes(region: npt.NDArray[np.uint32]) -> Bytes:
    """One of 251 codes a region, the same through the movie; 0 where there is none."""
    return np.where(region == 0, 0, 1 + region % _N_REGION_COLORS).astype(np.uint8)


def region_palette() -> tuple[str, ...]:
    """Neighbouring numbers far apart in hue, and in brightness for who sees no hue."""
    from colorsys import hsv_to_rgb

    colors = [hsv_to_rgb(n * _GOLDEN % 1, 0.75, (0.95, 0.6, 0.8)[n % 3]) for n in range(255)]
    return (CLEAR, *(web_color((round(255 * r), round(255 * g), round(255 * b))) for r, g, b in colors))


def angle_codes(angle_deg: npt.NDArray[np.float32], fold: int) -> Bytes:
    """1 to 255 once round in 360 / fold degrees; 0 where there is no lattice."""
    known = np.isfinite(angle_deg)
    turns = reduce_angle(np.where(known, angle_deg, 0.0), fold) * fold / 360
    return np.where(known, 1 + np.floor(turns % 1 * 255), 0).astype(np.uint8)


def angle_palette(fold: int) -> tuple[str, ...]:
    """The hue of every orientation, as in `emreel.view.draw_orientation`."""
    rgb = np.rint(255 * orientation_color((np.arange(255) + 0.5) / 255 * 360 / fold, fold)).astype(int)
    return (CLEAR, *(web_color((r, g, b)) for r, g, b in rgb.tolist()))


def fold_of(result: Result) -> int:
    """n-fold symmetry that the result's angles are told in: its model's, or 2."""
    import zarr

    try:
        head: Any = zarr.open_group(result.path / "model.zarr", mode="r").attrs.asdict()["emreel_model"]
        return int(head["grains"]["fold"])
    except Exception:  # noqa: BLE001 - a result without a model, or a model without grains
        return 2
