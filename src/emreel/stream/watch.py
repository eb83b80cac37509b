"""Label a movie while it is being taken: ask the source, choose a frame, label it, write it, count it, tell of it.

One thread (the caller's) asks the source, keeps the ledger and speaks to listeners; others read, label and write
frames. Each frame is labelled by the same call of the model as in batch, written as one chunk of each array, counted in
the ledger, and then shown to readers. Stopping at any moment and watching again loses and repeats nothing.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emreel.model import Model
from emreel.progress import Note, Progress, StageStarted, StepsDone, ignore
from emreel.result import (
    GrowingStore,
    Ledger,
    Result,
    acquire_lock,
    name_missing_frames,
    open_ledger,
    open_result,
    remove_partials,
    write_frame_tables,
)
from emreel.stream.beginning import POLL_S, Beginning, begin_result
from emreel.stream.errors import StreamError
from emreel.stream.events import ClassPresence, Event, Listener, NewPhase
from emreel.stream.lanes import Lanes, Policy
from emreel.stream.source import Arrival, FrameSource, Losing, Resumable
from emreel.stream.task import DoneFrame, FrameTask
from emreel.stream.telling import Teller
from emreel.stream.times import FrameTimes

#: Readers are told of new frames after so many seconds, or after so many times what telling them last took.
SHOW_S, SHOW_SHARE = 0.05, 10
#: Status and reason of frames without labels, in the table ``quality``.
MISSING = ("missing", "not labelled: late, dropped or never there")
#: Latencies that the status is told from.
LATENCIES = 4096


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How a source is watched.

    policy : which frame comes next, see `emreel.stream.lanes`.
    idle_s : end after so many seconds without a new frame; None: only when the source says that it is finished.
    threads : frames labelled at once.
    patience_s : how long a frame that cannot be read is tried again, and listeners wait for a frame that is late.
    """

    policy: Policy = field(default_factory=Policy)
    idle_s: float | None = None
    threads: int = 1
    patience_s: float = 10.0
    with_membership: bool = True
    any_pixel_size: bool = False
    break_lock: bool = False


def watch(
    source: FrameSource,
    model: Model,
    path: str | os.PathLike[str],
    *,
    how: Watching | None = None,
    listeners: Sequence[Listener] | None = None,
    on_event: Callable[[Event], None] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = ignore,
) -> Result:
    """Label the frames of a source as they come, into the result at ``path``; goes on with a result of the same source.

    Parameters
    ----------
    listeners : look at frames in their order and tell events; `default_listeners` when left out.
    on_event : called with each event at once, in this thread; what it raises ends the watching.
    provenance : plain JSON kept with the result.

    Returns
    -------
    Result : opened; ``facts["stream"]`` tells counts and latencies. Its files are one a frame (see `compact_result`).

    Raises
    ------
    StreamError : no frame came; the source shrank; a policy that does not fit the model.
    emreel.model.ModelError : the pixel sizes differ.
    emreel.result.ResultError, LockError, StorageError : as `emreel.label_movie`.
    """
    how = how or Watching()
    _check(how, model)
    chosen = default_listeners(model) if listeners is None else listeners
    with acquire_lock(path, break_foreign=how.break_lock) as lock:
        remove_partials(path)
        progress(StageStarted("watch"))
        begun = begin_result(
            source,
            model,
            Path(path),
            with_membership=how.with_membership,
            any_pixel_size=how.any_pixel_size,
            idle_s=how.idle_s,
            patience_s=how.patience_s,
            provenance=provenance or {},
            progress=progress,
        )
        ledger = open_ledger(path, lock, identity=begun.identity)
        store = GrowingStore(path)
        teller = Teller(Path(path), store, chosen, on_event, how.patience_s)
        _Watcher(source, model, how, begun, ledger, store, teller, progress).run()
        write_frame_tables(path)
        name_missing_frames(path, {}, MISSING)
    return open_result(path)


def default_listeners(model: Model) -> list[Listener]:
    """A new phase; classes that vanish and appear."""
    return [NewPhase(), ClassPresence(dict(enumerate(model.label_names, start=1)))]


def _check(how: Watching, model: Model) -> None:
    if how.threads < 1:
        raise StreamError(f"got threads={how.threads}, wanted at least 1.")
    if model.follow != "none" and how.policy.kind != "block":
        raise StreamError(
            f"this model follows the movie frame by frame, which the policy '{how.policy}' does not. Use 'block'."
        )


