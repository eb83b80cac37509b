"""Tables of a result: tidy parquet files, one row an observation, units in the columns' names.

A row of the ledger describes one frame of one block::

    {"frame": 12, "status": "good", "blur": 0.1, "gain": 1.02, "drift_y_px": 0.0, "drift_x_px": 0.0,
     "reason": "", "label_px": {"1": 40000, "2": 24000, "254": 1536}}

``label_px`` counts the block's pixels of each label value (`count_labels`); where frames are split into tiles, the
tiles' counts are added here. What a row leaves out is unknown (NaN).
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emreel.result.errors import ResultError, explain_os_error
from emreel.result.files import partial_path, write_file
from emreel.result.ledger import Record
from emreel.result.store import INVALID, UNKNOWN

TABLES = "tables"
QUALITY_COLUMNS = (
    "frame",
    "time_s",
    "status",
    "blur",
    "gain",
    "drift_y_px",
    "drift_x_px",
    "invalid_fraction",
    "reason",
)
FRACTION_COLUMNS = ("frame", "time_s", "label", "name", "area_px2", "area_nm2", "fraction")
REGION_COLUMNS = (
    "frame",
    "time_s",
    "region",
    "label",
    "area_px2",
    "area_nm2",
    "centroid_y_px",
    "centroid_x_px",
    "orientation_deg",
    "event",
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def write_table(path: str | os.PathLike[str], name: str, table: pd.DataFrame) -> Path:
    """Write RESULT/tables/NAME.parquet in one step; the same table gives the same bytes. Returns the file.

    Raises
    ------
    ResultError : a name that is not lower-case letters, digits and underscores. StorageError : the disk refuses.
    """
    file = _table_path(path, name)
    columns = _columns_of(table)
    buffer = io.BytesIO()
    pq.write_table(columns, buffer, compression="zstd", version="2.6")
    write_file(file, buffer.getvalue())
    return file


class TableWriter:
    """Writes a table part by part, for tables longer than memory; at the end it takes its place in one step.

    Columns and their types are those of the first part. Rows are gathered into groups of ``ROWS_A_GROUP``.

    Raises
    ------
    ResultError : a name that is no table's. StorageError : the disk refuses; what was there is untouched.
    """

    ROWS_A_GROUP = 200_000

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self._file = _table_path(path, name)
        self._partial = partial_path(self._file)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def append(self, part: pd.DataFrame) -> None:
        """Add rows."""
        columns = _columns_of(part)
        self._waiting.append(columns if not self._waiting else columns.cast(self._waiting[0].schema))
        if sum(table.num_rows for table in self._waiting) >= self.ROWS_A_GROUP:
            self._flush()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
            if self._writer is not None:
                self._writer.close()
                if kind is None:
                    os.replace(self._partial, self._file)
        except OSError as error:
            raise explain_os_error(error, self._file) from error
        finally:
            self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._waiting:
            return
        try:
            if self._writer is None:
                self._partial.parent.mkdir(parents=True, exist_ok=True)
                schema = self._waiting[0].schema
                self._writer = pq.ParquetWriter(self._partial, schema, compression="zstd", version="2.6")
            self._writer.write_table(pa.concat_tables(self._waiting))
        except OSError as error:
            raise explain_os_error(error, self._file) from error
        self._waiting = [self._waiting[0].slice(0, 0)]


def read_table(path: str | os.PathLike[str], name: str) -> pd.DataFrame:
    """Read RESULT/tables/NAME.parquet.

    Raises
    ------
    ResultError : no such table (the message lists those that are there), or a damaged one.
    """
    file = _table_path(path, name)
    try:
        frame: pd.DataFrame = pq.read_table(io.BytesIO(file.read_bytes())).to_pandas()
    except FileNotFoundError as error:
        there = ", ".join(sorted(found.stem for found in file.parent.glob("*.parquet"))) or "none"
        raise ResultError(f"{os.fspath(path)} has no table '{name}'. Tables there: {there}.") from error
    except pa.ArrowInvalid as error:
        raise ResultError(f"{file} is damaged ({error}). Run the command that made it again.") from error
    except OSError as error:
        raise explain_os_error(error, file) from error
    return frame


def count_labels(label: npt.NDArray[np.uint8]) -> list[dict[str, int]]:
    """Pixels of each label value, a dict for every frame. label : shape (t, y, x), uint8."""
    counts = [np.bincount(frame.ravel(), minlength=256) for frame in label]
    return [{str(value): int(frame[value]) for value in np.flatnonzero(frame)} for frame in counts]


def quality_table(
    records: Iterable[Record], times_s: npt.NDArray[np.float64] | None, survey: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a computed frame, in order; columns as `QUALITY_COLUMNS`.

    survey : one row a frame of the movie (`emreel.result.quality`); its status, reason, blur, gain and drift win.

    A good frame with the ``signature`` of the frame before it (where the rows tell them) is a duplicate.
    ``invalid_fraction`` is the share of the frame's computed pixels that are label 254.
    times_s : shape (time,), s, or None: column ``time_s`` is NaN.
    """
    rows = []
    signatures: dict[int, Any] = {}
    for frame, parts in _by_frame(records).items():
        counts, n_pixels = _counts(parts)
        row = dict.fromkeys(QUALITY_COLUMNS) | {key: value for key, value in parts[0].items() if key in QUALITY_COLUMNS}
        row |= {"frame": frame, "time_s": _time(times_s, frame)}
        row["invalid_fraction"] = counts[INVALID] / n_pixels if n_pixels else np.nan
        signature = parts[0].get("signature")
        if row["status"] == "good" and signature is not None and signatures.get(frame - 1) == signature:
            row |= {"status": "duplicate", "reason": f"repeats frame {frame - 1}"}
        signatures[frame] = signature
        if survey is not None:
            row |= {name: survey[name].iloc[frame] for name in QUALITY_COLUMNS if name in survey and name != "frame"}
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(QUALITY_COLUMNS))
    words, numbers = ("status", "reason"), ("time_s", "blur", "gain", "drift_y_px", "drift_x_px", "invalid_fraction")
    kinds: dict[str, Any] = {"frame": np.int64} | dict.fromkeys(numbers, np.float64) | dict.fromkeys(words, str)
    for name in words:
        table[name] = table[name].fillna("")
    return table.astype(kinds)


