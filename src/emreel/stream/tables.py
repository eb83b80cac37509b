"""Tables of a result that was watched: frames that never came are named too."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from emreel.result import open_result, read_table, write_frame_tables, write_table


def write_stream_tables(path: str | os.PathLike[str]) -> None:
    """Tables ``quality`` and ``class_fraction``; in ``quality`` a frame without labels has the status "missing"."""
    write_frame_tables(path)
    quality = read_table(path, "quality")
    result = open_result(path, chunks=None)
    times = result.times_s
    missing = np.setdiff1d(np.arange(result.label.sizes["time"]), quality["frame"].to_numpy())
    if not len(missing):
        return
    rows = pd.DataFrame({"frame": missing, "status": "missing", "reason": "not labelled: late, dropped or never there"})
    rows["time_s"] = np.nan if times is None else times[missing]
    whole = pd.concat([quality, rows]).sort_values("frame", ignore_index=True)
    write_table(path, "quality", whole[quality.columns].astype(quality.dtypes))
