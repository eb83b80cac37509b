"""A labelled movie of a film that turns amorphous, with its truth; and results written from given labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from emreel.label import label_movie
from emreel.model import Model
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

IDENTITY = {"movie": "m", "model": "k"}
MakeResult = Callable[..., Result]


@pytest.fixture(scope="session")
def labelled_front(tmp_path_factory: pytest.TempPathFactory, front_movie: xr.DataArray, front_model: Model) -> Path:
    """The small front movie as a result; copy it before writing."""
    path = tmp_path_factory.mktemp("track") / "front"
    label_movie(front_movie, front_model, path)
    return path


@pytest.fixture
def front_result(tmp_path: Path, labelled_front: Path) -> Result:
    """A copy that a test may write tables into."""
    return open_result(shutil.copytree(labelled_front, tmp_path / "front"))


@pytest.fixture
def make_result(tmp_path: Path) -> MakeResult:
    """A result of these labels (time, y, x), grey all over or with the frames given."""

    def make(
        label: npt.NDArray[np.uint8],
        gray: npt.NDArray[np.uint8] | None = None,
        *,
        times_s: npt.ArrayLike | None = None,
        pixel_size_nm: float | None = None,
        name: str = "run",
        n_classes: int | None = None,
    ) -> Result:
        n = n_classes or int(label[label < 254].max(initial=1))
        layout = plan_layout(label.shape, 1, n, frames_per_block=2, with_membership=False)
        create_store(
            tmp_path / name,
            layout,
            identity=IDENTITY,
            label_names=[f"phase {k}" for k in range(1, n + 1)],
            label_colors=[(10 * k, 100, 200) for k in range(1, n + 1)],
            times_s=times_s,
            pixel_size_nm=pixel_size_nm,
        )
        gray = np.full(label.shape, 200, np.uint8) if gray is None else gray
        with acquire_lock(tmp_path / name) as lock:
            ledger = open_ledger(tmp_path / name, lock, identity=IDENTITY)
            for block in layout.blocks():
                part = slice(*block.frames)
                sums = write_block(tmp_path / name, layout, block, label=label[part].copy(), preview=gray[part].copy())
                rows: list[dict[str, Any]] = [
                    {"frame": block.frames[0] + i, "status": "good", "label_px": px}
                    for i, px in enumerate(count_labels(label[part]))
                ]
                ledger.append(Record(block=block, checksums=sums, rows=tuple(rows)))
        write_frame_tables(tmp_path / name)
        return open_result(tmp_path / name)

    return make
