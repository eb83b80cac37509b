"""Pixel size and frame times of a TIFF: ImageJ, OME, FEI, Zeiss, Olympus, and tifffile's own header."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError
from emreel.io.units import even_times, second_factor, to_nm, to_seconds


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What a TIFF's headers tell; `n_frames` is what they promise, None when they do not say."""

    n_frames: int | None = None
    times_s: npt.NDArray[np.float64] | None = None
    pixel_size_nm: float | None = None
    original_metadata: Mapping[str, Any] = field(default_factory=dict)


def read_calibration(page: Any, path: str) -> Calibration:
    """Read the headers of the first page (a `tifffile.TiffPage`); nothing else of the file is touched."""
    description = page.description or ""
    if description.startswith("ImageJ="):
        return _from_imagej(page, description, path)
    if "<OME" in description[:2000] or description.rstrip().endswith("OME>"):
        return _from_ome(description, path)
    if description.startswith("{"):
        return _from_json(description)
    metadata = {"ImageDescription": description} if description else {}
    vendors = {name: getattr(page.parent, f"{name}_metadata") for name in ("fei", "sem", "sis")}
    found = {name: value for name, value in vendors.items() if isinstance(value, Mapping)}
    sizes = [to_nm(value, unit) for value, unit in _vendor_sizes(found)]
    return Calibration(
        pixel_size_nm=next((size for size in sizes if size is not None), None),
        original_metadata={**metadata, **found},
    )


def _vendor_sizes(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    """Pixel sizes as FEI (Scan, PixelWidth, m), Zeiss (ap_image_pixel_size) and Olympus (pixelsizex, m) write them."""
    fei, zeiss, olympus = (found.get(name, {}) for name in ("fei", "sem", "sis"))
    sizes = [((fei.get(scan) or {}).get("PixelWidth"), "m") for scan in ("Scan", "EScan")]
    image_pixel: tuple[Any, ...] = tuple(zeiss.get("ap_image_pixel_size") or ())
    if len(image_pixel) >= 3:
        sizes.append((image_pixel[1], image_pixel[2]))
    return [*sizes, (olympus.get("pixelsizex"), "m")]


def _from_imagej(page: Any, description: str, path: str) -> Calibration:
    lines = [line.split("=", 1) for line in description.splitlines() if "=" in line]
    header = {key.strip(): value.strip() for key, value in lines}
    n_frames = _whole(header.get("images"))
    if (_whole(header.get("channels")) or 1) > 1 and (
        (_whole(header.get("frames")) or 1) > 1 or (_whole(header.get("slices")) or 1) > 1
    ):
        raise ReaderError(
            f"{path} is an ImageJ hyperstack of several channels; wanted one. Split it: Image > Color > Split Channels."
        )
    interval = to_seconds(header.get("finterval"), header.get("tunit", "s"))
    if interval is None and (rate := _number(header.get("fps"))):
        interval = 1.0 / rate
    resolution = page.tags.get(282)
    size = None
    if resolution is not None and header.get("unit"):
        above, below = resolution.value
        size = to_nm(below / above, header["unit"]) if above else None
    times = None if interval is None else even_times(n_frames or 1, interval)
    return Calibration(n_frames=n_frames, times_s=times, pixel_size_nm=size, original_metadata={"imagej": header})


def _from_json(description: str) -> Calibration:
    try:
        header = json.loads(description)
    except ValueError:
        return Calibration(original_metadata={"ImageDescription": description})
    shape = header.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
        return Calibration(original_metadata={"tifffile": header})
    samples = shape[-1] if str(header.get("axes", "")).endswith("S") else 1
    n_frames = math.prod(shape[:-3] if samples > 1 else shape[:-2])
    interval, size = _number(header.get("frame_time_s")), _number(header.get("pixel_size_nm"))
    return Calibration(
        n_frames=n_frames if "axes" in header or len(shape) == 3 else None,
        times_s=even_times(n_frames, interval) if interval else None,
        pixel_size_nm=size or None,
        original_metadata={"tifffile": header},
    )


def _from_ome(description: str, path: str) -> Calibration:
    root = ET.fromstring(description)  # noqa: S314 - expat refuses entity bombs
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels") or node.tag == "Pixels"), None)
    if pixels is None:
        return Calibration(original_metadata={"ome_xml": description})
    have = pixels.attrib
    sizes = {axis: _whole(have.get(f"Size{axis}")) or 1 for axis in "TZC"}
    samples = [_whole(node.attrib.get("SamplesPerPixel")) or 1 for node in pixels if node.tag.endswith("Channel")]
    channels = sizes["C"] // max(samples, default=1)  # red, green and blue are one channel of three samples
    if channels > 1 or (sizes["T"] > 1 and sizes["Z"] > 1):
        raise ReaderError(f"{path} is an OME-TIFF of {sizes}; wanted one channel and one plane. Save them alone.")
    n_frames = max(sizes["T"], sizes["Z"])
    return Calibration(
        n_frames=n_frames,
        times_s=_ome_times(pixels, n_frames) if sizes["Z"] == 1 else None,
        pixel_size_nm=to_nm(have.get("PhysicalSizeX"), have.get("PhysicalSizeXUnit", "µm")),
        original_metadata={"ome": dict(have), "ome_xml": description},
    )


def _ome_times(pixels: ET.Element, n_frames: int) -> npt.NDArray[np.float64] | None:
    """Every plane's own time where all have one, else the even increment."""
    times = np.full(n_frames, np.nan)
    for node in pixels:
        index, factor = _whole(node.attrib.get("TheT")), second_factor(node.attrib.get("DeltaTUnit", "s"))
        delta = _number(node.attrib.get("DeltaT"))
        if node.tag.endswith("Plane") and index is not None and index < n_frames and factor and delta is not None:
            times[index] = delta * factor
    if np.all(np.isfinite(times)) and np.all(np.diff(times) > 0):
        return times
    increment = to_seconds(pixels.attrib.get("TimeIncrement"), pixels.attrib.get("TimeIncrementUnit", "s"))
    return None if increment is None else even_times(n_frames, increment)


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole(text: object) -> int | None:
    value = _number(text)
    return int(value) if value is not None and value >= 0 else None
