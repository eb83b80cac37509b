"""Movies written by their own libraries, and by small byte writers where no library writes the format."""

from __future__ import annotations

import json
import struct
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Format:
    """How to write one kind of movie, and what must come back."""

    write: Callable[[Path, Array], str]
    dtype: str = "uint16"
    pixel_size_nm: float | None = None
    frame_time_s: float | None = None
    shape: tuple[int, int, int] = (7, 12, 10)


def make_frames(dtype: str = "uint16", shape: tuple[int, int, int] = (7, 12, 10), seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(100.0, 20.0, shape).astype(dtype)
    top = min(np.iinfo(dtype).max, 60_000)
    return rng.integers(0, top, shape, dtype=dtype)


def write_npy(folder: Path, frames: Array) -> str:
    np.save(folder / "m.npy", frames)
    return str(folder / "m.npy")


def write_npy_fortran(folder: Path, frames: Array) -> str:
    np.save(folder / "m.npy", np.asfortranarray(frames))
    return str(folder / "m.npy")


def write_npy_big_endian(folder: Path, frames: Array) -> str:
    np.save(folder / "m.npy", frames.astype(frames.dtype.newbyteorder(">")))
    return str(folder / "m.npy")


def write_npz(folder: Path, frames: Array) -> str:
    np.savez(folder / "m.npz", first=np.zeros(3), movie=frames)
    return str(folder / "m.npz")


def write_npz_compressed(folder: Path, frames: Array) -> str:
    np.savez_compressed(folder / "m.npz", movie=frames, times=np.arange(4.0))
    return str(folder / "m.npz")


def write_tiff(folder: Path, frames: Array, **options: Any) -> str:
    tifffile.imwrite(folder / "m.tif", frames, photometric="minisblack", **options)
    return str(folder / "m.tif")


def write_tiff_imagej(folder: Path, frames: Array) -> str:
    metadata = {"axes": "TYX", "finterval": 0.25, "unit": "nm"}
    return write_tiff(folder, frames, imagej=True, resolution=(1 / 0.05, 1 / 0.05), metadata=metadata)


def write_tiff_ome(folder: Path, frames: Array) -> str:
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.05, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.05}
    metadata |= {"PhysicalSizeYUnit": "nm", "TimeIncrement": 250.0, "TimeIncrementUnit": "ms"}
    return write_tiff(folder, frames, ome=True, metadata=metadata)


def write_tiff_pages(folder: Path, frames: Array) -> str:
    with tifffile.TiffWriter(folder / "m.tif") as tif:
        for number, frame in enumerate(frames):
            tif.write(frame, contiguous=False, metadata=None, description=f"page {number}")
    return str(folder / "m.tif")


def write_folder_png(folder: Path, frames: Array) -> str:
    import imageio.v3 as iio

    for number, frame in enumerate(frames):
        iio.imwrite(
            folder / f"frame_{number + 5}.png", frame
        )  # frame_5 ... frame_11: natural order differs from text order
    (folder / "notes.txt").write_text("not a frame")
    rows = [f"frame_{number + 5}.png, {number * 0.25}" for number in range(len(frames))]
    (folder / "times.csv").write_text("\n".join(["file, time_s", *rows[::-1]]))
    return str(folder)


def write_folder_npy(folder: Path, frames: Array) -> str:
    for number, frame in enumerate(frames):
        np.save(folder / f"{number + 5}.npy", frame)
    return str(folder)


def write_folder_tiff_stacks(folder: Path, frames: Array) -> str:
    tifffile.imwrite(folder / "part2.tif", frames[:3], photometric="minisblack")
    tifffile.imwrite(folder / "part10.tif", frames[3:], photometric="minisblack")
    return str(folder)


def write_zarr(folder: Path, frames: Array, version: int) -> str:
    array = zarr.create_array(
        folder / "m.zarr", shape=frames.shape, chunks=(2, *frames.shape[1:]), dtype=frames.dtype, zarr_format=version
    )
    array[:] = frames
    return str(folder / "m.zarr")


def write_zarr_xarray(folder: Path, frames: Array) -> str:
    import xarray as xr

    array = xr.DataArray(frames, dims=("time", "y", "x"), name="movie")
    n_frames, height, width = frames.shape
    array = array.assign_coords(
        time=("time", np.arange(n_frames) * 0.25, {"units": "second"}),
        y=("y", np.arange(height) * 0.05, {"units": "nm"}),
        x=("x", np.arange(width) * 0.05, {"units": "nm"}),
    )
    array.to_dataset().to_zarr(folder / "m.zarr", zarr_format=2, consolidated=False)
    return str(folder / "m.zarr")


