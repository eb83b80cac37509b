"""A whole movie into a result on disk, on the active scheduler; and damaged blocks mended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emreel.label.blocks import label_missing
from emreel.label.layout import create_result
from emreel.label.surveying import survey_for_labels
from emreel.model import Model
from emreel.movie import check_movie, pixel_size_nm
from emreel.progress import Progress, ignore
from emreel.provenance import describe_movie, movie_digest
from emreel.result import (
    Result,
    ResultError,
    acquire_lock,
    forget_blocks,
    is_result,
    open_ledger,
    open_result,
    read_layout,
    remove_partials,
    tell_alarm,
    verify_result,
    write_frame_tables,
    write_quarantine,
)


def label_movie(
    movie: object,
    model: Model,
    path: str | os.PathLike[str],
    *,
    with_membership: bool = True,
    any_pixel_size: bool = False,
    break_lock: bool = False,
    stop_on_error: bool = False,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = ignore,
) -> Result:
    """Label every frame of a movie on the active Dask scheduler, into the result at ``path``.

    An unfinished result of the same movie and model goes on where it stopped; the bytes are those of one
    uninterrupted run. Blocks that cannot be read, exhaust the memory, or kill their workers are quarantined: tried once
    more alone, then left out (``missing_blocks`` of the result; the table ``quarantine`` says why); a later run tries
    them again.

    Parameters
    ----------
    movie : a movie, see `emreel.open_movie`. ``path`` : the result's folder; made if it is missing.
    with_membership : write each class's posterior as well, on the descriptor's grid.
    any_pixel_size : label although the pixel size differs from the model's by more than 1 %.
    break_lock : take over a lock that another host left.
    stop_on_error : stop at the first block that fails, instead of quarantining it; as models that follow the movie do.
    provenance : plain JSON kept with the result, beside the movie's and the model's own.

    Returns
    -------
    Result : see `emreel.open_result`.

    Raises
    ------
    emreel.model.ModelError : the pixel sizes differ.
    emreel.result.ResultError : the folder holds something else, or a result of another movie or model.
    emreel.result.LockError : another run writes there.
    emreel.result.StorageError : the disk is full or refuses; what is done stays.
    """
    parsed = check_movie(movie)
    if not any_pixel_size:
        model.check_pixel_size(pixel_size_nm(parsed))
    digest = movie_digest(parsed)
    identity = {"movie": digest, "model": model.digest, "membership": with_membership}
    known = {"movie": describe_movie(parsed, digest), "model": model.provenance.to_dict(), **(provenance or {})}
    with acquire_lock(path, break_foreign=break_lock) as lock:
        remove_partials(path)
        if not is_result(path):
            create_result(path, parsed, model, identity, known, with_membership)
        ledger = open_ledger(path, lock, identity=identity)
        found = survey_for_labels(parsed, model, path, progress)
        failed = label_missing(parsed, model, Path(path), ledger, found, progress, stop_on_error)
        write_frame_tables(path)
        write_quarantine(path, failed)
        remove_partials(path)  # of workers that were killed
    result = open_result(path)
    tell_alarm(result, progress)
    return result


def repair_result(
    path: str | os.PathLike[str], movie: object, *, break_lock: bool = False, progress: Progress = ignore
) -> int:
    """Find damaged blocks and compute them again from the movie. Returns how many there were.

    Raises
    ------
    emreel.result.ResultError : the movie is not the one that the result was made from.
    """
    with acquire_lock(path, break_foreign=break_lock) as lock:
        damages = verify_result(path)
        beyond = [str(damage) for damage in damages if damage.block is None]
        if beyond:
            raise ResultError(f"{os.fspath(path)} cannot be mended block by block ({beyond[0]}). Label the movie anew.")
        damaged = {damage.block for damage in damages if damage.block is not None}
        forget_blocks(path, damaged, lock)
    layout = read_layout(path)
    model = Model.load(Path(path) / "model.zarr")
    label_movie(
        movie,
        model,
        path,
        with_membership=layout.with_membership,
        any_pixel_size=True,
        break_lock=break_lock,
        progress=progress,
    )
    return len(damaged)