def class_fraction_table(
    records: Iterable[Record],
    times_s: npt.NDArray[np.float64] | None,
    *,
    label_names: Sequence[str],
    shape_yx: tuple[int, int],
    pixel_size_nm: float | None,
) -> pd.DataFrame:
    """One row a frame and label (1..K and 255), for frames of which every pixel is computed.

    ``fraction`` is the share of the frame's valid pixels (label 254 left out): the rows of a frame add up to 1,
    and are NaN where no pixel is valid. ``area_nm2`` is NaN without calibration, ``time_s`` without times.
    """
    names = dict(enumerate(label_names, start=1)) | {UNKNOWN: "unknown"}
    area_nm2 = np.nan if pixel_size_nm is None else pixel_size_nm**2
    rows = []
    for frame, parts in _by_frame(records).items():
        counts, n_pixels = _counts(parts)
        if n_pixels != shape_yx[0] * shape_yx[1]:
            continue
        valid = n_pixels - counts[INVALID]
        for label, name in names.items():
            share = counts[label] / valid if valid else np.nan
            area = counts[label]
            rows.append((frame, _time(times_s, frame), label, name, area, area * area_nm2, share))
    table = pd.DataFrame(rows, columns=list(FRACTION_COLUMNS))
    kinds: dict[str, Any] = dict.fromkeys(("frame", "label", "area_px2"), np.int64)
    kinds |= dict.fromkeys(("time_s", "area_nm2", "fraction"), np.float64) | {"name": str}
    return table.astype(kinds)


def region_table(
    records: Iterable[Record],
    times_s: npt.NDArray[np.float64] | None,
    *,
    last_frame: int,
    pixel_size_nm: float | None,
) -> pd.DataFrame:
    """One row a frame and region, from the ledger's rows whose ``regions`` are [region, label, px, y, x, angle_deg].

    ``event`` is "appears" in a region's first frame and "vanishes" in its last, but not at the ends of the movie.
    """
    area_nm2 = np.nan if pixel_size_nm is None else pixel_size_nm**2
    rows = []
    for frame, parts in _by_frame(records).items():
        for region, label, area, y, x, angle in parts[0].get("regions", ()):
            time_s = _time(times_s, frame)
            rows.append((frame, time_s, region, label, area, area * area_nm2, y, x, angle, ""))
    table = pd.DataFrame(rows, columns=list(REGION_COLUMNS))
    kinds: dict[str, Any] = dict.fromkeys(("frame", "region", "label", "area_px2"), np.int64)
    kinds |= dict.fromkeys(("time_s", "area_nm2", "centroid_y_px", "centroid_x_px", "orientation_deg"), np.float64)
    table = table.astype(kinds | {"event": str})
    if len(table):
        first, last = (table.groupby("region")["frame"].transform(how) for how in ("min", "max"))
        good = table["frame"].min(), min(last_frame, table["frame"].max())
        table.loc[(table["frame"] == last) & (last < good[1]), "event"] = "vanishes"
        table.loc[(table["frame"] == first) & (first > good[0]), "event"] = "appears"
    return table


def _columns_of(table: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)


def _table_path(path: str | os.PathLike[str], name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ResultError(f"got the table name {name!r}, wanted lower-case letters, digits and underscores.")
    return Path(path) / TABLES / f"{name}.parquet"


def _by_frame(records: Iterable[Record]) -> dict[int, list[dict[str, Any]]]:
    """The ledger's rows of each frame, tiles in order, frames in order."""
    frames: dict[int, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: record.block.index):
        for row in record.rows:
            frames.setdefault(int(row["frame"]), []).append(dict(row))
    return dict(sorted(frames.items()))


def _counts(parts: Iterable[dict[str, Any]]) -> tuple[Counter[int], int]:
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update({int(value): int(n) for value, n in part.get("label_px", {}).items()})
    return counts, counts.total()


def _time(times_s: npt.NDArray[np.float64] | None, frame: int) -> float:
    return float("nan") if times_s is None else float(times_s[frame])
