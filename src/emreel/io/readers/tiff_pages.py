"""The chain of a TIFF's pages, walked without decoding; a cut chain gives the pages before the cut.

Source: TIFF revision 6.0 (Adobe, 1992), sections 2 and 8; BigTIFF (Aware Systems).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from emreel.io.errors import ReaderError

_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _OFFSETS, _COUNTS = 254, 256, 257, 259, 273, 279
_TILE_OFFSETS, _TILE_COUNTS = 324, 325
_WANTED = frozenset({_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS})
_FORMATS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}
_MAX_ENTRIES = 4096


@dataclass(frozen=True)
class PageEntry:
    """One page: where its header and first strip are, its size, and whether all of its bytes are in the file."""

    offset: int
    height: int
    width: int
    compression: int
    strips: int
    first_byte: int
    consecutive: bool
    whole: bool
    reduced: bool
    next_offset: int

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


def walk_pages(path: str) -> tuple[list[PageEntry], bool]:
    """All pages of the main chain, and whether the chain came to its end.

    Raises
    ------
    ReaderError : no TIFF header, or not one page.
    """
    size = os.path.getsize(path)
    with Path(path).open("rb") as file:
        layout, offset = _read_header(path, file)
        pages: list[PageEntry] = []
        seen: set[int] = set()
        while offset:
            if offset in seen or offset >= size:
                break
            seen.add(offset)
            page = _read_page(file, layout, offset, size)
            if page is None:
                break
            pages.append(page)
            offset = page.next_offset
        if not pages:
            raise ReaderError(f"{path} has no page that can be read. The file is cut or damaged; copy it again.")
        return pages, offset == 0


@dataclass(frozen=True)
class _Layout:
    """Byte order, and widths of counts and offsets, of classic or big TIFF."""

    order: str
    big: bool

    def number(self, data: bytes, at: int, code: str) -> int:
        return int(struct.unpack_from(self.order + code, data, at)[0])


def _read_header(path: str, file: IO[bytes]) -> tuple[_Layout, int]:
    head = file.read(16).ljust(16, b"\0")
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    magic = struct.unpack_from((order or "<") + "H", head, 2)[0]
    if not order or magic not in (42, 43):
        raise ReaderError(f"{path} is not a TIFF: it begins with {head[:4]!r}. Check the file, or its suffix.")
    layout = _Layout(order, magic == 43)
    return layout, layout.number(head, 8, "Q") if layout.big else layout.number(head, 4, "I")


def _read_page(file: IO[bytes], layout: _Layout, offset: int, size: int) -> PageEntry | None:
    count_code, count_bytes, entry_bytes = ("Q", 8, 20) if layout.big else ("H", 2, 12)
    pointer_code, pointer_bytes = ("Q", 8) if layout.big else ("I", 4)
    file.seek(offset)
    head = file.read(count_bytes)
    if len(head) < count_bytes:
        return None
    n_entries = layout.number(head, 0, count_code)
    if not 0 < n_entries <= _MAX_ENTRIES:
        return None
    body = file.read(n_entries * entry_bytes + pointer_bytes)
    if len(body) < n_entries * entry_bytes + pointer_bytes:
        return None
    tags: dict[int, tuple[int, ...]] = {}
    for number in range(n_entries):
        at = number * entry_bytes
        tag = layout.number(body, at, "H")
        if tag in _WANTED:
            tags[tag] = _read_values(file, layout, body, at, size)
    return _entry(offset, tags, layout.number(body, n_entries * entry_bytes, pointer_code), size)


def _read_values(file: IO[bytes], layout: _Layout, body: bytes, at: int, size: int) -> tuple[int, ...]:
    kind = layout.number(body, at + 2, "H")
    count = layout.number(body, at + 4, "Q" if layout.big else "I")
    code, width = _FORMATS.get(kind, ("", 0))
    room = 8 if layout.big else 4
    if not code or count == 0 or count * width > size:
        return ()
    if count * width <= room:
        return struct.unpack_from(f"{layout.order}{count}{code}", body, at + (12 if layout.big else 8))
    file.seek(layout.number(body, at + (12 if layout.big else 8), "Q" if layout.big else "I"))
    data = file.read(count * width)
    return struct.unpack(f"{layout.order}{count}{code}", data) if len(data) == count * width else ()


def _entry(offset: int, tags: dict[int, tuple[int, ...]], next_offset: int, size: int) -> PageEntry:
    starts = tags.get(_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    counts = tags.get(_COUNTS) or tags.get(_TILE_COUNTS) or ()
    paired = len(starts) == len(counts) > 0
    ends = [start + count for start, count in zip(starts, counts, strict=paired)]
    return PageEntry(
        offset=offset,
        height=(tags.get(_HEIGHT) or (0,))[0],
        width=(tags.get(_WIDTH) or (0,))[0],
        compression=(tags.get(_COMPRESSION) or (1,))[0],
        strips=len(starts),
        first_byte=starts[0] if starts else 0,
        consecutive=_OFFSETS in tags and all(a == b for a, b in zip(ends, starts[1:], strict=False)),
        whole=paired and max(ends) <= size,
        reduced=bool((tags.get(_SUBFILE) or (0,))[0] & 1),
        next_offset=next_offset,
    )
