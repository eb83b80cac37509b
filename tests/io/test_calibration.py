"""Pixel sizes and frame times as the formats really tell them: uneven, in odd units, or not at all."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from emreel.io import ReaderError, open_movie
from emreel.movie import frame_times_s, pixel_size_nm

UNEVEN = [0.0, 0.4, 0.5, 2.0, 3.5, 3.75, 9.0]


def test_ome_times_of_every_plane(tmp_path: Path, writers: Any) -> None:
    plane = {"DeltaT": [t * 1000 for t in UNEVEN], "DeltaTUnit": ["ms"] * 7}
    metadata = {"axes": "TYX", "TimeIncrement": 1.0, "Plane": plane, "PhysicalSizeX": 5e-5, "PhysicalSizeY": 5e-5}
    path = writers.write_tiff(tmp_path, writers.make_frames(), ome=True, metadata=metadata)
    movie = open_movie(path)
    np.testing.assert_allclose(frame_times_s(movie), UNEVEN)
    assert pixel_size_nm(movie) == pytest.approx(0.05), "OME's own unit is the micrometre"
    assert "Plane" in movie.attrs["original_metadata"]["ome_xml"]


def test_imagej_in_micrometres_and_frames_a_second(tmp_path: Path, writers: Any) -> None:
    metadata = {"axes": "TYX", "fps": 8.0, "unit": "um"}
    path = writers.write_tiff(
        tmp_path, writers.make_frames(), imagej=True, resolution=(20_000, 20_000), metadata=metadata
    )
    movie = open_movie(path)
    assert pixel_size_nm(movie) == pytest.approx(0.05)
    np.testing.assert_allclose(frame_times_s(movie), np.arange(7) / 8)


def test_imagej_stack_along_z_is_a_movie_without_times(tmp_path: Path, writers: Any) -> None:
    path = writers.write_tiff(tmp_path, writers.make_frames(), imagej=True, metadata={"axes": "ZYX"})
    movie = open_movie(path)
    assert movie.shape == (7, 12, 10) and frame_times_s(movie) is None


def test_a_printing_resolution_is_no_calibration(tmp_path: Path, writers: Any) -> None:
    path = writers.write_tiff(
        tmp_path, writers.make_frames(), resolution=(300, 300), resolutionunit="INCH", metadata=None
    )
    assert pixel_size_nm(open_movie(path)) is None
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "m.png", dpi=(300, 300))
    assert pixel_size_nm(open_movie(tmp_path / "m.png")) is None


def test_imagej_writes_one_page_for_a_large_stack(tmp_path: Path, writers: Any) -> None:
    """Beyond 4 GiB ImageJ writes a single page and says how many images follow it."""
    frames = writers.make_frames(shape=(5, 12, 10))
    description = "ImageJ=1.54f\nimages=5\nframes=5\nfinterval=0.5\nunit=nm\n"
    tifffile.imwrite(tmp_path / "m.tif", frames[0], description=description, metadata=None, resolution=(4, 4))
    with (tmp_path / "m.tif").open("ab") as file:
        file.write(frames[1:].tobytes())
    movie = open_movie(tmp_path / "m.tif")
    np.testing.assert_array_equal(movie.values, frames)
    assert pixel_size_nm(movie) == 0.25 and frame_times_s(movie)[-1] == 2.0


@pytest.mark.parametrize("head", ["frame,time_s", "time_s", "file,time_s", "note, frame, time_s"])
def test_sidecar_times(head: str, tmp_path: Path, writers: Any) -> None:
    writers.write_folder_npy(tmp_path, writers.make_frames())  # 5.npy ... 11.npy
    columns = [name.strip() for name in head.split(",")]
    rows = [
        ",".join({"frame": str(i), "time_s": str(t), "file": f"{i + 5}.npy", "note": "x"}[name] for name in columns)
        for i, t in enumerate(UNEVEN)
    ]
    if len(columns) > 1:
        rows = rows[::-1]  # with a key the order of the rows does not matter
    (tmp_path / "times.csv").write_text("\n".join([head, *rows]), encoding="utf-8-sig")
    assert frame_times_s(open_movie(tmp_path)).tolist() == UNEVEN


@pytest.mark.parametrize(
    "text", ["a,b\n1,2", "time_s\n1\n2", "frame,time_s\n0,1\n1,x", "file,time_s\n5.npy,1", "", "frame,time_s\n0,1\n2,3"]
)
def test_sidecars_that_do_not_fit(text: str, tmp_path: Path, writers: Any) -> None:
    writers.write_folder_npy(tmp_path, writers.make_frames())
    (tmp_path / "times.csv").write_text(text)
    with pytest.raises(ReaderError, match=r"times\.csv"):
        open_movie(tmp_path)


def test_velox_times_of_every_frame(tmp_path: Path, writers: Any) -> None:
    path = writers.write_emd_velox(tmp_path, writers.make_frames())
    with h5py.File(path, "r+") as file:
        group = file["Data/Image/0123456789abcdef"]
        texts = []
        for t in UNEVEN:
            stamp = {"TimeStamp": str(int(1.7e15 + t * 1e6))}
            texts.append(np.frombuffer(json.dumps({"Features": stamp}).encode().ljust(2000, b"\0"), np.uint8))
        del group["Metadata"]
        group["Metadata"] = np.stack(texts, axis=1)
    np.testing.assert_allclose(frame_times_s(open_movie(path)), UNEVEN, atol=1e-6)


def test_merlin_stamps_that_do_not_rise_are_no_times(tmp_path: Path, writers: Any) -> None:
    path = Path(writers.write_mib(tmp_path, writers.make_frames()))
    path.write_bytes(path.read_bytes().replace(b"10:00:01.25", b"10:00:01.00"))
    assert frame_times_s(open_movie(path)) is None


def test_mrc_without_a_cell(tmp_path: Path) -> None:
    for cell in (0.0, 8.0):  # none, and the angstrom a pixel of programs that know nothing
        head = struct.pack("<10i3f", 8, 8, 2, 2, 0, 0, 0, 8, 8, 2, cell, cell, 2.0)
        (tmp_path / "m.mrc").write_bytes(head.ljust(1024, b"\0") + bytes(4 * 8 * 8 * 2))
        assert pixel_size_nm(open_movie(tmp_path / "m.mrc")) is None


@pytest.mark.parametrize(("kind", "where", "code"), [(b"FEI1", 156, "<d"), (b"", 44, "<f")])
def test_fei_extended_headers(kind: bytes, where: int, code: str, tmp_path: Path, writers: Any) -> None:
    extended = bytearray(1024 * 128)
    struct.pack_into(code, extended, where, 7e-11)
    path = Path(writers.write_mrc(tmp_path, writers.make_frames(), extended=bytes(extended)))
    data = bytearray(path.read_bytes())
    data[104:108] = kind.ljust(4, b"\0")
    path.write_bytes(bytes(data))
    assert pixel_size_nm(open_movie(path)) == pytest.approx(0.07)


def test_unsigned_and_signed_bytes_of_mrc(tmp_path: Path) -> None:
    pixels = bytes([0, 1, 127, 128, 254, 255])
    for version, signed in ((0, False), (20140, True)):
        head = bytearray(struct.pack("<4i", 3, 2, 1, 0).ljust(1024, b"\0"))
        struct.pack_into("<i", head, 108, version)
        (tmp_path / "m.mrc").write_bytes(bytes(head) + pixels)
        expected = np.frombuffer(pixels, np.int8 if signed else np.uint8).reshape(1, 2, 3)
        np.testing.assert_array_equal(open_movie(tmp_path / "m.mrc").values, expected)


def test_direct_electron_movie_with_its_info_file(tmp_path: Path, writers: Any) -> None:
    writers.write_mrc(tmp_path, writers.make_frames(), name="20240301_00001_movie.mrc")
    (tmp_path / "20240301_00001_info.txt").write_text(
        "Frames Per Second = 40\nAutosave Movie Sum Count = 2\nSpecimen Pixel Size X (nanometers) = 0.025\n"
    )
    movie = open_movie(tmp_path / "20240301_00001_movie.mrc")
    assert pixel_size_nm(movie) == 0.025
    np.testing.assert_allclose(frame_times_s(movie), np.arange(7) / 20)


def test_half_floats_become_floats(tmp_path: Path, writers: Any) -> None:
    frames = writers.make_frames("float16")
    movie = open_movie(writers.write_mrc(tmp_path, frames))
    assert movie.dtype == np.float32
    np.testing.assert_array_equal(movie.values, frames.astype(np.float32))


def test_emi_finds_its_series(tmp_path: Path, writers: Any) -> None:
    frames = writers.make_frames()
    writers.write_ser(tmp_path, frames, name="run_1.ser")
    info = "<ObjectInfo><Uuid>7</Uuid><AcquireInfo><DwellTimePath>2e-6</DwellTimePath></AcquireInfo></ObjectInfo>"
    (tmp_path / "run.emi").write_bytes(b"\x4a\x4d" + info.encode() + b"\0\0")
    movie = open_movie(tmp_path / "run.emi")
    np.testing.assert_array_equal(movie.values, frames)
    assert movie.attrs["original_metadata"]["emi"]["AcquireInfo"]["DwellTimePath"] == "2e-6"
    writers.write_ser(tmp_path, frames[:2], name="run_2.ser")
    with pytest.raises(ReaderError, match=r"2 series beside it: run_1\.ser, run_2\.ser"):
        open_movie(tmp_path / "run.emi")
    assert open_movie(tmp_path / "run.emi", dataset="run_2.ser").sizes["time"] == 2


def test_rosettasciio_sees_the_same(tmp_path: Path, writers: Any) -> None:
    """The byte writers of these tests are read alike by the library that the field uses."""
    from rsciio.digitalmicrograph import file_reader as read_dm
    from rsciio.mrc import file_reader as read_mrc
    from rsciio.quantumdetector import load_mib_data
    from rsciio.tia import file_reader as read_ser

    frames = writers.make_frames()
    np.testing.assert_array_equal(read_dm(writers.write_dm(tmp_path, frames))[0]["data"], frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the file open
        np.testing.assert_array_equal(read_mrc(writers.write_mrc(tmp_path, frames))[0]["data"], frames)
    np.testing.assert_array_equal(read_ser(writers.write_ser(tmp_path, frames))[0]["data"], frames)
    np.testing.assert_array_equal(load_mib_data(writers.write_mib(tmp_path, frames))[:, ::-1], frames)


def test_film_clocks(tmp_path: Path, writers: Any) -> None:
    """Frames with uneven clocks, in an order of decoding that is not the order of showing."""
    from fractions import Fraction

    import av

    frames = writers.make_frames("uint8", shape=(7, 48, 64))
    with av.open(tmp_path / "m.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=100, options={"qp": "0", "bf": "2", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.time_base = Fraction(1, 1000)
        for frame, t in zip(frames, UNEVEN, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="gray")
            picture.pts, picture.time_base = round(t * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    movie = open_movie(tmp_path / "m.mp4")
    np.testing.assert_array_equal(movie.values, frames)
    np.testing.assert_allclose(frame_times_s(movie), UNEVEN, atol=2e-3)
    np.testing.assert_array_equal(movie.data[4].compute(), frames[4])


def test_films_of_a_televisions_range_are_stretched(tmp_path: Path) -> None:
    """As imageio and ffmpeg write them: grey 0..255 becomes luma 16..235 and comes back to a level or two."""
    import imageio.v3 as iio

    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (3, 48, 1))
    iio.imwrite(tmp_path / "m.mp4", np.repeat(ramp[..., None], 3, axis=3), plugin="pyav", codec="libx264", fps=5)
    movie = open_movie(tmp_path / "m.mp4")
    assert np.abs(movie.values.astype(int) - ramp).max() <= 6
    np.testing.assert_allclose(frame_times_s(movie), [0, 0.2, 0.4])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".npy", ".bmp"])
def test_a_picture_is_a_movie_of_one_frame(suffix: str, tmp_path: Path) -> None:
    picture = np.add.outer(np.arange(40) * 3, np.arange(48)).astype(np.uint8)
    path = tmp_path / f"m{suffix}"
    np.save(path, picture) if suffix == ".npy" else Image.fromarray(picture).save(path, quality=100)
    movie = open_movie(path)
    assert movie.shape == (1, 40, 48) and movie.dtype == np.uint8
    assert np.abs(movie.values[0].astype(int) - picture).max() <= (2 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_grey_that_is_stored_as_colour(mode: str, tmp_path: Path) -> None:
    picture = np.add.outer(np.arange(40) * 3, np.arange(48)).astype(np.uint8)
    Image.fromarray(picture).convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(open_movie(tmp_path / "m.png").values[0], picture)
    if mode in ("RGB", "RGBA"):
        Image.fromarray(picture).convert(mode).save(tmp_path / "m.tif")
        np.testing.assert_array_equal(open_movie(tmp_path / "m.tif").values[0], picture)


def test_sixteen_bit_colour_tiff_stack_of_greys(tmp_path: Path, writers: Any) -> None:
    frames = writers.make_frames()
    for planar in ("contig", "separate"):
        stack = np.repeat(frames[..., None], 3, axis=3)
        stack = stack if planar == "contig" else np.moveaxis(stack, -1, 1)
        tifffile.imwrite(tmp_path / "m.tif", stack, photometric="rgb", planarconfig=planar)
        np.testing.assert_array_equal(open_movie(tmp_path / "m.tif").values, frames)


def test_grey_palettes_are_looked_up(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    inverse = np.tile(np.arange(256)[::-1].astype(np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "m.tif", ramp, photometric="palette", colormap=inverse)
    np.testing.assert_array_equal(open_movie(tmp_path / "m.tif").values[0], 255 - ramp)


def test_colours_of_a_palette_that_no_pixel_uses(tmp_path: Path) -> None:
    ramp = np.arange(16, 240, dtype=np.uint8).reshape(14, 16)
    colours = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    colours[0, 3] = 60_000
    tifffile.imwrite(tmp_path / "m.tif", ramp, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(open_movie(tmp_path / "m.tif").values[0], ramp)
    with tifffile.TiffWriter(tmp_path / "m.tif") as tif:
        for frame in (ramp, ramp - 13):
            tif.write(frame, photometric="palette", colormap=colours, metadata=None)
    movie = open_movie(tmp_path / "m.tif")
    with pytest.raises(ReaderError, match=r"page 1 is in colour"):
        movie.values  # noqa: B018


def test_zeiss_pixel_size(tmp_path: Path) -> None:
    header = b"\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2.791 nm\r\n\0"
    tifffile.imwrite(
        tmp_path / "m.tif", np.zeros((8, 8), np.uint8), metadata=None, extratags=[(34118, "s", 0, header, True)]
    )
    assert pixel_size_nm(open_movie(tmp_path / "m.tif")) == pytest.approx(2.791)


def test_lzw_is_decoded_without_a_further_package(tmp_path: Path, writers: Any) -> None:
    frames = writers.make_frames(shape=(3, 40, 48))
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(tmp_path / "m.tif", compression="tiff_lzw", save_all=True, append_images=pictures[1:])
    np.testing.assert_array_equal(open_movie(tmp_path / "m.tif").values, frames)


def test_bioformats2raw_layout(tmp_path: Path, writers: Any) -> None:
    import zarr

    frames = writers.make_frames()
    (tmp_path / "inner").mkdir()
    writers.write_ome_zarr(tmp_path / "inner", frames, "0.4")
    root = zarr.open_group(tmp_path / "m.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    (tmp_path / "inner" / "m.zarr").rename(tmp_path / "m.zarr" / "0")
    movie = open_movie(tmp_path / "m.zarr")
    np.testing.assert_array_equal(movie.values, frames)
    assert pixel_size_nm(movie) == pytest.approx(0.05)