def write_ome_zarr(folder: Path, frames: Array, version: str) -> str:
    """Through ome-zarr-py: axes t, c, z, y, x with one channel and one plane."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ome-zarr builds its own deprecated scaler on import
        from ome_zarr.format import FormatV04, FormatV05
        from ome_zarr.writer import write_image
    axes = [
        {"name": "t", "type": "time", "unit": "millisecond"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "nanometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    form = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(folder / "m.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    write_image(
        frames[:, None, None],
        group,
        scale_factors=[],
        axes=axes,
        fmt=form,
        scale={"t": 250.0, "c": 1.0, "z": 1.0, "y": 5e-5, "x": 5e-5},
        axes_units={"t": "millisecond", "z": "nanometer", "y": "micrometer", "x": "micrometer"},
    )
    return str(folder / "m.zarr")


def write_hdf5(folder: Path, frames: Array, **options: Any) -> str:
    with h5py.File(folder / "m.h5", "w") as file:
        array = file.create_dataset("scan/movie", data=frames, **options)
        array.attrs["element_size_um"] = [1.0, 5e-5, 5e-5]
        array.attrs["frame_time_s"] = 0.25
        file["dark"] = np.zeros(frames.shape[1:], "f4")
    return str(folder / "m.h5")


def write_netcdf(folder: Path, frames: Array) -> str:
    """HDF5 with dimension scales, as netCDF-4 lays it out; the times are uneven and listed."""
    with h5py.File(folder / "m.nc", "w") as file:
        array = file.create_dataset("movie", data=frames)
        steps = {"time": (0.25, "s"), "y": (0.05, "nm"), "x": (0.05, "nm")}
        for axis, (name, (step, units)) in enumerate(steps.items()):
            scale = file.create_dataset(name, data=np.arange(frames.shape[axis]) * step)
            scale.attrs["units"] = units
            scale.make_scale(name)
            array.dims[axis].attach_scale(scale)
            array.dims[axis].label = name
    return str(folder / "m.nc")


def write_video(folder: Path, frames: Array, name: str, codec: str, pixels: str) -> str:
    import av

    height, width = frames.shape[1:]
    with av.open(folder / name, "w") as container:
        lossless = {"qp": "0", "g": "3", "bf": "2"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=4, options=lossless)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format=pixels)))
        container.mux(stream.encode(None))
    return str(folder / name)


def write_mrc(folder: Path, frames: Array, order: str = "<", extended: bytes = b"", name: str = "m.mrc") -> str:
    n_frames, height, width = frames.shape
    mode = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}[frames.dtype.name]
    head = struct.pack(
        f"{order}10i6f3i3f2i8s4si", width, height, n_frames, mode, 0, 0, 0, width, height, n_frames,
        width * 0.5, height * 0.5, float(n_frames), 90.0, 90.0, 90.0, 1, 2, 3, 0.0, 1.0, 0.5, 0,
        len(extended), b"", b"", 20140,
    )  # fmt: skip
    head = head.ljust(208, b"\0") + b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    stored = frames.astype(frames.dtype.newbyteorder(order))
    (folder / name).write_bytes(head.ljust(1024, b"\0") + extended + stored.tobytes())
    return str(folder / name)


def write_mrcz(folder: Path, frames: Array) -> str:
    """By the mrcz library, which rosettasciio uses."""
    import mrcz

    mrcz.writeMRC(frames, str(folder / "m.mrc"), pixelsize=[0.1, 0.05, 0.05], pixelunits="nm")
    return str(folder / "m.mrc")


def write_ser(folder: Path, frames: Array, name: str = "m_1.ser", wide: bool = True, total: int | None = None) -> str:
    n_frames, height, width = frames.shape
    total = total or n_frames
    code = {"uint8": 1, "uint16": 2, "uint32": 3, "int16": 5, "int32": 6, "float32": 7, "complex64": 9}[
        frames.dtype.name
    ]
    pointer = "Q" if wide else "I"
    dimension = struct.pack("<IddII", total, 0.0, 1.0, 0, 6) + b"Number" + struct.pack("<I", 0)
    fixed = 30 + (4 if wide else 0)
    table_at = fixed + len(dimension)
    start = table_at + 2 * total * struct.calcsize(pointer)
    element = 50 + height * width * frames.dtype.itemsize + 8
    head = struct.pack("<HHHIIII", 0x4949, 0x197, 0x220 if wide else 0x210, 0x4122, 0x4152, total, n_frames)
    head += struct.pack(f"<{pointer}I", table_at, 1) + dimension
    offsets = [start + number * element for number in range(n_frames)] + [0] * (total - n_frames)
    tags = [offset + element - 8 if offset else 0 for offset in offsets]
    body = struct.pack(f"<{2 * total}{pointer}", *offsets, *tags)
    for number, frame in enumerate(frames):
        body += struct.pack("<ddiddiHII", 0.0, 5e-11, 0, 0.0, 5e-11, 0, code, width, height)
        body += frame[::-1].tobytes() + struct.pack("<HHI", 0x4152, 0, 1_600_000_000 + 2 * number)
    (folder / name).write_bytes(head + body)
    return str(folder / name)


def write_mib(folder: Path, frames: Array, name: str = "m.mib") -> str:
    kind = {"uint8": "U08", "uint16": "U16", "uint32": "U32"}[frames.dtype.name]
    body = b""
    for number, frame in enumerate(frames):
        stamp = f"2024-03-01T10:00:{number * 0.25 + 1:012.9f}Z"
        fields = ["MQ1", f"{number + 1:06d}", "00384", "01", f"{frame.shape[1]:04d}", f"{frame.shape[0]:04d}", kind]
        text = ",".join([*fields, "   1x1", "01", stamp, "250000000ns", "0", "12"])
        body += text.encode().ljust(384, b" ")
        body += frame[::-1].astype(frame.dtype.newbyteorder(">")).tobytes()
    (folder / name).write_bytes(body)
    return str(folder / name)


def write_tvips(folder: Path, frames: Array, max_file_size: int | None = None) -> str:
    from rsciio.tvips import file_writer

    n_frames, height, width = frames.shape
    axes = [
        {"name": "time", "size": n_frames, "scale": 0.25, "offset": 0, "units": "s", "navigate": True},
        {"name": "y", "size": height, "scale": 1.0, "offset": 0, "units": "nm", "navigate": False},
        {"name": "x", "size": width, "scale": 1.0, "offset": 0, "units": "nm", "navigate": False},
    ]
    signal = {"data": frames, "axes": axes, "metadata": {}, "attributes": {"_lazy": False}}
    file_writer(str(folder / "m_000.tvips"), signal, max_file_size=max_file_size, show_progressbar=False)
    return str(folder / "m_000.tvips")


def signal_of(frames: Array, pixel_size_nm: float = 0.05, frame_time_s: float = 0.25) -> dict[str, Any]:
    """A signal as rosettasciio's writers take it."""
    steps = {"time": (frame_time_s, "s"), "y": (pixel_size_nm, "nm"), "x": (pixel_size_nm, "nm")}
    axes = [
        {
            "name": name,
            "size": frames.shape[number],
            "scale": scale,
            "offset": 0.0,
            "units": units,
            "navigate": number == 0,
            "index_in_array": number,
            "_type": "UniformDataAxis",
            "is_binned": False,
        }
        for number, (name, (scale, units)) in enumerate(steps.items())
    ]
    metadata = {"General": {"title": "movie"}, "Signal": {"signal_type": ""}}
    return {
        "data": frames,
        "axes": axes,
        "metadata": metadata,
        "original_metadata": {"camera": {"name": "test"}},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {"package": "test", "package_version": "0"},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
    }


