"""The zarr of a result: created whole, written one shard at a time.

The zarr is pure OME-Zarr 0.5 on zarr v3. What is not zarr (ledger, lock, tables, model) lies beside it in the
result's folder. A shard is encoded in memory and put on the disk in one step, so nothing that lay there before,
damaged or not, is read or mixed in, and the same data always give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import MemoryStore

from emreel.result import ome
from emreel.result.errors import LayoutError, ResultError, explain_os_error
from emreel.result.files import PARTIAL, create_file, partial_path, sync_folder, write_file
from emreel.result.layout import Block, Layout
from emreel.result.lines import plain_json

STORE = "movie.zarr"
LEDGER = "ledger.jsonl"
LOCK = "lock"
MODEL = "model.zarr"
#: A folder that holds what shall replace zarr and ledger; it is there for a moment only, see `finish_replacement`.
REPLACEMENT = "replacement"
#: Version of the layout on disk; a result of another version is refused.
VERSION = 1

NOT_COMPUTED, INVALID, UNKNOWN = 0, 254, 255

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]


def create_store(
    path: str | os.PathLike[str],
    layout: Layout,
    *,
    identity: Mapping[str, Any],
    label_names: Sequence[str],
    label_colors: Sequence[Sequence[int]],
    times_s: npt.ArrayLike | None = None,
    pixel_size_nm: float | None = None,
    origin_yx_px: tuple[float, float] = (0.0, 0.0),
    provenance: Mapping[str, Any] | None = None,
    stream: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> None:
    """Create RESULT/movie.zarr with every array at its full size and nothing computed.

    All or nothing: it is built beside its place and renamed, so a killed creation leaves nothing half.

    Parameters
    ----------
    identity : what the labels depend on (digests of model and movie, recipe): plain JSON. A run may
        only go on under the same identity, see `emreel.result.open_ledger`.
    label_names, label_colors : one a class, in label order; colours are RGB or RGBA, 0 to 255.
    times_s : shape (time,), s; ``None``: frames are counted.
    pixel_size_nm : nm; ``None``: pixels are counted.
    origin_yx_px : the first pixel's position in the frame as recorded, px.
    provenance : plain JSON, shown by ``emreel info``.
    name : of the OME image; the folder's own when left out.
    stream : how a movie was watched, plain JSON; None for a movie that was there as a whole.

    Raises
    ------
    ResultError : the folder holds a result already, or things that are not ours.
    LayoutError : names, colours or times do not fit the layout.
    StorageError : the disk refuses.
    """
    folder = prepare_folder(path)
    target = folder / STORE
    if target.exists():
        raise ResultError(f"{folder} already holds a result. Go on with it, or choose another folder.")
    scene = ome.Scene(
        layout=layout,
        name=folder.name if name is None else name,
        label_names=tuple(label_names),
        label_colors=tuple(tuple(int(part) for part in color) for color in label_colors),
        times_s=None if times_s is None else np.asarray(times_s, np.float64),
        pixel_size_nm=pixel_size_nm,
        origin_yx_px=origin_yx_px,
    )
    facts = {
        "version": VERSION,
        "layout": layout.to_dict(),
        "identity": identity,
        "label_names": scene.label_names,
        "pixel_size_nm": pixel_size_nm,
        "provenance": provenance or {},
    } | ({} if stream is None else {"stream": stream})
    _place_store(target, ome.build(scene, plain_json(facts)))


def write_block(
    path: str | os.PathLike[str],
    layout: Layout,
    block: Block,
    *,
    label: Bytes,
    preview: Bytes,
    membership: Bytes | None = None,
    region: npt.NDArray[np.uint32] | None = None,
    angle: npt.NDArray[np.float32] | None = None,
) -> dict[str, int]:
    """Write one block: one whole shard of each array, each in one step. Meant to run inside a task.

    Parameters
    ----------
    label : shape (t, y, x), uint8. ``preview`` : shape (t, y / factor, x / factor), uint8.
    membership : shape (t, class, y_grid, x_grid), uint8, 0..255 = 0..1; given exactly when the layout has it.
    region : shape (t, y, x), uint32. angle : shape (t, y_grid, x_grid), float32, degrees. As for the membership.

    Returns
    -------
    crc32c of each array's bytes in C order, by array name, for the ledger.

    Raises
    ------
    LayoutError : the block is not the layout's, or data of another shape or dtype.
    StorageError : the disk is full or refuses.
    """
    if layout.block(block.index) != block:
        raise LayoutError(f"got {block}, wanted {layout.block(block.index)}: the block is of another layout.")
    given = {"label": label, "preview": preview, "membership": membership, "region": region, "angle": angle}
    data = parse_data(given, layout, block)
    store = Path(path) / STORE
    for name, values in data.items():
        key = layout.shard_key(name, block)
        write_file(store / key, _encode_shard(store, layout, name, block, values))
    return {name: checksum(values) for name, values in data.items()}


def checksum(values: npt.NDArray[Any]) -> int:
    """crc32c of an array's bytes in C order."""
    return int(google_crc32c.value(np.ascontiguousarray(values).tobytes()))


