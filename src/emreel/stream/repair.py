"""Damaged frames of a watched result, labelled again from the source that still keeps them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from emreel.model import Model
from emreel.progress import Progress, ignore
from emreel.result import ResultError, acquire_lock, forget_blocks, read_facts, read_layout, verify_result
from emreel.stream.fitting import SOURCE, Fitting
from emreel.stream.source import FrameSource
from emreel.stream.watch import Watching, watch


def repair_watched(
    source: FrameSource,
    path: str | os.PathLike[str],
    *,
    how: Watching | None = None,
    progress: Progress = ignore,
) -> int:
    """Find damaged frames and watch the source again, which labels them and what else is missing. Returns how many.

    Where the model was fitted while watching, its last version labels them; their rows in the ledger tell so.

    Raises
    ------
    emreel.result.ResultError : the result was compacted, or another source. StreamError : no frame is left there.
    """
    how = how or Watching()
    layout = read_layout(path)
    if not layout.grows:
        raise ResultError(f"{os.fspath(path)} was compacted; its frames are not mended one by one. Watch it anew.")
    with acquire_lock(path, break_foreign=how.break_lock) as lock:
        damages = verify_result(path)
        beyond = [str(damage) for damage in damages if damage.block is None]
        if beyond:
            raise ResultError(f"{os.fspath(path)} cannot be mended frame by frame ({beyond[0]}). Watch it anew.")
        damaged = {damage.block for damage in damages if damage.block is not None}
        forget_blocks(path, damaged, lock)
    fitted = read_facts(path)["identity"]["model"] == SOURCE
    model = Fitting() if fitted else Model.load(Path(path) / "model.zarr")
    how = replace(how, with_membership=layout.with_membership, any_pixel_size=True)
    watch(source, model, path, how=how, progress=progress)
    return len(damaged)
