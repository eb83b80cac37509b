"""Is what lies on the disk what was computed? Every finished block is read back and compared with the ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from emreel.result.errors import explain_os_error
from emreel.result.layout import Layout
from emreel.result.ledger import Record, read_ledger
from emreel.result.store import STORE, checksum, shard_paths


@dataclass(frozen=True)
class Damage:
    """One array's part of one block that cannot be trusted; ``block`` None: the array's description itself."""

    block: int | None
    array: str
    reason: str

    def __str__(self) -> str:
        return f"{'all blocks' if self.block is None else f'block {self.block}'}, {self.array}: {self.reason}"


def verify_result(path: str | os.PathLike[str]) -> list[Damage]:
    """All damage to the finished blocks of a result; an empty list when there is none. Reads one block at a time.

    Damaged blocks are computed again after `emreel.result.forget_blocks`. Arrays whose description (zarr.json) is
    damaged come alone, with block None: they cannot be mended block by block.

    Raises
    ------
    ResultError : there is no result. StorageError : files may not be read.
    """
    ledger = read_ledger(path)
    damages = list(_check_metadata(path, ledger.layout))
    if not damages:
        for record in ledger.done.values():
            damages += verify_block(path, ledger.layout, record)
    return damages


def verify_block(path: str | os.PathLike[str], layout: Layout, record: Record) -> list[Damage]:
    """The damage to one finished block; may run inside a task."""
    found = []
    for name, file in shard_paths(path, layout, record.block).items():
        reason = _damage_of(path, layout, record, name, file)
        if reason:
            found.append(Damage(record.block.index, name, reason))
    return found


def _damage_of(path: str | os.PathLike[str], layout: Layout, record: Record, name: str, file: Path) -> str:
    if not file.is_file():
        return "its file is missing"
    if file.stat().st_size == 0:
        return "its file is empty"
    try:
        array = zarr.open_array(Path(path) / STORE / layout.arrays()[name].path, mode="r")
        if layout.grows and record.block.frames[1] > array.shape[0]:
            return ""  # written, and not shown yet: the next frame or the next start shows it
        values = np.asarray(array[layout.region(name, record.block)])
    except MemoryError:
        raise
    except PermissionError as error:
        raise explain_os_error(error, file) from error
    except Exception as error:  # noqa: BLE001 - damaged bytes fail in every codec in its own way
        return f"its file is damaged ({type(error).__name__}: {error})"
    if checksum(values) != record.checksums[name]:
        return "its data are not those that were written (crc32c differs)"
    return ""


def _check_metadata(path: str | os.PathLike[str], layout: Layout) -> Iterator[Damage]:
    for name, spec in layout.arrays().items():
        try:
            array = zarr.open_array(Path(path) / STORE / spec.path, mode="r")
        except Exception as error:  # noqa: BLE001 - as above
            yield Damage(None, name, f"its zarr.json is missing or damaged ({type(error).__name__}: {error})")
            continue
        shape = (array.shape[0], *spec.shape[1:]) if layout.grows else spec.shape
        wanted = (shape, spec.chunks, spec.zarr_shards, np.dtype(spec.dtype))
        if (array.shape, array.chunks, array.shards, array.dtype) != wanted:
            yield Damage(None, name, f"its zarr.json tells shape {array.shape}, wanted {spec.shape}")
