"""Lengths and times of many vendors, in nm and s. What is not a length or a time gives None."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_NM = {
    "m": 1e9, "meter": 1e9, "meters": 1e9, "metre": 1e9, "mm": 1e6, "millimeter": 1e6,
    "um": 1e3, "micrometer": 1e3, "micrometers": 1e3, "micron": 1e3, "microns": 1e3,
    "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "nanometre": 1.0, "pm": 1e-3, "picometer": 1e-3,
    "å": 0.1, "angstrom": 0.1, "angstroms": 0.1, "ångström": 0.1,
}  # fmt: skip
_S = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3,
    "milliseconds": 1e-3, "us": 1e-6, "microsecond": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanosecond": 1e-9,
    "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
}  # fmt: skip


def to_nm(value: Any, unit: object) -> float | None:
    """A length in nm, or None when the unit is no length of real space or the value no positive number."""
    return _convert(value, unit, _NM)


def to_seconds(value: Any, unit: object) -> float | None:
    """A time step in s, or None when the unit is no time or the value no positive number."""
    return _convert(value, unit, _S)


def second_factor(unit: object) -> float | None:
    """How many seconds one unit is, or None."""
    return _S.get(_name(unit))


def even_times(n_frames: int, step_s: float) -> npt.NDArray[np.float64]:
    """Times of evenly spaced frames from 0 on, shape (n_frames,), s."""
    return np.arange(n_frames, dtype=np.float64) * float(step_s)


def _convert(value: Any, unit: object, table: dict[str, float]) -> float | None:
    factor = table.get(_name(unit))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number * factor if factor is not None and math.isfinite(number) and number > 0 else None


def _name(unit: object) -> str:
    if isinstance(unit, bytes):
        unit = unit.decode("utf-8", "replace")
    text = str(unit).strip().replace("\\u00B5", "u").replace("\\u00b5", "u")
    if text == "A":
        return "å"
    text = text.replace("µ", "u").replace("μ", "u").replace("Å", "Å")
    return text if text in {"M", "S"} else text.lower()
