"""A small result with everything that a page can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emreel.result import (
    Record,
    Result,
    acquire_lock,
    count_labels,
    create_store,
    open_ledger,
    open_result,
    plan_layout,
    write_block,
    write_frame_tables,
    write_table,
)

N_FRAMES, SIDE, STRIDE = 6, 48, 4
TIMES = np.array([0.0, 0.1, 0.3, 0.35, 0.5, 0.9])
FRONT_AT = [10 + 3 * t for t in range(N_FRAMES)]


def labels_of(t: int) -> np.ndarray:
    """Class 1 above the front, 2 below it; unknown in a corner, invalid in another."""
    label = np.where(np.arange(SIDE)[:, None] < FRONT_AT[t], 1, 2) * np.ones((1, SIDE), int)
    label[-8:, :8], label[:6, -6:] = 255, 254
    return label.astype(np.uint8)


def write_everything(path: Path, *, skip: tuple[int, ...] = (), pixel_size_nm: float | None = 0.5) -> Result:
    """Two classes, a front that moves down, two regions, angles; ``skip`` leaves blocks (of two frames) out."""
    layout = plan_layout(
        (N_FRAMES, SIDE, SIDE), STRIDE, 2, frames_per_block=2, with_regions=True, with_orientation=True
    )
    identity = {"movie": "m", "model": "k"}
    create_store(
        path,
        layout,
        identity=identity,
        label_names=["glass", "crystal"],
        label_colors=[(0, 114, 178), (230, 159, 0)],
        times_s=TIMES,
        pixel_size_nm=pixel_size_nm,
    )
    with acquire_lock(path) as lock:
        ledger = open_ledger(path, lock, identity=identity)
        for block in layout.blocks():
            if block.index in skip:
                continue
            frames = range(*block.frames)
            label = np.stack([labels_of(t) for t in frames])
            region = np.where(label == 1, 0, np.where(np.arange(SIDE) < 24, 5, 9)).astype(np.uint32)
            grid = label[:, ::STRIDE, ::STRIDE]
            soft = np.stack([(grid == 1) * 250, (grid == 2) * 200], axis=1).astype(np.uint8)
            angle = np.where(grid == 2, np.float32(30), np.float32(np.nan))
            gray = np.stack([np.full((SIDE, SIDE), 40 * t, np.uint8) for t in frames])
            sums = write_block(
                path, layout, block, label=label, preview=gray, membership=soft, region=region, angle=angle
            )
            rows: list[dict[str, Any]] = [
                {
                    "frame": t,
                    "status": "blank" if t == 3 else "good",
                    "reason": "beam off" if t == 3 else "",
                    "label_px": px,
                    "regions": [[5, 2, 500 + t, 30.0, 12.0 + t, 30.0], [9, 2, 400, 30.0, 36.0, 30.0]],
                }
                for t, px in zip(frames, count_labels(label), strict=True)
            ]
            ledger.append(Record(block=block, checksums=sums, rows=tuple(rows)))
    write_frame_tables(path)
    write_table(path, "fronts", front_rows())
    return open_result(path, chunks=None)


def front_rows() -> pd.DataFrame:
    columns = [(t, "1/2", "column", x, FRONT_AT[t], 0.3) for t in range(N_FRAMES) for x in range(SIDE)]
    means = [(t, "1/2", "mean", np.nan, FRONT_AT[t], 0.1) for t in range(N_FRAMES)]
    names = ["frame", "front", "kind", "column_px", "position_px", "position_sd_px"]
    return pd.DataFrame([*columns, *means], columns=names).assign(time_s=0.0)


@pytest.fixture
def everything(tmp_path: Path) -> Result:
    return write_everything(tmp_path / "run")
