"""Exports, read back by the libraries that others read them with."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from emreel.progress import Event, StageStarted, StepsDone
from emreel.result import Result, ResultError, StorageError, open_result, shard_paths, write_table
from emreel.view import ExportError, export_result, overlay_rgb, tiff, video
from emreel.view.pictures import BLANK_GRAY, Pictures
from emreel.view.reel import GROUND, INK, Reel
from emreel.view.video import gif_palette

MakeResult = Callable[..., Result]
COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))


def stripes(shape_tyx: tuple[int, int, int]) -> np.ndarray:
    """Four classes in broad columns that move by one class a frame."""
    t, _, x = np.ogrid[: shape_tyx[0], : shape_tyx[1], : shape_tyx[2]]
    return np.broadcast_to(1 + (x * 4 // shape_tyx[2] + t) % 4, shape_tyx).astype(np.uint8)


def read_video(path: Path) -> tuple[list[np.ndarray], float]:
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def read_gif(path: Path) -> tuple[list[np.ndarray], list[float]]:
    frames, durations = [], []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info.get("duration", 0))
    return frames, durations


# ------------------------------------------------------------------------------------------------- tiff


def test_tiff_holds_the_labels_with_their_scale(make_result: MakeResult, tmp_path: Path) -> None:
    label = stripes((5, 13, 21))
    label[1, :3], label[2, 4] = 254, 255
    result = make_result(label, names=["a", "b", "c", "d"], pixel_size_nm=0.0437, times_s=np.arange(5) * 0.25)
    path = export_result(result, "tiff", tmp_path / "deep" / "labels.tif")
    with tifffile.TiffFile(path) as read:
        assert (read.asarray() == label).all()
        assert read.is_imagej
        assert not read.is_bigtiff
        assert len(read.pages) == 5
        assert read.series[0].axes == "TYX"
        page, described = read.pages[0], read.imagej_metadata
        above, below = page.tags["XResolution"].value
        assert below / above == pytest.approx(0.0437, rel=1e-6)
        assert described["unit"] == "nm"
        assert described["finterval"] == pytest.approx(0.25)
        assert described["Labels"] == ["0.00 s", "0.25 s", "0.50 s", "0.75 s", "1.00 s"]
        assert described["Info"] == "label values: 1 = a, 2 = b, 3 = c, 4 = d, 254 = invalid, 255 = unknown"
        assert (page.colormap[:, 1:5].T // 257 == COLORS).all()
        assert tuple(page.colormap[:, 255] // 257) == (255, 0, 255)
        assert not page.colormap[:, 0].any()


def test_tiff_invents_no_scale(make_result: MakeResult, tmp_path: Path) -> None:
    path = export_result(make_result(stripes((1, 9, 9))), "tiff", tmp_path / "labels.tiff")
    with tifffile.TiffFile(path) as read:
        assert (read.asarray() == stripes((1, 9, 9))[0]).all()
        assert not {"unit", "finterval", "fps"} & set(read.imagej_metadata)
        assert read.pages[0].tags["ResolutionUnit"].value == 1  # none


def test_tiff_of_uneven_times_tells_the_mean(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(stripes((3, 9, 9)), times_s=[0.0, 1.0, 5.0])
    with tifffile.TiffFile(export_result(result, "tiff", tmp_path / "a.tif")) as read:
        assert read.imagej_metadata["finterval"] == pytest.approx(2.5)
        assert read.imagej_metadata["Labels"] == ["0 s", "1 s", "5 s"]


def test_large_stacks_become_bigtiff_with_the_same_scale(
    make_result: MakeResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiff.CLASSIC_BYTES < 2**32
    monkeypatch.setattr(tiff, "CLASSIC_BYTES", 5 * 9 * 9 - 1)
    label = stripes((5, 9, 9))
    result = make_result(label, pixel_size_nm=0.2, times_s=[0.0, 0.1, 0.2, 0.3, 0.6])
    with tifffile.TiffFile(export_result(result, "tiff", tmp_path / "a.tif")) as read:
        assert read.is_bigtiff
        assert (read.asarray() == label).all()
        space = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
        described = ElementTree.fromstring(read.ome_metadata).find(".//o:Pixels", space)
        assert described is not None
        assert float(described.attrib["PhysicalSizeX"]) == float(described.attrib["PhysicalSizeY"]) == 0.2
        assert described.attrib["PhysicalSizeXUnit"] == "nm"
        times = [float(plane.attrib["DeltaT"]) for plane in described.findall("o:Plane", space)]
        assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.6])


def test_tiff_reads_one_frame_at_a_time(make_result: MakeResult, tmp_path: Path) -> None:
    """Reading goes on only as pages are written: the last block is damaged after the first frames went out."""
    result = make_result(stripes((6, 9, 9)))
    shard = shard_paths(result.path, result.layout, result.layout.block(2))["label"]
    seen = []

    def damage(event: Event) -> None:
        seen.append(event)
        if event == StepsDone("export", 3, 6):
            shard.write_bytes(b"damaged")

    with pytest.raises(ResultError, match="frame 4"):
        export_result(result, "tiff", tmp_path / "a.tif", progress=damage)
    assert seen == [StageStarted("export", 6), *(StepsDone("export", n, 6) for n in range(1, 5))]
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


# ----------------------------------------------------------------------------------------------- movies


def test_mp4_shows_every_frame_with_its_colours(make_result: MakeResult, tmp_path: Path) -> None:
    label = stripes((6, 60, 81))
    gray = np.broadcast_to(np.linspace(60, 220, 6).astype(np.uint8)[:, None, None], label.shape).copy()
    result = make_result(label, gray, pixel_size_nm=0.1)
    frames, rate = read_video(export_result(result, "mp4", tmp_path / "a.mp4", fps=12.5))
    assert len(frames) == 6
    assert rate == pytest.approx(12.5)
    reel = Reel(Pictures(result), 0.6)
    assert all(frame.shape == (*reel.shape_yx, 3) for frame in frames)
    assert reel.shape_yx[0] % 2 == reel.shape_yx[1] % 2 == 0
    assert reel.zoom == 6
    for t, frame in enumerate(frames):
        picture = frame[: reel.picture_yx[0], reel.picture_left : reel.picture_left + reel.picture_yx[1]].astype(int)
        want = overlay_rgb(gray[t], label[t], COLORS)
        for column in (10, 30, 50, 71):  # the middle of each class
            block = picture[120:240, column * 6 - 12 : column * 6 + 12].reshape(-1, 3)
            assert np.abs(np.median(block, axis=0) - want[30, column]).max() <= 6


@pytest.mark.parametrize("shape_yx", [(480, 481), (481, 480), (31, 7), (7, 500), (1, 1)])
def test_mp4_of_any_size_has_even_sides(make_result: MakeResult, tmp_path: Path, shape_yx: tuple[int, int]) -> None:
    frames, _ = read_video(export_result(make_result(stripes((2, *shape_yx))), "mp4", tmp_path / "a.mp4"))
    assert len(frames) == 2
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0
    assert frames[0].shape[0] >= shape_yx[0]
    assert frames[0].shape[1] >= shape_yx[1]


def test_strip_has_a_true_scale_bar_clock_and_legend(make_result: MakeResult) -> None:
    label = stripes((3, 80, 240))
    label[2, 0] = 255
    names = ["cap", "amorphous", "film", "substrate"]
    reel = Reel(Pictures(make_result(label, names=names, pixel_size_nm=0.5, times_s=[0.0, 1.0, 2.0])), 0.6)
    first, second = reel.render(0), reel.render(1)
    strip = first[reel.picture_yx[0] :].astype(int)
    white = (strip == INK).all(axis=2)
    runs = [max(np.diff(np.flatnonzero(np.diff(np.r_[0, row, 0])))[::2], default=0) for row in white.astype(int)]
    assert reel.bar.text == "20 nm"  # 40 px of 240, enlarged twice
    assert max(runs) == 80
    for color in (*COLORS, (255, 0, 255)):
        assert (strip == color).all(axis=2).sum() == 13 * 13
    assert [text for text, _ in reel.entries] == [*names, "unknown"]
    changed = np.flatnonzero((first[reel.picture_yx[0] :] != second[reel.picture_yx[0] :]).any(axis=(0, 2)))
    assert changed.size
    assert changed.min() > reel.shape_yx[1] - 80  # only the clock, at the right
    assert (first[-1] == GROUND).all()


def test_legend_lines_stay_within_the_movie(make_result: MakeResult) -> None:
    names = [f"a phase called {'x' * i}" for i in range(12)]
    reel = Reel(Pictures(make_result(np.ones((1, 600, 20), np.uint8), names=names)), 0.6)
    frame = reel.render(0)
    assert frame.shape == (*reel.shape_yx, 3)
    for edge in (frame[:, 0], frame[:, -1], frame[-1]):
        assert (edge == GROUND).all()
    for color in COLORS:
        assert (frame == color).all(axis=2).sum() == 3 * 13 * 13


def test_gif_shows_every_frame_in_its_colours(make_result: MakeResult, tmp_path: Path) -> None:
    label = stripes((5, 60, 80))
    label[3, :20], label[4, 40:] = 255, 254
    gray = np.random.default_rng(0).integers(0, 256, label.shape, dtype=np.uint8)
    result = make_result(label, gray)
    frames, durations = read_gif(export_result(result, "gif", tmp_path / "a.gif", fps=5))
    assert durations == [200] * 5
    reel = Reel(Pictures(result), 0.6)
    for frame, want in zip(frames, reel.frames(), strict=True):
        assert frame.shape == want.shape
        assert np.abs(frame.astype(int) - want).max() <= 8


def test_gif_palette_has_room_for_many_classes() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 16, 80):
        colors = tuple(map(tuple, rng.integers(0, 256, (n, 3)).tolist()))
        palette = gif_palette(colors, 0.6)
        assert palette.shape == (256, 3)
        rows = set(map(tuple, palette.tolist()))
        assert set(colors) | {GROUND, INK, (BLANK_GRAY,) * 3, (255, 0, 255)} <= rows
    with pytest.raises(ExportError, match="120 colours are too many"):
        gif_palette(tuple((n, n, 0) for n in range(120)), 0.6)


@pytest.mark.parametrize(("to", "fps"), [("mp4", 0.0), ("mp4", 500.0), ("gif", 60.0), ("mp4", float("nan"))])
def test_frame_rates_that_no_format_tells(make_result: MakeResult, tmp_path: Path, to: str, fps: float) -> None:
    with pytest.raises(ExportError, match="frames a second, wanted 0.1 to"):
        export_result(make_result(stripes((1, 8, 8))), to, tmp_path / "a", fps=fps)


# --------------------------------------------------------------------------------------------------- csv


def test_csv_equals_the_tables(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(stripes((4, 9, 9)), pixel_size_nm=0.1234567890123)
    extra = pd.DataFrame({"frame": [0, 1], "position_nm": [0.1 + 0.2, np.nan], "front": ["a, b", 'c "d"']})
    write_table(result.path, "fronts", extra)
    folder = export_result(result, "csv", tmp_path / "tables")
    assert sorted(file.name for file in folder.iterdir()) == ["class_fraction.csv", "fronts.csv", "quality.csv"]
    for file in folder.iterdir():
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        table = result.table(file.stem)
        assert list(rows[0]) == list(table.columns)
        for name in table.select_dtypes("number"):
            np.testing.assert_array_equal([float(row[name] or "nan") for row in rows], table[name].to_numpy(float))
        for name in table.select_dtypes("str"):
            assert [row[name] for row in rows] == table[name].tolist()


@pytest.mark.parametrize(
    ("name", "table"),
    [("quality.csv", "quality"), ("class_fraction.csv", "class_fraction"), ("out.CSV", "class_fraction")],
)
def test_one_csv_is_one_table(make_result: MakeResult, tmp_path: Path, name: str, table: str) -> None:
    result = make_result(stripes((4, 9, 9)))
    path = export_result(result, "csv", tmp_path / name)
    assert list(pd.read_csv(path).columns) == list(result.table(table).columns)
    assert len(pd.read_csv(path)) == len(result.table(table)) > 0


def test_csv_overwrites_all_or_nothing(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(stripes((2, 9, 9)))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "quality.csv").write_text("mine")
    with pytest.raises(ExportError, match=r"quality\.csv exists"):
        export_result(result, "csv", tmp_path / "tables")
    assert [file.name for file in (tmp_path / "tables").iterdir()] == ["quality.csv"]
    assert (tmp_path / "tables" / "quality.csv").read_text() == "mine"
    export_result(result, "csv", tmp_path / "tables", overwrite=True)
    assert len(pd.read_csv(tmp_path / "tables" / "quality.csv")) == 2
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(ExportError, match="is a file, wanted a folder"):
        export_result(result, "csv", tmp_path / "plain", overwrite=True)


def test_csv_without_tables(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(stripes((2, 9, 9)))
    for file in (result.path / "tables").iterdir():
        file.unlink()
    with pytest.raises(ExportError, match="has no tables yet"):
        export_result(result, "csv", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


# ----------------------------------------------------------------------------------------- every format


@pytest.mark.parametrize("to", ["tiff", "mp4", "gif"])
def test_nothing_is_overwritten_unasked(make_result: MakeResult, tmp_path: Path, to: str) -> None:
    result = make_result(stripes((2, 9, 9)))
    path = tmp_path / "out"
    path.write_text("mine")
    with pytest.raises(ExportError, match="exists and was left as it is"):
        export_result(result, to, path)
    assert path.read_text() == "mine"
    export_result(result, to, path, overwrite=True)
    assert path.read_bytes()[:4] != b"mine"
    with pytest.raises(ExportError, match="is a folder"):
        export_result(result, to, tmp_path, overwrite=True)


@pytest.mark.parametrize("to", ["tiff", "mp4", "gif"])
def test_what_fails_half_way_leaves_nothing(make_result: MakeResult, tmp_path: Path, to: str) -> None:
    result = make_result(stripes((4, 9, 9)))
    shard_paths(result.path, result.layout, result.layout.block(1))["label"].write_bytes(b"damaged")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ResultError, match="frame 2 of .* is damaged"):
        export_result(result, to, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "run"]


@pytest.mark.parametrize("to", ["tiff", "mp4", "gif"])
def test_interrupted_exports_leave_nothing(make_result: MakeResult, tmp_path: Path, to: str) -> None:
    result = make_result(stripes((4, 9, 9)))

    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_result(result, to, tmp_path / "out", progress=stop)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("to", ["tiff", "mp4", "gif", "csv"])
def test_a_place_that_cannot_be_written(make_result: MakeResult, tmp_path: Path, to: str) -> None:
    result = make_result(stripes((2, 9, 9)))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="could not write"):
        export_result(result, to, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("to", "n_max"), [("tiff", 700), ("mp4", 2000)])
def test_a_full_disk_is_named(make_result: MakeResult, tmp_path: Path, to: str, n_max: int) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    result = make_result(np.random.default_rng(0).integers(1, 5, (8, 99, 99), dtype=np.uint8), names=list("abcd"))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_max, before[1]))
        with pytest.raises(StorageError, match="no space left|disk full"):
            export_result(result, to, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_unfinished_results_say_so_once(
    make_result: MakeResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    label = stripes((6, 20, 20))
    make_result(label, skip=[1])
    result = open_result(tmp_path / "run", chunks=None)
    for to in ("tiff", "mp4", "csv"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "emreel.view"):
            export_result(result, to, tmp_path / to)
        assert [r.getMessage() for r in caplog.records] == [
            f"{tmp_path / 'run'} is not finished: 2 of 6 frames are not computed and stay empty"
        ]
    read = tifffile.imread(tmp_path / "tiff")
    assert not read[2:4].any()
    assert (read[[0, 1, 4, 5]] == label[[0, 1, 4, 5]]).all()
    frames, _ = read_video(tmp_path / "mp4")
    assert np.abs(frames[2][20:400, 20:400].astype(int) - BLANK_GRAY).max() <= 3
    assert (np.ptp(frames[1][100, 40].astype(int)) > 20).all()


@pytest.mark.parametrize(
    ("to", "name", "says"),
    [
        ("png", "a.png", "cannot export to 'png'. Wanted one of tiff, mp4, gif, csv, html, hspy"),
        ("tif", "a.tif", "Did you mean 'tiff'?"),
        ("gif", "a.mp4", "got the name a.mp4 for a gif"),
        ("tiff", "a.csv", "export to csv"),
    ],
)
def test_unknown_formats_list_what_is_there(
    make_result: MakeResult, tmp_path: Path, to: str, name: str, says: str
) -> None:
    with pytest.raises(ExportError) as caught:
        export_result(make_result(stripes((1, 8, 8))), to, tmp_path / name)
    assert says in str(caught.value)
    assert not (tmp_path / name).exists()


def test_opacity_is_used_and_checked(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(stripes((1, 60, 80)))
    (frame,), _ = read_gif(export_result(result, "gif", tmp_path / "a.gif", opacity=0.0))
    assert (np.ptp(frame[:300].astype(int), axis=2) == 0).all()
    with pytest.raises(ExportError, match="opacity of 2"):
        export_result(result, "mp4", tmp_path / "a.mp4", opacity=2)
    assert video.FPS_RANGE["mp4"][0] < video.FPS_RANGE["mp4"][1]
