"""The catalog: movies by name, in a YAML file of the shape of an intake v1 catalog.

::

    sources:
      run7:
        driver: synthetic | local and remote files: movie, numpy, ndzarr, zarr, hdf5, xarray_image
        description: one line
        args: {kind: front, n_frames: 40}               # synthetic: what emreel.synthetic.make_scene takes
        args: {urlpath: "{{ CATALOG_DIR }}/run7.mrc"}   # a file beside the catalog, or an http(s) address
        metadata: {licence: ..., doi: ..., pixel_size_nm: ..., frame_time_s: ..., sha256: ..., shows: ...}

Files are relative to the catalog's folder and may not leave it. Remote files need a sha256; they are downloaded
once into a cache (``EMREEL_CACHE``, else the user's cache folder). The calibration counts where the file has none.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from emreel.io.errors import CatalogError
from emreel.io.safe_yaml import read_yaml

CATALOG_FILE = "data_catalog.yaml"
#: Drivers that name a file; the reader is chosen by suffix, whatever the driver is called.
FILE_DRIVERS = frozenset({"movie", "numpy", "ndzarr", "zarr", "hdf5", "xarray_image"})
_DRIVERS = FILE_DRIVERS | {"synthetic"}
_TOP_KEYS = ("sources", "metadata", "name", "description")
_ENTRY_KEYS = ("driver", "description", "args", "metadata")
_METADATA_KEYS = ("licence", "doi", "pixel_size_nm", "frame_time_s", "sha256", "shows")
_FILE_ARGS = ("urlpath", "path", "dataset")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_HERE = re.compile(r"\{\{\s*CATALOG_DIR\s*\}\}/?")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One movie of a catalog.

    ``pixel_size_nm`` nm a px and ``frame_time_s`` s a frame, None where unknown; ``shows``: what there is to see.
    """

    name: str
    driver: str
    description: str = ""
    licence: str = ""
    doi: str = ""
    shows: str = ""
    pixel_size_nm: float | None = None
    frame_time_s: float | None = None
    sha256: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def dataset(self) -> str | None:
        """Name of the array in the file, for files that hold several."""
        return None if self.driver == "synthetic" else self.args.get("dataset")

    @property
    def address(self) -> str | None:
        """What the catalog says where the file is; None for a synthetic movie."""
        return None if self.driver == "synthetic" else str(self.args.get("urlpath") or self.args.get("path"))

    def open(self) -> Any:
        """The movie, lazily; for regions, ranges and calibrations say ``open_movie(name, ...)``.

        Raises
        ------
        CatalogError : the file is missing, outside the catalog's folder, or not the one that was catalogued.
        """
        from emreel.io.opening import open_entry

        return open_entry(self)

    def resolve(self) -> Any:
        """A frame source, or the path of a file that is on this machine; downloads a remote one once."""
        if self.driver == "synthetic":
            parameters = {str(key): value for key, value in self.args.items() if key != "kind"}
            return _make_scene(str(self.args["kind"]), parameters)
        address = str(self.address)
        return str(_download(self, address) if "://" in address else _local_file(self.folder, address, self.name))


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Movies by name, in the order of the file."""

    path: Path
    entries: tuple[Entry, ...]

    def __getitem__(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise CatalogError(f"{self.path} has no movie {name!r}.{self.suggest(name)}")

    def suggest(self, name: str) -> str:
        """A hint for a name that is not there."""
        names = [entry.name for entry in self.entries]
        near = difflib.get_close_matches(name, names, n=1)
        return f" Did you mean {near[0]!r}?" if near else f" It has: {', '.join(names) or 'nothing'}."


def load_catalog(path: str | os.PathLike[str] | None = None) -> Catalog:
    """Read and check a catalog; without a path, the one that comes with emreel. Nothing is opened or downloaded.

    Raises
    ------
    CatalogError : not readable, not safe, or not of this shape; names the file and the entry.
    """
    if path is None:
        return _own_catalog()
    place = Path(path)
    document = read_yaml(place)
    where = str(place)
    _require_keys(document, _TOP_KEYS, where)
    sources = document.get("sources")
    if not isinstance(sources, Mapping):
        raise CatalogError(f"{where} has no 'sources'. Wanted: sources: {{name: {{driver: ..., args: ...}}}}.")
    folder = place.absolute().parent
    return Catalog(
        path=place, entries=tuple(_parse_entry(str(name), body, folder, where) for name, body in sources.items())
    )


def find_entry(address: str) -> Entry | None:
    """The entry that ``"catalog.yaml#name"``, or a name of the own catalog, stands for; None when it is a path.

    Raises
    ------
    CatalogError : it cannot be a path, and there is no such name.
    """
    file, mark, name = address.rpartition("#")
    if mark and file.lower().endswith((".yaml", ".yml")):
        return load_catalog(file)[name]
    if not _NAME.fullmatch(address):
        return None
    catalog = load_catalog()
    if any(entry.name == address for entry in catalog.entries):
        return catalog[address]
    if Path(address).suffix:
        return None
    raise CatalogError(
        f"there is no file {address!r}, and no movie of this name in the catalog.{catalog.suggest(address)}"
    )


@functools.cache
def _own_catalog() -> Catalog:
    packaged = Path(str(resources.files("emreel"))) / CATALOG_FILE
    checkout = Path(__file__).resolve().parents[3] / CATALOG_FILE
    return load_catalog(packaged if packaged.exists() else checkout)


def _parse_entry(name: str, body: Any, folder: Path, where: str) -> Entry:
    where = f"{where}, entry {name!r}"
    if not _NAME.fullmatch(name):
        raise CatalogError(f"{where}: names are made of letters, digits, '_', '-' and '.'; at most 100.")
    _require_keys(body, _ENTRY_KEYS, where)
    driver = body.get("driver")
    if driver not in _DRIVERS:
        raise CatalogError(f"{where}: unknown driver {driver!r}. Known are {', '.join(sorted(_DRIVERS))}.")
    args, metadata = body.get("args") or {}, body.get("metadata") or {}
    _require_keys(metadata, _METADATA_KEYS, f"{where}, metadata")
    if not isinstance(args, Mapping):
        raise CatalogError(f"{where}, args: got {type(args).__name__}, wanted names and values.")
    entry = Entry(
        name=name,
        driver=driver,
        description=_text(body.get("description"), f"{where}, description"),
        licence=_text(metadata.get("licence"), f"{where}, licence"),
        doi=_text(metadata.get("doi"), f"{where}, doi"),
        shows=_text(metadata.get("shows"), f"{where}, shows"),
        pixel_size_nm=_positive(metadata.get("pixel_size_nm"), f"{where}, pixel_size_nm"),
        frame_time_s=_positive(metadata.get("frame_time_s"), f"{where}, frame_time_s"),
        sha256=_digest(metadata.get("sha256"), where),
        args=args,
        folder=folder,
    )
    _check_args(entry, where)
    return entry


def _check_args(entry: Entry, where: str) -> None:
    if entry.driver == "synthetic":
        if not isinstance(entry.args.get("kind"), str):
            raise CatalogError(f"{where}, args: a synthetic movie needs its kind, such as kind: front.")
        return
    _require_keys(entry.args, _FILE_ARGS, f"{where}, args")
    addresses = [entry.args[key] for key in ("urlpath", "path") if key in entry.args]
    if len(addresses) != 1 or not isinstance(addresses[0], str) or not addresses[0]:
        raise CatalogError(f"{where}, args: wanted one file, as urlpath: ... (numpy: path: ...).")
    if not isinstance(entry.dataset, str | None):
        raise CatalogError(f"{where}, args: dataset is the name of an array; put it in quotes.")
    if "://" in addresses[0]:
        if urlparse(addresses[0]).scheme not in ("http", "https"):
            raise CatalogError(f"{where}: got {addresses[0]!r}; wanted http(s), or a file beside the catalog.")
        if entry.sha256 is None:
            raise CatalogError(f"{where}: a remote file needs metadata: sha256: ..., or nobody knows what arrives.")
    else:
        _relative_path(addresses[0], where)


def _require_keys(body: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(body, Mapping):
        raise CatalogError(f"{where}: got {type(body).__name__}, wanted keys: {', '.join(known)}.")
    for key in body:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(known)}."
            raise CatalogError(f"{where}: unknown key {key!r}. {hint}")


def _text(value: Any, where: str) -> str:
    if isinstance(value, str | int | float | None) and not isinstance(value, bool):
        return "" if value is None else " ".join(str(value).split())
    raise CatalogError(f"{where}: got {type(value).__name__}, wanted text.")


def _positive(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise CatalogError(f"{where}: got {value!r}, wanted a positive number.")
    return float(value)


def _digest(value: Any, where: str) -> str | None:
    if value is None:
        return None
    text = str(value).lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise CatalogError(f"{where}: got sha256 {value!r}, wanted 64 hexadecimal digits.")
    return text


def _relative_path(address: str, where: str) -> Path:
    """The path below the catalog's folder, with no way up or out in its text."""
    text = _HERE.sub("", address, count=1) if _HERE.match(address) else address
    outside = text.startswith(("/", "~")) or "\\" in text or "\0" in text or re.match(r"[A-Za-z]:", text)
    if outside or not text or ".." in Path(text).parts or "{{" in text:
        raise CatalogError(f"{where}: {address!r} leaves the catalog's folder. Keep files in it, by relative paths.")
    return Path(text)


