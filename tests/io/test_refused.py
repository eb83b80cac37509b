"""What is no movie is refused with one clear message, before anything is allocated or executed."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from emreel.io import ReaderError, open_movie
from emreel.movie import EmreelError, MovieError


class Bomb:
    """Unpickling this leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def _npy_with_header(path: Path, shape: tuple[int, ...], dtype: str, body: bytes = b"") -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        file.write(body)
    return path


def test_missing_empty_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"none\.tif does not exist"):
        open_movie(tmp_path / "none.tif")
    (tmp_path / "empty.mrc").touch()
    with pytest.raises(ReaderError, match="0 bytes"):
        open_movie(tmp_path / "empty.mrc")
    (tmp_path / "talk.pptx").write_text("slides")
    with pytest.raises(ReaderError, match=r"no movie that emreel knows.*\.tif"):
        open_movie(tmp_path / "talk.pptx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReaderError, match="holds no frames"):
        open_movie(tmp_path / "folder")
    with pytest.raises(OSError, match="does not exist"):
        open_movie(tmp_path / "none.tif")  # a ReaderError is an OSError too


@pytest.mark.parametrize(
    "suffix",
    "npy npz tif png jpg h5 mat mp4 avi mrc ser mib tvips dm3 dm4 emd hspy blo emi nc zarr zspy".split(),  # noqa: SIM905
)
@pytest.mark.parametrize("content", [b"no movie at all, but some text " * 40, bytes(range(256)) * 8, b"\0" * 3000])
def test_not_a_movie(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"x_000.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ReaderError, match="x_000") as caught:
        open_movie(path)
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    objects = np.empty(3, dtype=object)
    objects[:] = [Bomb(trap)] * 3
    np.save(tmp_path / "m.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "m.npz", movie=objects)
    (tmp_path / "raw.npy").write_bytes(b"\x80\x04cos\nmkdir\n(S'" + str(trap).encode() + b"'\ntR.")
    with zipfile.ZipFile(tmp_path / "m.prz", "w") as archive:
        buffer = io.BytesIO()
        np.save(buffer, objects, allow_pickle=True)
        archive.writestr("meta_data.npy", buffer.getvalue())
    for name in ("m.npy", "m.npz", "raw.npy", "m.prz"):
        with pytest.raises(EmreelError):
            open_movie(tmp_path / name)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("dtype", "words"), [("complex64", "complex"), ("bool", "bool"), ("object", "pickled"), ("U4", "U4")]
)
def test_no_counts(dtype: str, words: str, tmp_path: Path) -> None:
    frames = np.zeros((3, 8, 8), dtype)
    np.save(tmp_path / "m.npy", frames, allow_pickle=True)
    with pytest.raises(ReaderError, match=words):
        open_movie(tmp_path / "m.npy")
    if dtype == "object":
        return
    with pytest.raises(MovieError):
        open_movie(frames)


@pytest.mark.parametrize("dtype", ["complex64", "bool"])
def test_no_counts_in_other_formats(dtype: str, tmp_path: Path, writers: Any) -> None:
    frames = np.zeros((3, 8, 8), dtype)
    zarr.create_array(tmp_path / "m.zarr", data=np.ones((3, 8, 8), dtype), chunks=(1, 8, 8))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["movie"] = frames
    tifffile.imwrite(tmp_path / "m.tif", frames, photometric="minisblack")
    for name in ("m.zarr", "m.h5", "m.tif"):
        with pytest.raises(EmreelError, match=r"complex|bool|no array"):
            open_movie(tmp_path / name)
    if dtype == "complex64":
        with pytest.raises(ReaderError, match="complex"):
            open_movie(writers.write_ser(tmp_path, frames))
        (tmp_path / "m.mrc").write_bytes(struct.pack("<4i", 8, 8, 3, 4).ljust(1024 + 8 * 8 * 8 * 3, b"\0"))
        with pytest.raises(ReaderError, match="complex"):
            open_movie(tmp_path / "m.mrc")
        path = writers.write_dm(tmp_path, np.zeros((3, 8, 8), "f4"), kind=3)
        with pytest.raises(ReaderError, match="complex"):
            open_movie(path)


def test_zero_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((0, 8, 8), "u2"))
    zarr.create_array(tmp_path / "m.zarr", shape=(0, 8, 8), chunks=(1, 8, 8), dtype="u2")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["movie"] = np.zeros((0, 8, 8), "u2")
    for name in ("m.npy", "m.zarr", "m.h5"):
        with pytest.raises(ReaderError):
            open_movie(tmp_path / name)
    with pytest.raises(MovieError, match="empty"):
        open_movie(np.zeros((0, 8, 8)))
    with pytest.raises(MovieError, match="empty list"):
        open_movie([])


def _absurd_files(folder: Path) -> list[Path]:
    side = 10**6
    files = [_npy_with_header(folder / "huge.npy", (4, side, side), "<u2", b"x" * 100)]
    files.append(_npy_with_header(folder / "long.npy", (10**12, 8, 8), "<u2"))
    (folder / "huge.mrc").write_bytes(struct.pack("<4i", side, side, 10**6, 2).ljust(1024, b"\0") + b"x" * 100)
    head = struct.pack("<HHHIIIIQI", 0x4949, 0x197, 0x220, 0x4122, 0x4152, 2**31, 2**31, 34, 0)[:34]
    (folder / "huge.ser").write_bytes(head + b"\1" * 200)
    (folder / "huge.mib").write_bytes(b"MQ1,000001,00384,01,1000000,1000000,U16,1x1,01".ljust(600, b" "))
    header = bytearray(256 + 400)
    struct.pack_into("<13I", header, 0, 256, 2, side, side, 16, 0, 0, 1, 1, 10, 0, 0, 60)
    (folder / "huge_000.tvips").write_bytes(bytes(header))
    tags = [(256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1)]
    tags += [(278, 4, side), (279, 4, 2**32 - 1)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    (folder / "huge.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + b"\0" * 200)
    zarr.create_array(folder / "huge.zarr", shape=(9, side, side), chunks=(1, side, side), dtype="f8")
    with h5py.File(folder / "huge.h5", "w") as file:
        file.create_dataset("movie", shape=(9, side, side), chunks=(1, 1000, 1000), dtype="f8")
    names = ["huge.mrc", "huge.ser", "huge.mib", "huge_000.tvips", "huge.tif", "huge.zarr", "huge.h5"]
    return files + [folder / name for name in names]


def test_absurd_shapes_are_refused_before_allocating(tmp_path: Path) -> None:
    code = (
        "import re, resource, sys; from emreel.io import open_movie; from emreel.movie import EmreelError\n"
        "import dask.array, h5py, tifffile, zarr\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31))\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_movie(path); print('OPENED', path)\n"
        "    except EmreelError as error: print('refused', error)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024)\n"
    )
    files = _absurd_files(tmp_path)
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(files) + 1 and all(line.startswith("refused") for line in lines[:-1]), done.stdout
    assert int(lines[-1]) < 500 * 2**20


def test_a_frame_no_camera_has(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", shape=(2, 10**5, 10**5), chunks=(1, 10, 10), dtype="u1")
    array[:, :10, :10] = 1
    with pytest.raises(MovieError, match="pixels"):
        open_movie(tmp_path / "m.zarr")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
def test_colour_is_refused(suffix: str, tmp_path: Path) -> None:
    picture = np.zeros((40, 48, 3), np.uint8)
    picture[..., 0] = 200
    Image.fromarray(picture).save(tmp_path / f"m{suffix}")
    with pytest.raises(ReaderError, match="in colour"):
        open_movie(tmp_path / f"m{suffix}")


def test_a_coloured_film_is_refused(tmp_path: Path) -> None:
    import av

    with av.open(tmp_path / "m.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :32, 1] = 220
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(ReaderError, match="in colour"):
        open_movie(tmp_path / "m.mp4")


def test_palettes(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8)
    picture = Image.fromarray(ramp.reshape(16, 16)).convert("P")
    picture.putpalette(np.stack([255 - ramp, ramp, ramp], axis=1).tobytes())
    picture.save(tmp_path / "m.png")
    with pytest.raises(ReaderError, match="in colour"):
        open_movie(tmp_path / "m.png")
    colours = np.stack([ramp[::-1], ramp, ramp]).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "m.tif", ramp.reshape(16, 16), photometric="palette", colormap=colours)
    with pytest.raises(ReaderError, match="palette"):
        open_movie(tmp_path / "m.tif")


def test_one_bit_pictures(tmp_path: Path) -> None:
    Image.fromarray(np.eye(16) > 0).save(tmp_path / "m.png")
    with pytest.raises(ReaderError, match="1 bit"):
        open_movie(tmp_path / "m.png")


def test_mixed_sizes_name_the_files(tmp_path: Path, writers: Any) -> None:
    frames = writers.make_frames()
    writers.write_folder_npy(tmp_path, frames)
    np.save(tmp_path / "8.npy", frames[0, :5])
    with pytest.raises(ReaderError, match=r"5\.npy is 12 x 10 px, 8\.npy is 5 x 10"):
        open_movie(tmp_path)
    np.save(tmp_path / "8.npy", frames[0].astype("f4"))
    with pytest.raises(ReaderError, match=r"8\.npy float32"):
        open_movie(tmp_path)
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tif:
        tif.write(frames[0])
        tif.write(frames[0, :5])
    with pytest.raises(ReaderError, match=r"page 0 is 12 x 10 px, page 1 is 5 x 10"):
        open_movie(tmp_path / "mixed.tif")


def test_mixed_kinds_in_a_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.zeros((4, 4)))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "2.png")
    with pytest.raises(ReaderError, match=r"1 \.npy, 1 \.png"):
        open_movie(tmp_path)


def test_several_arrays_are_listed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["scan/haadf"] = np.zeros((3, 8, 9), "u2")
        file["scan/bf"] = np.ones((3, 8, 9), "u2")
        file["spectrum"] = np.zeros(5)
    np.savez(tmp_path / "m.npz", haadf=np.zeros((3, 8, 9)), bf=np.ones((3, 8, 9)))
    group = zarr.open_group(tmp_path / "m.zarr", mode="w")
    for name, value in (("haadf", 2), ("bf", 1)):
        group.create_array(name, data=np.full((3, 8, 9), value, "u2"))
    for name in ("m.h5", "m.npz", "m.zarr"):
        with pytest.raises(ReaderError, match=r"(haadf.*bf|bf.*haadf).*dataset="):
            open_movie(tmp_path / name)
        bf = "scan/bf" if name == "m.h5" else "bf"
        assert float(open_movie(tmp_path / name, dataset=bf).mean()) == 1.0
        with pytest.raises(ReaderError, match="Did you mean"):
            open_movie(tmp_path / name, dataset=bf + "x")
    np.save(tmp_path / "m.npy", np.zeros((3, 4, 4)))
    with pytest.raises(ReaderError, match="Leave the dataset out"):
        open_movie(tmp_path / "m.npy", dataset="x")


def test_channels_are_not_guessed(tmp_path: Path) -> None:
    stack = np.zeros((4, 3, 8, 9), np.uint16)
    np.save(tmp_path / "m.npy", stack)
    tifffile.imwrite(tmp_path / "m.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    tifffile.imwrite(tmp_path / "m.ome.tif", stack, ome=True, metadata={"axes": "TCYX"}, photometric="minisblack")
    zarr.create_array(tmp_path / "m.zarr", data=stack + 1, chunks=(1, 1, 8, 9), dimension_names=["t", "c", "y", "x"])
    for name in ("m.npy", "m.tif", "m.ome.tif", "m.zarr"):
        with pytest.raises(ReaderError, match=r"channel|besides time"):
            open_movie(tmp_path / name)


def test_unusual_hdf5_links_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["movie"] = np.zeros((3, 8, 8), "u2")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        layout = h5py.VirtualLayout(shape=(3, 8, 8), dtype="u2")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "movie", shape=(3, 8, 8))
        file.create_virtual_dataset("view", layout)
        file["link"] = h5py.ExternalLink("other.h5", "movie")
    with pytest.raises(ReaderError, match="other files"):
        open_movie(tmp_path / "m.h5")
    with pytest.raises(ReaderError, match="no array 'link'"):
        open_movie(tmp_path / "m.h5", dataset="link")


def test_what_is_opened_stays_untouched(written: Any, tmp_path: Path) -> None:
    path, _, _ = written
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o444)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    open_movie(path).data[-1].compute()
    now = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.rglob("*") if file.is_file()}
    assert now == before