class _Watcher:
    """One run of `watch`; all of it in one thread but the frames' tasks."""

    def __init__(
        self,
        source: FrameSource,
        model: Model,
        how: Watching,
        begun: Beginning,
        ledger: Ledger,
        store: GrowingStore,
        teller: Teller,
        progress: Progress,
    ) -> None:
        self._source, self._model, self._how, self._ledger = source, model, how, ledger
        self._store, self._teller, self._progress = store, teller, progress
        self._task = FrameTask(source, store, begun.dtype, begun.kept)
        self._in_order = model.follow != "none"
        self._lanes = Lanes(how.policy, ledger.done.keys(), in_order=self._in_order)
        self._times = FrameTimes(source.frame_time_s) if store.has_times else None
        self._running: dict[Future[DoneFrame], Arrival] = {}
        self._again: list[tuple[float, Arrival]] = []
        self._try_until: dict[int, float] = {}
        self._seen_at: dict[int, float] = {}
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES)
        self._last_new, self._show_at, self._n_shown = time.monotonic(), 0.0, 0
        self._take_up(begun)

    def run(self) -> None:
        """Until the source is finished, or idle for long enough."""
        finished = False
        try:
            with ThreadPoolExecutor(self._how.threads, thread_name_prefix="emreel-watch") as pool:
                while not finished:
                    if self._lanes.has_room and not self._source.is_finished:
                        self._offer(self._source.poll())
                    self._start(pool)
                    self._collect()
                    waiting = len(self._lanes) + len(self._running) + len(self._again)
                    finished = not waiting and self._is_over
            self._teller.finish()
        finally:
            self._show(finished)

    def _take_up(self, begun: Beginning) -> None:
        if self._ledger.done:
            self._progress(Note(f"going on after {len(self._ledger.done)} frames"))
            if isinstance(self._source, Resumable) and not begun.arrivals:
                self._source.resume(self._store.facts["provenance"]["source_state"], self._ledger.done.keys())
        for index in sorted(self._ledger.done):
            row = self._ledger.done[index].rows[0]
            self._note_time(row)
            self._teller.take(row)
            if "centers" in row:  # of a model that follows
                self._model = self._model.with_centers(row["centers"])
        self._offer(begun.arrivals)

    def _offer(self, arrivals: Iterable[Arrival]) -> None:
        now, n_before = time.monotonic(), self._lanes.counts.n_seen
        for arrival in arrivals:
            self._seen_at.setdefault(arrival.index, now)
            self._lanes.offer([arrival])
        if self._lanes.counts.n_seen > n_before:
            self._last_new = now

    @property
    def _is_over(self) -> bool:
        """Whether no new frame is waited for."""
        idle_s = time.monotonic() - self._last_new
        return self._source.is_finished or (self._how.idle_s is not None and idle_s > self._how.idle_s)

    def _start(self, pool: ThreadPoolExecutor) -> None:
        most = 1 if self._in_order else self._how.threads
        while len(self._running) < most:
            arrival = self._due_again() or self._lanes.take(at_last=self._is_over)
            if arrival is None:
                return
            self._running[pool.submit(self._task, arrival, self._model)] = arrival

    def _due_again(self) -> Arrival | None:
        due = [place for place, (when, _) in enumerate(self._again) if when <= time.monotonic()]
        return self._again.pop(due[0])[1] if due else None

    def _collect(self) -> None:
        if not self._running:
            time.sleep(POLL_S)
        done, _ = wait(self._running, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in done:
            arrival = self._running.pop(future)
            try:
                self._count(future.result())
            except OSError as error:
                self._try_again(arrival, error)
        self._progress(StepsDone("watch", len(self._ledger.done), 0))
        if time.monotonic() > self._show_at and len(self._ledger.done) > self._n_shown:
            self._show(finished=False)
        self._teller.tell(self._lanes.is_gone)

    def _try_again(self, arrival: Arrival, error: OSError) -> None:
        now = time.monotonic()
        if now > self._try_until.setdefault(arrival.index, now + self._how.patience_s):
            arrival = Arrival(arrival.index, arrival.time_s, f"it cannot be read: {error}")
        self._again.append((now + 10 * POLL_S, arrival))

    def _count(self, done: DoneFrame) -> None:
        index, row = done.arrival.index, done.record.rows[0]
        self._ledger.grow(index + 1)
        self._ledger.append(done.record)
        self._model = done.model if self._in_order else self._model
        self._note_time(row)
        self._teller.take(row, done.label)
        self._latencies_s.append(time.monotonic() - self._seen_at.pop(index, time.monotonic()))

    def _note_time(self, row: Mapping[str, Any]) -> None:
        if self._times is not None:
            self._times.note(int(row["frame"]), row.get("time_s"))

    def _show(self, finished: bool) -> None:
        started = time.monotonic()
        if self._ledger.done:
            n_frames = max(self._ledger.layout.shape_tyx[0], self._store.layout.shape_tyx[0])
            times = None if self._times is None else self._times.of(n_frames)
            self._store.show(n_frames, times, self._status(finished))
        now = time.monotonic()
        self._show_at, self._n_shown = now + max(SHOW_S, SHOW_SHARE * (now - started)), len(self._ledger.done)

    def _status(self, finished: bool) -> dict[str, Any]:
        latencies = {}
        if self._latencies_s:
            median, high = np.percentile(list(self._latencies_s), [50, 99])
            latencies = {"latency_median_s": round(float(median), 4), "latency_p99_s": round(float(high), 4)}
        n_done = len(self._ledger.done)
        return {
            "finished": finished,
            "policy": str(self._how.policy),
            "n_labelled": n_done,
            **asdict(self._lanes.counts),
            **(self._source.lost if isinstance(self._source, Losing) else {}),
            **latencies,
        }