def write_hspy(folder: Path, frames: Array) -> str:
    from rsciio.hspy import file_writer

    file_writer(str(folder / "m.hspy"), signal_of(frames))
    return str(folder / "m.hspy")


def write_zspy(folder: Path, frames: Array) -> str:
    """As rosettasciio lays it out; its own writer needs zarr 2."""
    experiment = zarr.open_group(folder / "m.zspy", mode="w", zarr_format=2).create_group("Experiments/movie")
    experiment.create_array("data", data=frames, chunks=(2, *frames.shape[1:]))
    for number, axis in enumerate(signal_of(frames)["axes"]):
        experiment.create_group(f"axis-{number}").attrs.update(axis)
    experiment.create_group("original_metadata").create_group("camera").attrs["name"] = "test"
    return str(folder / "m.zspy")


def write_prz(folder: Path, frames: Array) -> str:
    from rsciio.pantarhei import file_writer

    file_writer(str(folder / "m.prz"), signal_of(frames))
    return str(folder / "m.prz")


def write_emd_ncem(folder: Path, frames: Array) -> str:
    from rsciio.emd import file_writer

    file_writer(str(folder / "m.emd"), signal_of(frames))
    return str(folder / "m.emd")


def write_blockfile(folder: Path, frames: Array) -> str:
    from rsciio.blockfile import file_writer

    signal = signal_of(frames)
    for axis, units in zip(signal["axes"], ("nm", "cm", "cm"), strict=True):
        axis["units"] = units
    file_writer(str(folder / "m.blo"), signal, intensity_scaling=None, show_progressbar=False)
    return str(folder / "m.blo")


