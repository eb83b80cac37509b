"""The ledger: which blocks are done, one line a block, written by the one driver after the block's data.

Line 0 is a header that binds the ledger to its result. Reading trusts exactly the lines before the first that is
torn, changed or out of place (`emreel.result.lines`). Every line is flushed to the disk before its block counts as
done, so the ledger never claims more than what was written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from emreel.descriptors.geometry import Tile
from emreel.result.errors import LedgerError, ResultError, explain_os_error
from emreel.result.files import write_all, write_file
from emreel.result.layout import Block, Layout
from emreel.result.lines import decode_line, encode_line, encode_lines, plain_json, trusted_lines
from emreel.result.lock import Lock
from emreel.result.store import LEDGER, LOCK, VERSION, read_facts, remove_partials


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished block.

    ``checksums``: crc32c of each array's data, as `write_block` returned them. ``rows``: one dict a frame, plain
    JSON, see `emreel.result.tables`.
    """

    block: Block
    checksums: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "block": self.block.index,
            "frames": self.block.frames,
            "tile": astuple(self.block.tile),
            "checksums": self.checksums,
            "rows": self.rows,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        block = Block(values["block"], tuple(values["frames"]), Tile(*values["tile"]))
        return cls(block=block, checksums=values["checksums"], rows=tuple(values["rows"]))


class Ledger:
    """The finished blocks of a result. Get one from `open_ledger` or `read_ledger`."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self.done: dict[int, Record] = {}
        self._lock: Lock | None = None
        self._broken = False
        self._size = self._lines = 0

    @property
    def missing(self) -> list[Block]:
        """The blocks that are not done, in order."""
        return [block for block in self.layout.blocks() if block.index not in self.done]

    def grow(self, n_frames: int) -> None:
        """Make room for so many frames, in a result that grows. Raises LayoutError for others."""
        self.layout = self.layout.grown(n_frames)

    def append(self, record: Record) -> None:
        """Count a block as done; its data must lie on the disk. A block that is done already is left as it is.

        Raises
        ------
        LedgerError : opened for reading, a record that does not fit the layout, or an earlier append failed.
        LockError : the lock has been lost to another run.
        StorageError : the disk refuses; the block does not count as done.
        """
        if self._lock is None:
            raise LedgerError("the ledger was opened for reading. Open it with the result's lock to append.")
        if self._broken:
            raise LedgerError(f"an earlier append to {self.path} failed. Run again to go on.")
        if not _fits(record, self.layout):
            raise LedgerError(f"got a record of {record.block}, which is not a block of this result's layout.")
        if record.block.index in self.done:
            return
        self._lock.check()
        line = encode_line(self._lines, record.to_dict())
        self._broken = True
        _append_line(self.path, line, self._size)
        self._broken = False
        written = decode_line(self._lines, line)
        self._size, self._lines = self._size + len(line), self._lines + 1
        self.done[record.block.index] = record if written is None else Record.from_dict(written)


def open_ledger(path: str | os.PathLike[str], lock: Lock, *, identity: Mapping[str, Any]) -> Ledger:
    """Open a result's ledger for appending: start it if there is none, cut what cannot be trusted.

    What killed writers left unfinished in the folder is removed.

    Parameters
    ----------
    lock : the result's lock, held.
    identity : what this run's labels depend on; must be what the result was created with.

    Raises
    ------
    ResultError : no result, or one of another model, movie or recipe; the message shows the difference.
    LockError : the lock has been lost to another run.
    StorageError : the disk refuses.
    """
    facts = read_facts(path)
    check_identity(facts["identity"], identity)
    return _rewrite_ledger(path, lock, facts, without=())


def write_ledger(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """A whole ledger for a result that nobody else knows of yet. Raises ResultError, StorageError."""
    facts = read_facts(path)
    write_file(Path(path) / LEDGER, encode_lines([_header(facts), *(record.to_dict() for record in records)]))


def forget_blocks(path: str | os.PathLike[str], blocks: Iterable[int], lock: Lock) -> int:
    """Take blocks out of the ledger, all at once, so that the next run computes them again. Returns how many.

    Raises
    ------
    ResultError, LockError, StorageError : as `open_ledger`.
    """
    before = len(read_ledger(path).done)
    return before - len(_rewrite_ledger(path, lock, read_facts(path), without=set(blocks)).done)


def read_ledger(path: str | os.PathLike[str]) -> Ledger:
    """The finished blocks of a result, for looking only; nothing on the disk changes.

    Raises
    ------
    ResultError : no result there, or its ledger belongs to another result.
    """
    facts = read_facts(path)
    ledger = Ledger(Path(path) / LEDGER, Layout.from_dict(facts["layout"]))
    lines = trusted_lines(_read_bytes(ledger.path))
    if lines and lines[0] != plain_json(_header(facts)):
        raise LedgerError(f"{ledger.path} belongs to another result than the movie.zarr beside it. Take it away.")
    for line in lines[1:]:
        try:
            record = Record.from_dict(line)
            if ledger.layout.grows:  # the ledger is ahead of what the zarr shows
                ledger.grow(record.block.index + 1)
        except (KeyError, TypeError):
            break
        if not _fits(record, ledger.layout):
            break
        ledger.done.setdefault(record.block.index, record)
    return ledger


def check_identity(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with a result of another model, movie or recipe.

    Raises
    ------
    ResultError : shows what differs, recorded against wanted.
    """
    old, new = _flatten(plain_json(recorded)), _flatten(plain_json(wanted))
    differing = [name for name in sorted(old | new) if old.get(name, "-") != new.get(name, "-")]
    if differing:
        shown = "; ".join(f"{name}: result has {old.get(name, '-')}, got {new.get(name, '-')}" for name in differing)
        raise ResultError(
            f"the result was made otherwise ({shown}). Choose another folder, or use what it was made with."
        )


