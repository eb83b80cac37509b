"""One small module a format family; loaded only when a file of its kind is opened.

A reader is a module with one function::

    def open_raw(path: str, dataset: str | None) -> RawMovie

that parses the header, reads no pixel, and returns frames which know how to read themselves
(`emreel.io.frames.FrameBlocks`). To add a format, add the module and a line in `BY_SUFFIX`; give
``dataset`` a meaning and add the module's name to `WITH_DATASETS` if one file can hold several movies.
Errors are left to fall through: `open_movie` dresses whatever a library raises as a `ReaderError`
that names the file.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from emreel.io.addresses import check_address, is_address
from emreel.io.errors import ReaderError
from emreel.io.frames import RawMovie

#: Suffix, lower case -> module. What is not here is offered to rosettasciio.
BY_SUFFIX: dict[str, str] = {
    ".npy": "npy",
    ".npz": "npz",
    ".zarr": "zarrs",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".btf": "tiff",
    ".tf8": "tiff",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".bmp": "picture",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".he5": "hdf5",
    ".nxs": "hdf5",
    ".nc": "hdf5",
    ".mat": "matlab",
    ".mp4": "video",
    ".avi": "video",
    ".mov": "video",
    ".mkv": "video",
    ".m4v": "video",
    ".webm": "video",
    ".mrc": "mrc",
    ".mrcs": "mrc",
    ".st": "mrc",
    ".ali": "mrc",
    ".ser": "tia",
    ".emi": "tia",
    ".mib": "merlin",
    ".tvips": "tvips",
    ".blo": "blockfile",
    ".dm3": "gatan",
    ".dm4": "gatan",
    ".emd": "emd",
    ".hspy": "hspy",
    ".zspy": "zspy",
}
WITH_DATASETS = frozenset({"npz", "zarrs", "hdf5", "matlab", "emd", "hspy", "zspy", "gatan", "tia", "rosetta"})
#: Suffixes whose files make up a folder of frames.
FRAME_SUFFIXES = frozenset(
    {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".dm3", ".dm4", ".ser", ".mrc", ".mib"}
)


class Reader(Protocol):
    """What a module of this folder offers."""

    def open_raw(self, path: str, dataset: str | None) -> RawMovie: ...


def reader_name(path: str) -> str:
    """The module that reads this path, by its suffix and, for folders, by what lies in them.

    Raises
    ------
    ReaderError : an address that must not be opened, see `emreel.io.addresses`.
    """
    place = Path(path)
    if is_address(path):
        check_address(path)
        return "zarrs"
    if place.is_dir():
        if place.suffix.lower() == ".zspy":
            return "zspy"
        is_zarr = any((place / name).exists() for name in (".zgroup", ".zarray", "zarr.json"))
        return "zarrs" if is_zarr or place.suffix.lower() == ".zarr" else "folder"
    return BY_SUFFIX.get(place.suffix.lower(), "rosetta")


def load_reader(name: str) -> Reader:
    """Import a reader's module by its name in `BY_SUFFIX`."""
    return cast(Reader, importlib.import_module(f"emreel.io.readers.{name}"))


def open_raw(path: str, dataset: str | None = None) -> RawMovie:
    """Parse the header of any movie file or folder.

    Raises
    ------
    ReaderError : missing, empty, damaged, or no movie; whatever a format library raised is its cause.
    """
    if not is_address(path):
        place = Path(path)
        if not place.exists():
            raise ReaderError(f"{path} does not exist. Check the path; a name must be in a catalog (emreel catalog).")
        if place.is_file() and place.stat().st_size == 0:
            raise ReaderError(f"{path} is empty (0 bytes). Copy it again.")
    name = reader_name(path)
    if dataset is not None and name not in WITH_DATASETS:
        raise ReaderError(f"{path} holds one movie, but dataset={dataset!r} was given. Leave the dataset out.")
    try:
        return load_reader(name).open_raw(path, dataset)
    except ReaderError:
        raise
    except ModuleNotFoundError as error:
        raise ReaderError(f"{path} needs the package {error.name!r}. Install it: pip install {error.name}.") from error
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ReaderError(
            f"{path} cannot be read as a movie: {reason}. It is damaged, or of another format."
        ) from error