def write_ripple(folder: Path, frames: Array) -> str:
    """A format without a reader of ours: read through rosettasciio."""
    from rsciio.ripple import file_writer

    file_writer(str(folder / "m.rpl"), signal_of(frames))
    return str(folder / "m.rpl")


def write_zipped_mrc(folder: Path, frames: Array) -> str:
    """Likewise, and of a kind that rosettasciio cannot read lazily."""
    from rsciio.mrcz import file_writer

    file_writer(str(folder / "m.mrcz"), signal_of(frames), do_async=False)
    return str(folder / "m.mrcz")


def write_emd_velox(folder: Path, frames: Array) -> str:
    n_frames = frames.shape[0]
    with h5py.File(folder / "m.emd", "w") as file:
        file["Version"] = np.array([json.dumps({"format": "Velox", "version": "1.0"})], dtype="S")
        group = file.create_group("Data/Image/0123456789abcdef")
        group.create_dataset("Data", data=np.moveaxis(frames, 0, -1), chunks=(*frames.shape[1:], 1))
        metadata = {
            "BinaryResult": {
                "PixelSize": {"width": "5e-11", "height": "5e-11"},
                "PixelUnitX": "m",
                "DetectorIndex": "0",
            },
            "Scan": {"FrameTime": "0.25"},
        }
        text = json.dumps(metadata).encode().ljust(2000, b"\0")
        group["Metadata"] = np.repeat(np.frombuffer(text, np.uint8)[:, None], n_frames, axis=1)
    return str(folder / "m.emd")


def write_mat5(folder: Path, frames: Array) -> str:
    from scipy.io import savemat

    savemat(folder / "m.mat", {"movie": np.moveaxis(frames, 0, -1), "t": np.arange(3.0)})
    return str(folder / "m.mat")


def write_mat73(folder: Path, frames: Array) -> str:
    with h5py.File(folder / "m.mat", "w", userblock_size=512) as file:
        array = file.create_dataset("movie", data=frames.transpose(0, 2, 1))
        array.attrs["MATLAB_class"] = np.bytes_(frames.dtype.name)
    path = folder / "m.mat"
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return str(path)


