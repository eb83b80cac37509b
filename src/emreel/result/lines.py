"""Checked JSON lines: text that any tool reads, in which every torn or changed byte is noticed.

A line is ``{"crc":"<8 hex digits>","n":<running index>,...}``. The checksum (crc32c) covers every byte behind it,
the newline included by being demanded; the index counts lines, so a lost or doubled line is noticed too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import google_crc32c
import numpy as np

_HEAD = b'{"crc":"'
_NECK = b'",'
_START = len(_HEAD) + 8 + len(_NECK)


def encode_line(index: int, values: Mapping[str, Any]) -> bytes:
    """One line. Values as `plain_json` makes them."""
    body = json.dumps({"n": index} | plain_json(values), separators=(",", ":"), allow_nan=False).encode()[1:]
    return _HEAD + _crc(body) + _NECK + body + b"\n"


def encode_lines(values: Iterable[Mapping[str, Any]]) -> bytes:
    """All lines of a file, counted from 0."""
    return b"".join(encode_line(index, line) for index, line in enumerate(values))


def decode_line(index: int, line: bytes) -> dict[str, Any] | None:
    """The values of a line, or None when it is not exactly what `encode_line` wrote at this place."""
    head, body = line[:_START], line[_START:-1]
    if line[-1:] != b"\n" or head != _HEAD + _crc(body) + _NECK:
        return None
    values: dict[str, Any] = json.loads(b"{" + body)
    return values if values.pop("n", None) == index else None


def trusted_lines(content: bytes) -> list[dict[str, Any]]:
    """The lines before the first that is torn, changed or out of place."""
    lines: list[dict[str, Any]] = []
    for raw in content.split(b"\n")[:-1]:
        values = decode_line(len(lines), raw + b"\n")
        if values is None:
            break
        lines.append(values)
    return lines


def plain_json(values: Any) -> Any:
    """Plain JSON values: numpy's numbers as Python's, tuples as lists, what is not finite as null."""
    if isinstance(values, Mapping):
        return {str(key): plain_json(value) for key, value in values.items()}
    if isinstance(values, list | tuple | np.ndarray):
        return [plain_json(value) for value in values]
    if isinstance(values, np.generic):
        return plain_json(values.item())
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values


def _crc(body: bytes) -> bytes:
    return b"%08x" % google_crc32c.value(body)
