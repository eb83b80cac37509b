"""Frames that have no labels, named in the tables: those that never came, and those that could not be labelled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from emreel.result.errors import explain_os_error
from emreel.result.handle import open_result
from emreel.result.layout import Block
from emreel.result.tables import TABLES, read_table, write_table

QUARANTINE = "quarantine"


def name_missing_frames(
    path: str | os.PathLike[str], why: Mapping[int, tuple[str, str]], default: tuple[str, str]
) -> None:
    """Give each frame without labels a row in the table ``quality``: its status and reason, or the default ones."""
    quality = read_table(path, "quality")
    result = open_result(path, chunks=None)
    times = result.times_s
    missing = np.setdiff1d(np.arange(result.label.sizes["time"]), quality["frame"].to_numpy())
    if not len(missing):
        return
    told = [why.get(int(frame), default) for frame in missing]
    rows = pd.DataFrame({"frame": missing, "status": [s for s, _ in told], "reason": [r for _, r in told]})
    rows["time_s"] = np.nan if times is None else times[missing]
    whole = pd.concat([quality, rows]).sort_values("frame", ignore_index=True)
    write_table(path, "quality", whole[quality.columns].astype(quality.dtypes))


def write_quarantine(path: str | os.PathLike[str], failed: Mapping[Block, str]) -> None:
    """The table ``quarantine``: block, first and last frame, tile in px, reason; none where nothing failed.

    Raises
    ------
    StorageError : the disk refuses.
    """
    if not failed:
        try:
            (Path(path) / TABLES / f"{QUARANTINE}.parquet").unlink(missing_ok=True)
        except OSError as error:
            raise explain_os_error(error, path) from error
        return
    blocks = sorted(failed, key=lambda block: block.index)
    table = pd.DataFrame(
        [
            (b.index, b.frames[0], b.frames[1] - 1, b.tile.y0, b.tile.y1, b.tile.x0, b.tile.x1, failed[b])
            for b in blocks
        ],
        columns=["block", "frame_first", "frame_last", "y0_px", "y1_px", "x0_px", "x1_px", "reason"],
    )
    write_table(path, QUARANTINE, table)
    why = {frame: ("quarantined", failed[block]) for block in blocks for frame in range(*block.frames)}
    name_missing_frames(path, why, ("missing", "not labelled yet"))
