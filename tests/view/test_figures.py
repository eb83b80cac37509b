"""What the figures show, read back from what they draw."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend

import emreel
from emreel.result import Result, ResultError, open_result, shard_paths
from emreel.view import ViewError, draw_overlay, overlay_rgb
from emreel.view.figures import new_figure
from emreel.view.pictures import BLANK_GRAY, Pictures

COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))
MakeResult = Callable[..., Result]


def quarters(shape_tyx: tuple[int, int, int]) -> np.ndarray:
    """Four classes in the four quarters of each frame."""
    y, x = np.mgrid[: shape_tyx[1], : shape_tyx[2]]
    label = 1 + (x >= shape_tyx[2] // 2) + 2 * (y >= shape_tyx[1] // 2)
    return np.broadcast_to(label.astype(np.uint8), shape_tyx).copy()


def legend_of(figure: Figure) -> dict[str, tuple[int, ...]]:
    """Each entry's text and colour."""
    (legend,) = figure.legends
    assert isinstance(legend, Legend)
    colors = [tuple(round(255 * c) for c in to_rgb(patch.get_facecolor())) for patch in legend.get_patches()]
    return dict(zip([text.get_text() for text in legend.get_texts()], colors, strict=True))


def pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def box(figure: Figure) -> tuple[slice, slice]:
    """Where the first axes lie in the drawn figure, px."""
    height = round(figure.bbox.height)
    extent = figure.axes[0].get_window_extent()
    return slice(round(height - extent.y1), round(height - extent.y0)), slice(round(extent.x0), round(extent.x1))


def test_drawn_pixels_are_the_overlay(make_result: MakeResult) -> None:
    label = quarters((2, 40, 60))
    gray = np.random.default_rng(0).integers(0, 256, label.shape, dtype=np.uint8)
    figure = draw_overlay(make_result(label, gray), 1)
    picture = pixels(figure)[box(figure)]
    want = overlay_rgb(gray[1], label[1], COLORS)
    height, width = picture.shape[:2]
    rows, columns = (np.arange(40) + 0.5) * height / 40, (np.arange(60) + 0.5) * width / 60
    drawn = picture[np.ix_(rows.astype(int), columns.astype(int))]
    shown = np.ones((40, 60), bool)
    shown[30:, :40] = False  # the scale bar's corner
    assert np.abs(drawn - want)[shown].max() <= 2


def test_legend_names_the_classes_and_what_occurs(make_result: MakeResult, tmp_path: Path) -> None:
    names = ["cap", "amorphous", "film", "substrate"]
    label = quarters((3, 20, 20))
    label[1, :5] = 255
    label[2, :5] = 254
    result = make_result(label, names=names)
    plain = dict(zip(names, COLORS, strict=True))
    assert legend_of(draw_overlay(result, 0)) == plain
    assert legend_of(draw_overlay(result, 1)) == plain | {"unknown": (255, 0, 255)}
    assert list(legend_of(draw_overlay(result, 2))) == [*names, "invalid"]


@pytest.mark.parametrize(
    ("pixel_size_nm", "text", "length_px"), [(0.05, "1 nm", 20), (250.0, "5 µm", 20), (None, "20 px", 20)]
)
def test_scale_bar_is_as_long_as_it_says(
    make_result: MakeResult, pixel_size_nm: float | None, text: str, length_px: float
) -> None:
    black = np.zeros((1, 80, 80), np.uint8)
    figure = draw_overlay(make_result(np.ones_like(black), black, pixel_size_nm=pixel_size_nm))
    shown = [t.get_text() for t in figure.axes[0].findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]
    assert text in shown
    picture = pixels(figure)[box(figure)]
    white = (picture >= 250).all(axis=2)
    longest = max(white.sum(axis=1))
    assert longest / picture.shape[1] == pytest.approx(length_px / 80, abs=2.5 / picture.shape[1])


@pytest.mark.parametrize(
    ("times_s", "text"), [([0.0, 0.5, 1.0], "1.0 s"), ([0.0, 2e-4, 4e-4], "400 µs"), (None, "frame 2")]
)
def test_clock_tells_the_frame(make_result: MakeResult, times_s: list[float] | None, text: str) -> None:
    figure = draw_overlay(make_result(quarters((3, 20, 20)), times_s=times_s), -1)
    assert [t.get_text() for t in figure.texts] == [text]


