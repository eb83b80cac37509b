"""A source whose first frames make a first model, and whose later ones a better one, while they are labelled.

`FittingSource` stands between a source and `emreel.stream.watch`: it hands every frame on, and keeps some, spread
evenly over what has come. A new model is fitted on those in a thread of its own when the movie has grown to twice its
length, or when pixels that fit no phase stay; `emreel.stream.versions` gives it the labels of the one before.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.fit import fit_model
from emreel.model import LABEL_COLORS, UNKNOWN, FrameLabels, Model
from emreel.movie import EmreelError, make_movie
from emreel.progress import Note, Progress, StepsDone, ignore
from emreel.recipe import GrainsStep, Recipe
from emreel.result import is_result
from emreel.stream.beginning import POLL_S, Classes, read_first, wait_for_first
from emreel.stream.errors import StreamError
from emreel.stream.source import Arrival, FrameSource, Losing, Resumable
from emreel.stream.versions import MOST_LABELS, Version, first_version, load_versions

#: What a result's labels come from, instead of one model's digest.
SOURCE = "fitted while watching"
#: Unknown pixels are a sign when they are this share of a frame, in so many frames one after another.
UNKNOWN_SHARE, UNKNOWN_FRAMES = 0.002, 3


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How a model is fitted while the movie is being taken.

    recipe : as for `emreel.fit_model`; labels are those of single frames, whatever it says of time and grains.
    first_frames : frames that the first model is fitted on. most_frames : kept in memory for the later ones.
    """

    recipe: Recipe = field(default_factory=Recipe)
    first_frames: int = 8
    most_frames: int = 32

    def __post_init__(self) -> None:
        if self.first_frames < 1 or self.most_frames < self.first_frames:
            raise StreamError(
                f"got first_frames={self.first_frames}, most_frames={self.most_frames}; wanted 1 at least, and no "
                "fewer kept than the first model needs."
            )
        if self.recipe.time.follow != "none":
            raise StreamError("a model that follows frame by frame cannot be fitted while it labels. Give a model.")


def begin_fit(
    source: FrameSource, how: Fitting, path: Path, idle_s: float | None, patience_s: float, progress: Progress
) -> FittingSource:
    """The source with a first model, or with those that the result at ``path`` has. Raises as `FittingSource.begin`."""
    fitting = FittingSource(source, how, progress)
    if is_result(path):
        fitting.versions = load_versions(path)
    else:
        fitting.begin(idle_s, patience_s)
    return fitting