class DmWriter:
    """Tags of Gatan's dm3 and dm4, enough for a stack with its calibration."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.pointer = ">q" if version == 4 else ">i"

    def number(self, value: int) -> bytes:
        return struct.pack(self.pointer, value)

    def group(self, tags: list[tuple[str, bytes, bool]]) -> bytes:
        return b"\x01\x00" + self.number(len(tags)) + b"".join(self.tag(*tag) for tag in tags)

    def tag(self, name: str, body: bytes, is_group: bool) -> bytes:
        head = struct.pack(">bH", 20 if is_group else 21, len(name)) + name.encode()
        return head + (self.number(len(body)) if self.version == 4 else b"") + body

    def value(self, kind: int, code: str, value: float) -> bytes:
        return b"%%%%" + self.number(1) + self.number(kind) + struct.pack("<" + code, value)

    def array(self, kind: int, data: bytes, count: int) -> bytes:
        return b"%%%%" + self.number(3) + self.number(20) + self.number(kind) + self.number(count) + data

    def text(self, text: str) -> bytes:
        return self.array(4, text.encode("utf-16-le"), len(text))

    def file(self, root: bytes) -> bytes:
        head = struct.pack(">i", self.version) + self.number(len(root)) + struct.pack(">i", 1)
        return head + root + b"\0" * 8


def write_dm(folder: Path, frames: Array, version: int = 4, name: str | None = None, kind: int | None = None) -> str:
    dm = DmWriter(version)
    codes = {
        "int16": (1, 2),
        "float32": (2, 6),
        "uint8": (6, 10),
        "int32": (7, 3),
        "uint16": (10, 4),
        "uint32": (11, 5),
    }
    data_type, element = codes[frames.dtype.name]
    steps = [(0.05, "nm"), (0.05, "nm"), (0.25, "s")][: frames.ndim]
    dimensions = [("", dm.value(5, "I", n), False) for n in frames.shape[::-1]]
    calibrations = [
        (
            "",
            dm.group(
                [
                    ("Origin", dm.value(6, "f", 0.0), False),
                    ("Scale", dm.value(6, "f", scale), False),
                    ("Units", dm.text(units), False),
                ]
            ),
            True,
        )
        for scale, units in steps
    ]
    brightness = [
        ("Origin", dm.value(6, "f", 0.0), False),
        ("Scale", dm.value(6, "f", 1.0), False),
        ("Units", dm.text("counts"), False),
    ]
    image_data = dm.group(
        [
            (
                "Calibrations",
                dm.group([("Brightness", dm.group(brightness), True), ("Dimension", dm.group(calibrations), True)]),
                True,
            ),
            ("Data", dm.array(element, frames.tobytes(), frames.size), False),
            ("DataType", dm.value(5, "I", data_type if kind is None else kind), False),
            ("Dimensions", dm.group(dimensions), True),
            ("PixelDepth", dm.value(5, "I", frames.dtype.itemsize), False),
        ]
    )
    image = dm.group(
        [
            ("ImageData", image_data, True),
            ("ImageTags", dm.group([("Camera", dm.text("test"), False)]), True),
            ("Name", dm.text("movie"), False),
        ]
    )
    root = dm.group([("ImageList", dm.group([("", image, True)]), True)])
    path = folder / (name or f"m.dm{version}")
    path.write_bytes(dm.file(root))
    return str(path)


def write_folder_dm4(folder: Path, frames: Array) -> str:
    for number, frame in enumerate(frames):
        write_dm(folder, frame, name=f"hour_{number + 5}.dm4")
    return str(folder)


def write_folder_ser(folder: Path, frames: Array) -> str:
    for number, frame in enumerate(frames):
        write_ser(folder, frame[None], name=f"scan_{number + 5}.ser")
    return str(folder)


FORMATS: dict[str, Format] = {
    "npy": Format(write_npy),
    "npy-float": Format(write_npy, dtype="float32"),
    "npy-fortran": Format(write_npy_fortran),
    "npy-big-endian": Format(write_npy_big_endian),
    "npz": Format(write_npz),
    "npz-compressed": Format(write_npz_compressed),
    "tiff": Format(write_tiff),
    "tiff-imagej": Format(write_tiff_imagej, pixel_size_nm=0.05, frame_time_s=0.25),
    "tiff-ome": Format(write_tiff_ome, pixel_size_nm=0.05, frame_time_s=0.25),
    "tiff-pages": Format(write_tiff_pages),
    "tiff-plain": Format(lambda folder, frames: write_tiff(folder, frames, metadata=None)),
    "tiff-zlib": Format(lambda folder, frames: write_tiff(folder, frames, compression="zlib", predictor=True)),
    "tiff-tiled": Format(lambda folder, frames: write_tiff(folder, frames, tile=(16, 16))),
    "tiff-strips": Format(lambda folder, frames: write_tiff(folder, frames, rowsperstrip=5, metadata=None)),
    "tiff-big": Format(lambda folder, frames: write_tiff(folder, frames, bigtiff=True)),
    "tiff-big-endian": Format(lambda folder, frames: write_tiff(folder, frames, byteorder=">")),
    "folder-png": Format(write_folder_png, frame_time_s=0.25),
    "folder-npy": Format(write_folder_npy),
    "folder-tiff-stacks": Format(write_folder_tiff_stacks),
    "folder-dm4": Format(write_folder_dm4, pixel_size_nm=0.05),
    "folder-ser": Format(write_folder_ser, pixel_size_nm=0.05),
    "zarr-v2": Format(lambda folder, frames: write_zarr(folder, frames, 2)),
    "zarr-v3": Format(lambda folder, frames: write_zarr(folder, frames, 3)),
    "zarr-xarray": Format(write_zarr_xarray, pixel_size_nm=0.05, frame_time_s=0.25),
    "ome-zarr-0.4": Format(
        lambda folder, frames: write_ome_zarr(folder, frames, "0.4"), pixel_size_nm=0.05, frame_time_s=0.25
    ),
    "ome-zarr-0.5": Format(
        lambda folder, frames: write_ome_zarr(folder, frames, "0.5"), pixel_size_nm=0.05, frame_time_s=0.25
    ),
    "hdf5": Format(write_hdf5, pixel_size_nm=0.05, frame_time_s=0.25),
    "hdf5-chunked": Format(
        lambda folder, frames: write_hdf5(folder, frames, chunks=(2, 5, 5), compression="gzip"),
        pixel_size_nm=0.05,
        frame_time_s=0.25,
    ),
    "netcdf": Format(write_netcdf, pixel_size_nm=0.05, frame_time_s=0.25),
    "mp4": Format(
        lambda folder, frames: write_video(folder, frames, "m.mp4", "libx264", "gray"), dtype="uint8", frame_time_s=0.25
    ),
    "avi": Format(
        lambda folder, frames: write_video(folder, frames, "m.avi", "ffv1", "gray"), dtype="uint8", frame_time_s=0.25
    ),
    "avi-rgb": Format(
        lambda folder, frames: write_video(folder, frames, "m.avi", "ffv1", "bgr0"), dtype="uint8", frame_time_s=0.25
    ),
    "mrc": Format(write_mrc, pixel_size_nm=0.05),
    "mrc-float": Format(write_mrc, dtype="float32", pixel_size_nm=0.05),
    "mrc-big-endian": Format(lambda folder, frames: write_mrc(folder, frames, ">"), dtype="int16", pixel_size_nm=0.05),
    "mrc-extended": Format(lambda folder, frames: write_mrc(folder, frames, extended=b"\0" * 600), pixel_size_nm=0.05),
    "mrc-by-mrcz": Format(write_mrcz, pixel_size_nm=0.05),
    "ser": Format(write_ser, pixel_size_nm=0.05, frame_time_s=2.0),
    "ser-narrow": Format(
        lambda folder, frames: write_ser(folder, frames, wide=False), pixel_size_nm=0.05, frame_time_s=2.0
    ),
    "mib": Format(write_mib, frame_time_s=0.25),
    "mib-8": Format(write_mib, dtype="uint8", frame_time_s=0.25),
    "tvips": Format(write_tvips, frame_time_s=0.25),
    "tvips-split": Format(lambda folder, frames: write_tvips(folder, frames, max_file_size=1000), frame_time_s=0.25),
    "dm3": Format(lambda folder, frames: write_dm(folder, frames, 3), pixel_size_nm=0.05, frame_time_s=0.25),
    "dm4": Format(write_dm, pixel_size_nm=0.05, frame_time_s=0.25),
    "hspy": Format(write_hspy, pixel_size_nm=0.05, frame_time_s=0.25),
    "zspy": Format(write_zspy, pixel_size_nm=0.05, frame_time_s=0.25),
    "emd-ncem": Format(write_emd_ncem, pixel_size_nm=0.05, frame_time_s=0.25),
    "emd-velox": Format(write_emd_velox, pixel_size_nm=0.05, frame_time_s=0.25),
    "blo": Format(write_blockfile, dtype="uint8", shape=(7, 12, 12)),
    "rpl": Format(write_ripple, pixel_size_nm=0.05, frame_time_s=0.25),
    "mrcz": Format(write_zipped_mrc, pixel_size_nm=0.05),
    "mat-5": Format(write_mat5),
    "mat-7.3": Format(write_mat73),
}


@pytest.fixture(scope="session")
def writers() -> Any:
    """This module: `write_*`, `make_frames` and `FORMATS`, for tests that write what they need."""
    return sys.modules[__name__]


@pytest.fixture
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Array, Format]:
    """A movie in the format that the test asks for: its path, its frames, and what is known of the format."""
    form = FORMATS[request.param]
    frames = make_frames(form.dtype, form.shape)
    return form.write(tmp_path, frames), frames, form


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "written" in metafunc.fixturenames:
        metafunc.parametrize("written", list(FORMATS), indirect=True)