@pytest.mark.parametrize(
    ("shape_yx", "n_classes"),
    [((64, 64), 12), ((300, 20), 1), ((300, 20), 12), ((20, 300), 4), ((1, 1), 1), ((7, 5), 12)],
)
def test_nothing_is_cut_off_or_overlaps(make_result: MakeResult, shape_yx: tuple[int, int], n_classes: int) -> None:
    label = np.ones((1, *shape_yx), np.uint8)
    names = [f"a rather long name of class {i}" if i == 2 else f"phase {i}" for i in range(1, n_classes + 1)]
    figure = draw_overlay(make_result(label, names=names, pixel_size_nm=0.1, times_s=[0.0]))
    figure.draw_without_rendering()
    whole = figure.bbox
    axes, legend, clock = (
        figure.axes[0].get_window_extent(),
        *(artist.get_window_extent() for artist in (figure.legends[0], figure.texts[0])),
    )
    for part in (axes, legend, clock):
        assert part.x0 >= whole.x0 - 1
        assert part.y0 >= whole.y0 - 1
        assert part.x1 <= whole.x1 + 1
        assert part.y1 <= whole.y1 + 1
    for one, other in ((axes, legend), (axes, clock), (legend, clock)):
        assert not one.padded(-1).overlaps(other.padded(-1))
    assert axes.height / axes.width == pytest.approx(shape_yx[0] / shape_yx[1], rel=1e-3)


def test_frames_not_computed_are_plain_grey(make_result: MakeResult, caplog: pytest.LogCaptureFixture) -> None:
    result = make_result(quarters((4, 20, 20)), skip=[1])
    figure = draw_overlay(result, 2)
    assert list(legend_of(figure))[-1] == "not computed"
    picture = pixels(figure)[box(figure)]
    assert (picture[: picture.shape[0] // 2] == BLANK_GRAY).all()


def test_large_frames_are_shown_at_the_previews_size(make_result: MakeResult) -> None:
    label = np.ones((1, 2050, 6), np.uint8)
    label[0, 1020:] = 2
    pictures = Pictures(make_result(label))
    gray, small = pictures.pair(0)
    assert pictures.factor == 3
    assert gray.shape == small.shape == (684, 2)
    assert (small[:340] == 1).all()
    assert (small[340:] == 2).all()


@pytest.mark.parametrize("frame", [3, -4])
def test_no_such_frame(make_result: MakeResult, frame: int) -> None:
    with pytest.raises(ViewError, match=f"got frame {frame}, wanted 0 to 2"):
        draw_overlay(make_result(quarters((3, 8, 8))), frame)


def test_damaged_frames_are_named(make_result: MakeResult) -> None:
    result = make_result(quarters((2, 64, 64)), np.random.default_rng(1).integers(0, 255, (2, 64, 64), dtype=np.uint8))
    shard = shard_paths(result.path, result.layout, result.layout.block(0))["preview"]
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ResultError, match=r"frame 0 of .* is damaged .*emreel verify"):
        draw_overlay(open_result(result.path))


def test_drawing_reads_one_frame_only(make_result: MakeResult) -> None:
    result = make_result(quarters((6, 8, 8)))
    for index in (1, 2):
        for file in shard_paths(result.path, result.layout, result.layout.block(index)).values():
            file.write_bytes(b"damaged")  # whoever reads it fails
    draw_overlay(result, 1)
    with pytest.raises(ResultError):
        draw_overlay(result, 2)


def test_no_pyplot_and_no_weight_before_it_is_needed() -> None:
    code = (
        "import sys, emreel.view; a = 'matplotlib' in sys.modules or 'av' in sys.modules or 'xarray' in sys.modules;"
        "emreel.view.draw_overview, emreel.view.draw_overlay; b = 'matplotlib.pyplot' in sys.modules; print(a, b)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(emreel.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert run.stdout.strip() == "False False"


def test_colours_come_from_the_result(make_result: MakeResult, caplog: pytest.LogCaptureFixture) -> None:
    colors = [(1, 2, 3), (250, 251, 252)]
    with caplog.at_level(logging.WARNING):
        result = make_result(np.ones((1, 8, 8), np.uint8), names=["a", "b"], colors=colors)
        assert Pictures(result).colors == tuple(colors)
    assert not caplog.records


def test_a_notebook_shows_a_figure_as_a_picture() -> None:
    assert new_figure()._repr_png_().startswith(b"\x89PNG")
