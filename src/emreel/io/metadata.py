"""Original metadata of a file as plain JSON values: kept whole where small, described where large."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_MAX_ITEMS = 256
_MAX_TEXT = 20_000
_MAX_DEPTH = 24


def plain_metadata(value: Any, depth: int = 0) -> Any:
    """Turn what a format library returns into dicts, lists, numbers, text, booleans and None."""
    if depth > _MAX_DEPTH:
        return "..."
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "..."
    if isinstance(value, bytes):
        return plain_metadata(value.rstrip(b"\0").decode("utf-8", "replace"), depth)
    if isinstance(value, Mapping):
        return {str(key): plain_metadata(item, depth + 1) for key, item in value.items()}
    if isinstance(value, np.generic):
        return plain_metadata(value.item(), depth) if value.dtype.kind in "biufSU" else str(value)
    if isinstance(value, np.ndarray):
        if value.size > _MAX_ITEMS or value.dtype.kind not in "biufSU":
            return f"array of shape {value.shape}, {value.dtype}"
        return plain_metadata(value.tolist(), depth)
    if isinstance(value, Sequence):
        items = [plain_metadata(item, depth + 1) for item in value[:_MAX_ITEMS]]
        return items if len(value) <= _MAX_ITEMS else [*items, f"... {len(value)} in all"]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)
