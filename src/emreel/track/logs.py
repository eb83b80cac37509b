"""Logs of the holder, the gas or the beam, joined to frames by time.

A log is a CSV with a column of times and columns of numbers with their units in their names (``temperature_C``,
``bias_V``, ``pressure_Pa``, ``dose_e_per_nm2``). Clocks differ: ``offset_s`` is what the log's clock shows at the
movie's time 0. Every frame takes the entry nearest in time, or the line between the two around it, within a tolerance;
frames without one are left empty, never filled from afar.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from emreel.result import Result, write_table
from emreel.result.errors import explain_os_error
from emreel.track.errors import TrackError

Floats = npt.NDArray[np.float64]

TABLE = "log"


def read_log(path: str | os.PathLike[str], *, time: str | None = None) -> pd.DataFrame:
    """A log with its times in s, in order.

    Parameters
    ----------
    path : a CSV. time : name of its column of times; None: the first whose name begins with "time", else the first.
        Numbers are seconds; dates are turned into seconds since the first entry.

    Returns
    -------
    ``time_s`` and the columns of numbers; entries without a time are left out.

    Raises
    ------
    TrackError : no such column, times that are neither numbers nor dates, or no column of numbers beside them.
    StorageError : the file cannot be read.
    """
    file = Path(path)
    try:
        table = pd.read_csv(file, skipinitialspace=True)
    except OSError as error:
        raise explain_os_error(error, file) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TrackError(f"{file} is no CSV ({error}). Save the log as text with a line of column names.") from error
    names = [str(name).strip() for name in table.columns]
    table.columns = pd.Index(names)
    if time is None:
        time = next((name for name in names if name.lower().startswith("time")), names[0])
    if time not in names:
        raise TrackError(f"{file} has no column {time!r}. It has {', '.join(names)}.")
    seconds = _seconds(table[time], file)
    numbers = table.drop(columns=time).select_dtypes("number").astype(np.float64)
    numbers = numbers.drop(columns="time_s", errors="ignore")
    if numbers.columns.empty:
        raise TrackError(f"{file} has no column of numbers beside {time!r}.")
    numbers.insert(0, "time_s", seconds)
    known = numbers[np.isfinite(seconds)]
    return known.sort_values("time_s", kind="stable", ignore_index=True)


def join_log(
    source: Result | npt.ArrayLike,
    log: pd.DataFrame,
    *,
    offset_s: float = 0.0,
    tolerance_s: float | None = None,
    how: Literal["nearest", "linear"] = "nearest",
) -> pd.DataFrame:
    """What a log says at every frame; for a result its table ``log`` is written.

    Parameters
    ----------
    source : an opened result with times, or the frames' times, shape (time,), s.
    log : as `read_log` gives it.
    offset_s : what the log's clock shows at the movie's time 0.
    tolerance_s : how far from a frame an entry may lie; None: the longer of the median steps of frames and log.
    how : the nearest entry, or linear between the two around a frame (both within the tolerance).

    Returns
    -------
    One row a frame: frame, time_s, ``log_delay_s`` (of the nearest entry after the frame), and the log's columns.

    Raises
    ------
    TrackError : frames without times, a log without entries, a tolerance that is not positive, another ``how``.
    """
    times = _times_of(source)
    entries = log["time_s"].to_numpy(np.float64) - offset_s
    if not len(entries):
        raise TrackError("the log has no entries.")
    if tolerance_s is None:
        tolerance_s = max(float(np.median(np.diff(a))) if len(a) > 1 else 0.0 for a in (times, entries)) or 1.0
    if not 0 < tolerance_s < np.inf or how not in ("nearest", "linear"):
        raise TrackError(
            f"got tolerance_s = {tolerance_s} and how = {how!r}, wanted a positive time and nearest or linear."
        )
    after = np.clip(np.searchsorted(entries, times), 0, len(entries) - 1)
    before = np.maximum(after - (entries[after] > times), 0)
    nearest = np.where(np.abs(entries[after] - times) < np.abs(entries[before] - times), after, before)
    delay = entries[nearest] - times
    near = np.abs(delay) <= tolerance_s
    columns: dict[str, Any] = {
        "frame": np.arange(len(times)),
        "time_s": times,
        "log_delay_s": np.where(near, delay, np.nan),
    }
    for name in log.columns.drop("time_s"):
        values = log[name].to_numpy(np.float64)
        told = values[nearest]
        if how == "linear":
            span = entries[after] - entries[before]
            part = np.divide(times - entries[before], span, out=np.zeros_like(times), where=span > 0)
            between = (span > 0) & (np.maximum(entries[after] - times, times - entries[before]) <= tolerance_s)
            told = np.where(between, values[before] + part * (values[after] - values[before]), told)
        columns[str(name)] = np.where(near, told, np.nan)
    table = pd.DataFrame(columns)
    if isinstance(source, Result):
        write_table(source.path, TABLE, table)
    return table


def add_log(table: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """A table of fronts, regions or twins with the columns of a joined log beside it, row by row of its frames."""
    columns = log.drop(columns=[name for name in ("time_s", "log_delay_s") if name in log])
    return table.merge(columns, on="frame", how="left", validate="many_to_one", suffixes=("", "_log"))


def _times_of(source: Result | npt.ArrayLike) -> Floats:
    if isinstance(source, Result):
        times = source.times_s
        if times is None:
            raise TrackError(f"{source.path} only counts frames. Label the movie with --frame-time-s.")
        return times
    return np.asarray(source, np.float64)


def _seconds(column: pd.Series[Any], file: Path) -> Floats:
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(np.float64))
    try:
        dates = pd.to_datetime(column, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise TrackError(
            f"the times of {file} are neither seconds nor dates ({error}). Write them as 2026-01-31 12:00:00.5"
        ) from error
    since = dates - dates.dropna().iloc[0]
    return np.asarray(since.dt.total_seconds().to_numpy(np.float64))