class FittingSource:
    """A source (see `FrameSource`) that keeps frames and fits models on them. All but `read` is for one thread."""

    def __init__(self, source: FrameSource, how: Fitting, progress: Progress = ignore) -> None:
        self._source, self._how, self._progress = source, how, progress
        self.name, self.pixel_size_nm, self.frame_time_s = source.name, source.pixel_size_nm, source.frame_time_s
        self._waiting: list[Arrival] = []
        self._first: dict[int, npt.NDArray[Any]] = {}
        self._lock = threading.Lock()
        self._kept: dict[int, npt.NDArray[Any]] = {}
        self._recent: deque[tuple[int, npt.NDArray[Any]]] = deque(maxlen=max(UNKNOWN_FRAMES, 4))
        self._step, self._n_read, self._n_unknown = 1, 0, 0
        self._next_fit = 2 * how.first_frames
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="emreel-fit")
        self._running: Future[Version] | None = None
        self.versions: list[Version] = []

    # ---------------------------------------------------------------------------------------- as a source

    @property
    def is_finished(self) -> bool:
        return self._source.is_finished and not self._waiting

    def poll(self) -> Sequence[Arrival]:
        waiting, self._waiting = self._waiting, []
        return [*waiting, *self._source.poll()]

    def read(self, index: int) -> npt.NDArray[Any]:
        with self._lock:
            frame = self._first.pop(index, None)
        if frame is None:
            frame = np.asarray(self._source.read(index))
        self._keep(index, frame)
        return frame

    @property
    def state(self) -> Mapping[str, Any]:
        return self._source.state if isinstance(self._source, Resumable) else {}

    def resume(self, state: Mapping[str, Any], done: Set[int]) -> None:
        if isinstance(self._source, Resumable):
            self._source.resume(state, done)

    @property
    def lost(self) -> Mapping[str, int]:
        return self._source.lost if isinstance(self._source, Losing) else {}

    # ---------------------------------------------------------------------------------------- as a fit

    @property
    def classes(self) -> Classes:
        """Room for all phases that may come."""
        colors = tuple(LABEL_COLORS[i % len(LABEL_COLORS)] for i in range(MOST_LABELS))
        return Classes(SOURCE, tuple(f"phase {i + 1}" for i in range(MOST_LABELS)), colors)

    @property
    def version(self) -> Version:
        """The one that frames are labelled with now."""
        return self.versions[-1]

    def begin(self, idle_s: float | None, patience_s: float) -> None:
        """Wait for the first frames and fit the first model; fewer do when no more come for ``idle_s``.

        Raises
        ------
        StreamError : no frame came. emreel.fit.FitError : no model can be fitted on them.
        """
        self._waiting = wait_for_first(self._source, idle_s, self._progress)
        last_new = time.monotonic()
        while len(self._readable) < self._how.first_frames and not self._source.is_finished:
            new = self._source.poll()
            self._waiting.extend(new)
            last_new = time.monotonic() if new else last_new
            if idle_s is not None and time.monotonic() - last_new > idle_s:
                break
            self._progress(StepsDone("watch", 0, 0))
            time.sleep(POLL_S)
        chosen = self._readable[: self._how.first_frames]
        self._first = {index: read_first(self._source, index, patience_s) for index in chosen}
        shape = self._first[chosen[0]].shape
        alike = [frame for frame in self._first.values() if frame.shape == shape]
        self._progress(Note(f"fitting a first model on {len(alike)} frames"))
        self.versions = [first_version(self._fit(alike, self._how.recipe))]

    def note(self, row: Mapping[str, Any]) -> None:
        """A frame is labelled: its row of the ledger."""
        counts = {int(value): int(n) for value, n in row.get("label_px", {}).items()}
        over = counts.get(UNKNOWN, 0) > UNKNOWN_SHARE * max(sum(counts.values()), 1)
        self._n_unknown = self._n_unknown + 1 if over else 0

    def next_version(self) -> Version | None:
        """A new version, once: when it is there. Starts to fit one when it is time."""
        if self._running is None:
            if self._is_due:
                self._next_fit, self._n_unknown = 2 * self._n_read, 0
                self._running = self._pool.submit(self._refit, self.version, self._sample())
            return None
        if not self._running.done():
            return None
        ended, self._running = self._running, None
        try:
            version = ended.result()
        except EmreelError as error:
            self._progress(Note(f"the model stays as it is: {error}"))
            return None
        self.versions.append(version)
        return version

    def renumber(self, model: Model, found: FrameLabels) -> tuple[FrameLabels, int]:
        """What a model says of a frame, in labels of the result; and the number of its version."""
        version = next(one for one in reversed(self.versions) if one.model is model)
        return version.renumber(found), version.number

    def close(self) -> None:
        """Wait for what is being fitted; nobody needs it any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ---------------------------------------------------------------------------------------- inside

    @property
    def _readable(self) -> list[int]:
        return list(dict.fromkeys(arrival.index for arrival in self._waiting if not arrival.fault))

    @property
    def _is_due(self) -> bool:
        return self._n_read >= self._next_fit or self._n_unknown >= UNKNOWN_FRAMES

    def _keep(self, index: int, frame: npt.NDArray[Any]) -> None:
        """Keep every ``_step``-th frame, and the last few."""
        with self._lock:
            self._n_read += 1
            self._recent.append((index, frame))
            if index % self._step == 0:
                self._kept[index] = frame
            while len(self._kept) > self._how.most_frames:
                self._step *= 2
                self._kept = {at: kept for at, kept in self._kept.items() if at % self._step == 0}

    def _sample(self) -> list[npt.NDArray[Any]]:
        with self._lock:
            chosen = self._kept | dict(self._recent)
        frames = [chosen[index] for index in sorted(chosen)]
        return [frame for frame in frames if frame.shape == frames[0].shape and frame.dtype == frames[0].dtype]

    def _refit(self, version: Version, frames: list[npt.NDArray[Any]]) -> Version:
        recipe = self._how.recipe
        fields = {**recipe.descriptor.fields, "stride": version.model.stride}
        pinned = replace(recipe, descriptor=replace(recipe.descriptor, fields=fields))
        return version.follow(self._fit(frames, pinned), frames)

    def _fit(self, frames: Sequence[npt.NDArray[Any]], recipe: Recipe) -> Model:
        single = replace(recipe, time=replace(recipe.time, steady=False), grains=GrainsStep(find="never"))
        return fit_model(make_movie(np.stack(frames), pixel_size_nm=self.pixel_size_nm), single)
