"""The result of a stream: created when the first frame is there, or found and gone on with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.model import Model
from emreel.progress import Note, Progress, StepsDone
from emreel.result import create_store, is_result, plan_growing_layout, read_facts
from emreel.stream.errors import StreamError
from emreel.stream.source import Arrival, FrameSource, Resumable

#: How often a source is asked, s.
POLL_S = 0.005


@dataclass(frozen=True)
class Classes:
    """What a result's labels are where no single model says it: their source; names and colours (#rrggbb) from 1 on."""

    digest: str
    label_names: tuple[str, ...]
    label_colors: tuple[str, ...]


@dataclass(frozen=True)
class Beginning:
    """What the first frame told: frames that have come, pixels that are read already, the dtype of all."""

    identity: Mapping[str, Any]
    arrivals: tuple[Arrival, ...]
    kept: dict[int, npt.NDArray[Any]]
    dtype: str


def begin_result(
    source: FrameSource,
    model: Model,
    classes: Model | Classes,
    path: Path,
    *,
    with_membership: bool,
    any_pixel_size: bool,
    idle_s: float | None,
    patience_s: float,
    provenance: Mapping[str, Any],
    progress: Progress,
) -> Beginning:
    """Find the result of this source, or wait for its first frame and create it, with ``model`` as its model.zarr.

    Raises
    ------
    StreamError : no frame came in time, or the first cannot be read. emreel.model.ModelError : the pixel sizes differ.
    """

    def check() -> None:
        if not any_pixel_size:
            model.check_pixel_size(source.pixel_size_nm)

    identity = {"source": source.name, "model": classes.digest, "membership": with_membership}
    if is_result(path):
        check()
        return Beginning(identity, (), {}, str(read_facts(path)["provenance"].get("movie", {}).get("dtype")))
    arrivals = wait_for_first(source, idle_s, progress)
    first = next(arrival for arrival in arrivals if not arrival.fault)
    frame = read_first(source, first.index, patience_s)
    check()
    model.save(path / "model.zarr")
    create_store(
        path,
        plan_growing_layout(
            (frame.shape[0], frame.shape[1]),
            model.stride,
            len(classes.label_names),
            with_membership=with_membership,
            with_regions=model.grains is not None,
            with_orientation=model.grains is not None,
        ),
        identity=identity,
        label_names=classes.label_names,
        label_colors=[tuple(bytes.fromhex(color[1:7])) for color in classes.label_colors],
        times_s=None if first.time_s is None else [first.time_s],
        pixel_size_nm=source.pixel_size_nm,
        provenance={
            "movie": {"source": source.name, "dtype": str(frame.dtype), "pixel_size_nm": source.pixel_size_nm},
            "model": model.provenance.to_dict(),
            "source_state": source.state if isinstance(source, Resumable) else {},
            **provenance,
        },
    )
    return Beginning(identity, tuple(arrivals), {first.index: frame}, str(frame.dtype))


def wait_for_first(source: FrameSource, idle_s: float | None, progress: Progress) -> list[Arrival]:
    """All arrivals up to the first poll that brings a frame that can be read."""
    started = time.monotonic()
    progress(Note(f"waiting for the first frame of {source.name}"))
    arrivals: list[Arrival] = []
    while True:
        arrivals += source.poll()
        if any(not arrival.fault for arrival in arrivals):
            return arrivals
        waited = time.monotonic() - started
        if source.is_finished or (idle_s is not None and waited > idle_s):
            raise StreamError(f"{source.name}: no frame came in {waited:.1f} s. Is this the right place?")
        progress(StepsDone("watch", 0, 0))
        time.sleep(POLL_S)


def read_first(source: FrameSource, index: int, patience_s: float) -> npt.NDArray[Any]:
    """A frame that all others depend on, tried for a while. Raises StreamError."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            frame = np.asarray(source.read(index))
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise StreamError(f"{source.name}: the first frame cannot be read: {error}.") from error
            time.sleep(POLL_S)
    if frame.ndim != 2 or 0 in frame.shape or frame.dtype.kind not in "iuf":
        raise StreamError(f"{source.name}: got a frame of {frame.dtype} {frame.shape}, wanted counts (y, x).")
    return frame
