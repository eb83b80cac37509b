"""Results on disk, written block by block from given labels: nothing is fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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
)

COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))
IDENTITY = {"movie": "m", "model": "k"}

MakeResult = Callable[..., Result]


def write_result(
    path: Path,
    label: npt.NDArray[np.uint8],
    gray: npt.NDArray[np.uint8],
    *,
    names: Sequence[str],
    colors: Sequence[tuple[int, int, int]] | None = None,
    times_s: npt.ArrayLike | None = None,
    pixel_size_nm: float | None = None,
    frames_per_block: int = 2,
    skip: Sequence[int] = (),
) -> Result:
    """A result of these labels and grey frames, both (time, y, x); ``skip`` leaves blocks out."""
    layout = plan_layout(label.shape, 1, len(names), frames_per_block=frames_per_block, with_membership=False)
    colors = colors or [COLORS[i % len(COLORS)] for i in range(len(names))]
    create_store(
        path,
        layout,
        identity=IDENTITY,
        label_names=names,
        label_colors=colors,
        times_s=times_s,
        pixel_size_nm=pixel_size_nm,
    )
    factor = layout.preview_factor
    with acquire_lock(path) as lock:
        ledger = open_ledger(path, lock, identity=IDENTITY)
        for block in layout.blocks():
            if block.index in skip:
                continue
            part = slice(*block.frames)
            sums = write_block(
                path, layout, block, label=label[part].copy(), preview=gray[part, ::factor, ::factor].copy()
            )
            counts = count_labels(label[part])
            rows: list[dict[str, Any]] = [
                {"frame": block.frames[0] + i, "status": "good", "label_px": px} for i, px in enumerate(counts)
            ]
            ledger.append(Record(block=block, checksums=sums, rows=tuple(rows)))
    write_frame_tables(path)
    return open_result(path)


@pytest.fixture
def make_result(tmp_path: Path) -> MakeResult:
    """Call with labels and grey frames; further keywords as `write_result`."""

    def make(label: npt.NDArray[np.uint8], gray: npt.NDArray[np.uint8] | None = None, **options: Any) -> Result:
        gray = np.full(label.shape, 200, np.uint8) if gray is None else gray
        options.setdefault(
            "names", [f"phase {i}" for i in range(1, max(int(label[label < 254].max(initial=1)), 1) + 1)]
        )
        return write_result(tmp_path / "run", label, gray, **options)

    return make