def shard_paths(path: str | os.PathLike[str], layout: Layout, block: Block) -> dict[str, Path]:
    """The files that hold a block, by array name."""
    return {name: Path(path) / STORE / layout.shard_key(name, block) for name in layout.arrays()}


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a result says of itself (attrs.emreel): version, layout, identity, names, pixel size, provenance.

    Raises
    ------
    ResultError : there is no result, or one of another version.
    """
    store = Path(path) / STORE
    if not Path(path).is_dir():
        what = "it is a file" if Path(path).exists() else "it does not exist"
        raise ResultError(f"{os.fspath(path)} is not a result: {what}. Give the folder that 'emreel run' wrote.")
    try:
        facts = zarr.open_group(store, mode="r").attrs.get("emreel")
    except Exception as error:
        if (Path(path) / REPLACEMENT).is_dir():
            raise ResultError(
                f"{os.fspath(path)} was being compacted when that was stopped. "
                f"Finish it: emreel compact {os.fspath(path)}"
            ) from error
        raise ResultError(
            f"{os.fspath(path)} is not a result: {STORE} is missing or damaged ({error}). "
            "Give the folder that 'emreel run' wrote."
        ) from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        found = facts.get("version") if isinstance(facts, dict) else None
        raise ResultError(
            f"{os.fspath(path)} has result version {found}, wanted {VERSION}. Use the emreel that wrote it."
        )
    return facts


def read_layout(path: str | os.PathLike[str]) -> Layout:
    """The layout of the result at ``path``; a resumed run must use it. Raises ResultError, LayoutError."""
    return Layout.from_dict(read_facts(path)["layout"])


def is_result(path: str | os.PathLike[str]) -> bool:
    """Whether the folder holds a result's zarr, or one that is being replaced."""
    return (Path(path) / STORE / "zarr.json").is_file() or (Path(path) / REPLACEMENT).is_dir()