def _local_file(folder: Path, address: str, name: str) -> Path:
    where = f"{folder}, entry {name!r}"
    path = folder / _relative_path(address, where)
    if not path.exists():
        raise CatalogError(f"{where}: {path} does not exist. Fetch the file, or take the entry out.")
    home = folder.resolve()
    links = [path]
    if path.is_dir():
        inside = (Path(root) / item for root, folders, files in os.walk(path) for item in (*folders, *files))
        links += [item for item in inside if item.is_symlink()]
    for link in links:
        if not link.resolve().is_relative_to(home):
            raise CatalogError(f"{where}: {link} leads out of the catalog's folder. Copy the file instead of linking.")
    return path


def _download(entry: Entry, address: str) -> Path:
    """Fetch a remote file once; what does not have the promised digest is thrown away."""
    import pooch

    given = os.environ.get("EMREEL_CACHE")
    cache = Path(given) if given else Path(str(pooch.os_cache("emreel")))
    remote = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(unquote(urlparse(address).path)).name).lstrip(".")[-80:]
    log = pooch.get_logger()
    level = log.level
    try:
        log.setLevel("WARNING")
        return Path(
            pooch.retrieve(
                address, known_hash=f"sha256:{entry.sha256}", fname=f"{str(entry.sha256)[:16]}-{remote}", path=cache
            )
        )
    except ValueError as error:
        raise CatalogError(
            f"{entry.name}: what {address} sent is not the file that was catalogued (sha256 differs); "
            "it was thrown away. Tell whoever keeps the catalog."
        ) from error
    except OSError as error:
        reason = str(error).split("\n")[0]
        raise CatalogError(f"{entry.name}: {address} cannot be downloaded: {reason}. Try again later.") from error
    finally:
        log.setLevel(level)


def _make_scene(kind: str, parameters: dict[str, Any]) -> Any:
    from emreel.synthetic import make_scene

    return make_scene(kind, **parameters)