def _rewrite_ledger(
    path: str | os.PathLike[str], lock: Lock, facts: Mapping[str, Any], without: Iterable[int]
) -> Ledger:
    """The ledger with its trusted records less some, on the disk in exactly that form, ready to append."""
    if lock.path.resolve() != (Path(path) / LOCK).resolve():
        raise LedgerError(f"got the lock {lock.path}, wanted that of {os.fspath(path)}.")
    lock.check()
    remove_partials(path)
    ledger = read_ledger(path)
    for index in without:
        ledger.done.pop(index, None)
    lines = [_header(facts), *(record.to_dict() for record in ledger.done.values())]
    content = encode_lines(lines)
    if _read_bytes(ledger.path) != content:
        write_file(ledger.path, content)
    ledger._lock, ledger._size, ledger._lines = lock, len(content), len(lines)
    return ledger


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise explain_os_error(error, path) from error


def _header(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What binds a ledger to its result: the layout (of one frame where the number of frames grows) and identity."""
    layout = dict(facts["layout"])
    if layout.get("grows"):
        layout["shape_tyx"] = [1, *layout["shape_tyx"][1:]]
    return {"version": VERSION, "layout": layout, "identity": facts["identity"]}


def _fits(record: Record, layout: Layout) -> bool:
    index = record.block.index
    if not isinstance(index, int) or not 0 <= index < layout.n_blocks:
        return False
    return layout.block(index) == record.block and set(record.checksums) == set(layout.arrays())


def _append_line(path: Path, line: bytes, size: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            os.lseek(descriptor, size, os.SEEK_SET)
            write_all(descriptor, line)
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, names joined by dots."""
    if not isinstance(values, dict):
        return {prefix: values}
    pairs = [_flatten(value, f"{prefix}.{key}" if prefix else key) for key, value in values.items()]
    return {name: leaf for pair in pairs for name, leaf in pair.items()}