def prepare_folder(path: str | os.PathLike[str]) -> Path:
    """The result's folder, made if it is missing.

    Raises
    ------
    ResultError : a file is in the way, or the folder holds things that no emreel run put there.
    StorageError : the place cannot be written.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ResultError(f"{folder} is a file, wanted a folder for the result. Choose another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [] if is_result(folder) else sorted(e.name for e in os.scandir(folder) if not _is_ours(e.name))
    except OSError as error:
        raise explain_os_error(error, folder) from error
    if strangers:
        shown = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise ResultError(
            f"{folder} is not a result: it holds {shown}. Nothing was touched. Choose a new folder for the result."
        )
    return folder


def finish_replacement(path: str | os.PathLike[str]) -> None:
    """Put zarr and ledger of RESULT/replacement/NAME in their places; only for who holds the lock.

    The folder appears whole, by one rename, and is gone when all is done; whatever step a killed process stopped at,
    doing all steps again ends in the same. Nothing happens where there is no such folder. Raises StorageError.
    """
    folder = Path(path)
    staged = folder / REPLACEMENT / "new"
    if not (folder / REPLACEMENT).is_dir():
        return
    try:
        if (staged / STORE).is_dir():
            if (folder / STORE).is_dir():
                os.rename(folder / STORE, partial_path(folder / STORE))
            os.rename(staged / STORE, folder / STORE)
        if (staged / LEDGER).is_file():
            os.replace(staged / LEDGER, folder / LEDGER)
        sync_folder(folder)
        os.rename(folder / REPLACEMENT, partial_path(folder / REPLACEMENT))
    except OSError as error:
        raise explain_os_error(error, folder) from error


def remove_partials(path: str | os.PathLike[str]) -> int:
    """Finish or remove what killed writers left unfinished; only for who holds the lock. Returns how many removed."""
    finish_replacement(path)
    removed = 0
    for place, folders, files in os.walk(path):
        for name in [name for name in folders if name.endswith(PARTIAL)]:
            folders.remove(name)
            shutil.rmtree(Path(place) / name, ignore_errors=True)
            removed += 1
        for name in files:
            if name.endswith(PARTIAL):
                with contextlib.suppress(OSError):
                    (Path(place) / name).unlink(missing_ok=True)
                removed += 1
    return removed


def _is_ours(name: str) -> bool:
    return name in (STORE, LEDGER, LOCK, MODEL, REPLACEMENT) or (name.startswith(".") and name.endswith(PARTIAL))


def _place_store(target: Path, content: Mapping[str, bytes]) -> None:
    partial = partial_path(target)
    try:
        for key, data in content.items():
            (partial / key).parent.mkdir(parents=True, exist_ok=True)
            create_file(partial / key, data)
        os.rename(partial, target)
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise explain_os_error(error, target) from error


def parse_data(given: Mapping[str, Values | None], layout: Layout, block: Block) -> dict[str, Values]:
    """What is given of a block, by name, without what is None: all that the layout has, and nothing else.

    Raises
    ------
    LayoutError : other arrays, or data of another shape or dtype.
    """
    data = {name: values for name, values in given.items() if values is not None}
    if set(data) != set(layout.arrays()):
        raise LayoutError(f"got the arrays {sorted(data)}, wanted {sorted(layout.arrays())}.")
    for name, values in data.items():
        check_data(name, values, layout, block)
    return data


def check_data(name: str, values: Values, layout: Layout, block: Block) -> None:
    """Refuse what is not the values of this array at this block. Raises LayoutError."""
    dtype = np.dtype(layout.arrays()[name].dtype)
    wanted = tuple(part.stop - part.start for part in layout.region(name, block))
    if not isinstance(values, np.ndarray) or values.dtype != dtype or values.shape != wanted:
        got = f"{getattr(values, 'dtype', type(values).__name__)} {getattr(values, 'shape', '')}"
        raise LayoutError(f"block {block.index}: got {name} as {got}, wanted {dtype} {wanted}.")


def _encode_shard(store: Path, layout: Layout, name: str, block: Block, values: Values) -> bytes:
    """The bytes of one whole shard, encoded as the array wants it but away from the disk."""
    spec, key = layout.arrays()[name], layout.shard_key(name, block)
    try:
        array = zarr.open_array(store / spec.path, mode="r")
    except OSError as error:
        raise ResultError(f"{store / spec.path} is not there ({error}). Was the result moved?") from error
    if (array.shape, array.chunks, array.shards) != (spec.shape, spec.chunks, spec.zarr_shards):
        raise LayoutError(
            f"{store / spec.path} is cut into {array.shards}, wanted {spec.zarr_shards}. Use the layout of the result."
        )
    files: dict[str, Any] = {}
    twin = zarr.create_array(
        MemoryStore(files),
        shape=spec.shape,
        chunks=spec.chunks,
        shards=spec.zarr_shards,
        dtype=array.dtype,
        compressors=array.compressors,
        fill_value=array.fill_value,
        config={"write_empty_chunks": True},  # zarr 3.1.6 ignores this where an array is opened
    )
    twin[layout.region(name, block)] = values
    written = sorted(set(files) - {"zarr.json"})
    if [f"{spec.path}/{file}" for file in written] != [key]:
        raise LayoutError(f"block {block.index} touches the shards {written} of {name}, wanted {key} alone.")
    return bytes(files[written[0]].to_bytes())
