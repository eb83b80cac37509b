"""Label a movie while it is being taken: ask the source, choose a frame, label it, write it, count it, tell of it.

One thread (the caller's) asks the source, surveys frames in their order, keeps the ledger and speaks to listeners;
others read, label and write frames. Each frame is labelled by the same calls of the model as in batch (so where labels
are kept still in time, ``model.lag`` frames after it came), written as one chunk of each array, counted in the ledger,
and then shown to readers. Stopping at any moment and watching again loses and repeats nothing; the few frames that the
next ones depend on are looked at again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.engine import single_threaded_kernels
from emreel.model import Model
from emreel.polycrystal import GrainState
from emreel.prepare.survey import Survey
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
    tell_alarm,
    write_frame_tables,
)
from emreel.stream.beginning import POLL_S, Beginning, Classes, begin_result
from emreel.stream.errors import StreamError
from emreel.stream.events import ClassPresence, Event, Listener, NewPhase
from emreel.stream.fitting import Fitting, FittingSource, begin_fit
from emreel.stream.lanes import Lanes, Policy
from emreel.stream.looking import Look, Looked
from emreel.stream.source import Arrival, FrameSource, Losing, Resumable
from emreel.stream.surveying import GrowingSurvey
from emreel.stream.task import DoneFrame, LabelFrame
from emreel.stream.telling import Teller
from emreel.stream.times import FrameTimes
from emreel.stream.versions import save_versions
from emreel.stream.window import InTime, Window
from emreel.track.polycrystal import last_grains

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
    model: Model | Fitting,
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
    model : a fitted one; or a `Fitting`, and the first frames make one, which later frames refine. Labels keep their
        meaning; the ledger's rows tell the version that gave them, ``facts["stream"]["versions"]`` where each began.
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
    with acquire_lock(path, break_foreign=how.break_lock) as lock:
        remove_partials(path)
        progress(StageStarted("watch"))
        fitting = None
        if isinstance(model, Fitting):
            source = fitting = begin_fit(source, model, Path(path), how.idle_s, how.patience_s, progress)
            model = fitting.version.model
        classes = model if fitting is None else fitting.classes
        _check(how, model)
        begun = begin_result(
            source,
            model,
            classes,
            Path(path),
            with_membership=how.with_membership,
            any_pixel_size=how.any_pixel_size,
            idle_s=how.idle_s,
            patience_s=how.patience_s,
            provenance=provenance or {},
            progress=progress,
        )
        ledger = open_ledger(path, lock, identity=begun.identity)
        if fitting is not None:
            save_versions(path, fitting.versions)
        store = GrowingStore(path)
        survey = GrowingSurvey(path, Survey(reference_mean=model.prepare.reference_mean)) if model.survey else None
        chosen = default_listeners(classes) if listeners is None else listeners
        teller = Teller(Path(path), store, chosen, on_event, how.patience_s)
        with single_threaded_kernels():
            _Watcher(source, model, how, begun, ledger, store, survey, teller, fitting, progress).run()
        if survey is not None:
            survey.write_table(store.layout.shape_tyx[0])
        write_frame_tables(path)
        name_missing_frames(path, {}, MISSING)
    result = open_result(path)
    tell_alarm(result, progress)
    return result


def default_listeners(model: Model | Classes) -> list[Listener]:
    """A new phase; classes that vanish and appear."""
    return [NewPhase(), ClassPresence(dict(enumerate(model.label_names, start=1)))]


def depends_on_order(model: Model) -> bool:
    """Whether a frame's labels or rows depend on those before it, or around it."""
    return bool(model.lag or model.survey or model.follow != "none" or model.grains is not None)


def _read_region(store: GrowingStore, frame: int) -> npt.NDArray[np.uint32]:
    region = store.read_frame(frame, "region")
    assert region is not None, "the layout has regions"
    return region


def _check(how: Watching, model: Model) -> None:
    if how.threads < 1:
        raise StreamError(f"got threads={how.threads}, wanted at least 1.")
    if model.follow != "none" and how.policy.kind != "block":
        raise StreamError(
            f"this model follows the movie frame by frame, which the policy '{how.policy}' does not. Use 'block'."
        )


class _Watcher:
    """One run of `watch`; all of it in one thread but the frames' tasks.

    A frame is looked at, surveyed in its order, and labelled when the frames around it that its labels depend on have
    been looked at as well.
    """

    def __init__(
        self,
        source: FrameSource,
        model: Model,
        how: Watching,
        begun: Beginning,
        ledger: Ledger,
        store: GrowingStore,
        survey: GrowingSurvey | None,
        teller: Teller,
        fitting: FittingSource | None,
        progress: Progress,
    ) -> None:
        self._source, self._model, self._how, self._ledger = source, model, how, ledger
        self._store, self._survey, self._teller, self._progress = store, survey, teller, progress
        glance = None if survey is None else survey.glance
        self._look = Look(source, store.layout, begun.dtype, begun.kept, glance)
        self._fitting = fitting
        self._label = LabelFrame(store, None if fitting is None else fitting.renumber)
        self._begins: dict[int, int] = {}  # version -> the first frame that it labelled
        self._grains: GrainState | None = None
        self._done_before = frozenset(ledger.done)
        in_order = depends_on_order(model)
        self._to_see = self._to_see_again() if in_order else frozenset()
        self._lanes = Lanes(how.policy, self._done_before, self._to_see, in_order=in_order)
        self._window = Window(model.lag, in_order=in_order)
        self._times = FrameTimes(source.frame_time_s) if store.has_times else None
        self._looking: dict[Future[Looked], Arrival] = {}
        self._labelling: set[Future[DoneFrame]] = set()
        self._turn: deque[int] = deque()  # places in the order in which they were given out, until they are looked at
        self._looked: dict[int, Looked] = {}
        self._due: deque[InTime] = deque()
        self._again: list[tuple[float, Arrival]] = []
        self._try_until: dict[int, float] = {}
        self._seen_at: dict[int, float] = {}
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES)
        self._waits_since: float | None = None
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
                    self._start_labels(pool)
                    self._start_looks(pool)
                    self._collect()
                    self._take_version()
                    finished = self._is_over and not self._is_busy and not len(self._window)
            self._teller.finish()
        finally:
            if self._survey is not None:
                self._survey.keep()
            self._show(finished)
            if self._fitting is not None:
                self._fitting.close()

    def _take_version(self) -> None:
        """A better model, if there is one, for the frames that are looked at from now on."""
        version = None if self._fitting is None else self._fitting.next_version()
        if self._fitting is None or version is None:
            return
        save_versions(self._ledger.path.parent, self._fitting.versions)
        self._model = version.model
        labels = ", ".join(map(str, version.labels))
        self._progress(Note(f"model version {version.number}: {version.model.n_clusters} phases, labels {labels}"))

    def _to_see_again(self) -> frozenset[int]:
        """Done frames that frames not done depend on, or that the survey has not got past."""
        done, lag = self._done_before, self._model.lag
        if not done:
            return frozenset()
        missing = [place for place in range(max(done) + 2) if place not in done]
        near = {place for hole in missing for place in range(hole - lag, hole + lag + 1)}
        behind = -1 if self._survey is None else self._survey.last
        unsurveyed = {place for place in done if self._survey is not None and place > behind}
        return frozenset(done & near | unsurveyed)

    def _take_up(self, begun: Beginning) -> None:
        if self._ledger.done:
            self._progress(Note(f"going on after {len(self._ledger.done)} frames"))
            if isinstance(self._source, Resumable) and not begun.arrivals:
                state = self._store.facts["provenance"]["source_state"]
                self._source.resume(state, self._ledger.done.keys() - self._to_see)
        for index in sorted(self._ledger.done):
            row = self._ledger.done[index].rows[0]
            self._note_time(row)
            self._teller.take(row)
            self._note_version(row)
            if "centers" in row:  # of a model that follows
                self._model = self._model.with_centers(row["centers"])
        if self._model.grains is not None:
            rows = (self._ledger.done[index].rows[0] for index in sorted(self._ledger.done, reverse=True))
            self._grains = last_grains(rows, self._model, partial(_read_region, self._store))
        self._offer(begun.arrivals)

    def _offer(self, arrivals: Iterable[Arrival]) -> None:
        now, n_before = time.monotonic(), self._lanes.counts.n_seen
        for arrival in arrivals:
            self._seen_at.setdefault(arrival.index, now)
            self._lanes.offer([arrival])
        if self._lanes.counts.n_seen > n_before:
            self._last_new = now

    @property
    def _is_busy(self) -> bool:
        """Whether anything but the window's frames is under way."""
        waiting = len(self._lanes) + len(self._looking) + len(self._labelling) + len(self._again)
        return bool(waiting + len(self._looked) + len(self._due))

    @property
    def _is_over(self) -> bool:
        """Whether no new frame is waited for."""
        idle_s = time.monotonic() - self._last_new
        return self._source.is_finished or (self._how.idle_s is not None and idle_s > self._how.idle_s)

    @property
    def _n_running(self) -> int:
        return len(self._looking) + len(self._labelling)

    def _start_labels(self, pool: ThreadPoolExecutor) -> None:
        over = self._is_over and not (len(self._lanes) + len(self._looking) + len(self._again) + len(self._looked))
        self._due.extend(self._window.due(self._is_settled, at_last=over))
        most = self._how.threads if self._model.grains is None else 1  # grains are followed frame by frame
        while self._due and self._n_running < self._how.threads and len(self._labelling) < most:
            now = self._due.popleft()
            drift = None if self._survey is None else self._survey.drift_of(now.frames)
            found = None if self._survey is None else self._survey.row(now.frame.index)
            self._labelling.add(pool.submit(self._label, now, drift, found, self._grains))

    def _is_settled(self, place: int) -> bool:
        """Whether a frame that is not looked at yet will not be."""
        return self._lanes.is_gone(place) or (place in self._done_before and place not in self._to_see)

    def _start_looks(self, pool: ThreadPoolExecutor) -> None:
        most = self._how.threads if self._model.follow == "none" else 1
        while self._n_running < self._how.threads and len(self._looking) < most:
            arrival = self._due_again() or self._next_arrival()
            if arrival is None:
                return
            self._looking[pool.submit(self._look, arrival, self._model)] = arrival

    def _next_arrival(self) -> Arrival | None:
        """The next frame; a place that stays empty is waited for as long as patience lasts."""
        now = time.monotonic()
        late = self._waits_since is not None and now - self._waits_since > self._how.patience_s
        arrival = self._lanes.take(at_last=self._is_over or late)
        if arrival is not None:
            self._waits_since = None
            self._turn.append(arrival.index)
        elif len(self._lanes):
            self._waits_since = now if self._waits_since is None else self._waits_since
        return arrival

    def _due_again(self) -> Arrival | None:
        due = [place for place, (when, _) in enumerate(self._again) if when <= time.monotonic()]
        return self._again.pop(due[0])[1] if due else None

    def _collect(self) -> None:
        if not self._n_running:
            time.sleep(POLL_S)
        running: list[Future[Any]] = [*self._looking, *self._labelling]
        done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for look in done & self._looking.keys():
            arrival = self._looking.pop(look)
            try:
                self._looked[arrival.index] = look.result()
            except OSError as error:
                self._try_again(arrival, error)
        self._take_turns()
        for label in done & self._labelling:
            self._labelling.remove(label)
            self._count(label.result())
        self._progress(StepsDone("watch", len(self._ledger.done), 0))
        if time.monotonic() > self._show_at and len(self._ledger.done) > self._n_shown:
            self._show(finished=False)
        self._teller.tell(self._lanes.is_gone)

    def _try_again(self, arrival: Arrival, error: OSError) -> None:
        now = time.monotonic()
        if now > self._try_until.setdefault(arrival.index, now + self._how.patience_s):
            arrival = Arrival(arrival.index, arrival.time_s, f"it cannot be read: {error}")
        self._again.append((now + 10 * POLL_S, arrival))

    def _take_turns(self) -> None:
        """Survey the frames that have been looked at, in their order, and put them into the window."""
        while self._turn and self._turn[0] in self._looked:
            index = self._turn.popleft()
            frame = self._looked.pop(index)
            if self._survey is not None:
                self._survey.step(index, frame.glance, self._store.layout.shape_tyx[1:], frame.fault)
            wanted = index not in self._done_before
            if wanted and self._model.follow != "none":
                self._model = frame.model
            late = self._window.add(frame, wanted=wanted)
            if late is not None:
                self._due.append(late)

    def _count(self, done: DoneFrame) -> None:
        index, row = done.arrival.index, done.record.rows[0]
        self._ledger.grow(index + 1)
        self._ledger.append(done.record)
        self._grains = done.grains
        self._note_time(row)
        self._teller.take(row, done.label)
        self._note_version(row)
        if self._fitting is not None:
            self._fitting.note(row)
        self._latencies_s.append(time.monotonic() - self._seen_at.pop(index, time.monotonic()))

    def _note_time(self, row: Mapping[str, Any]) -> None:
        if self._times is not None:
            self._times.note(int(row["frame"]), row.get("time_s"))

    def _note_version(self, row: Mapping[str, Any]) -> None:
        if "version" in row:
            frame = int(row["frame"])
            self._begins[row["version"]] = min(frame, self._begins.get(row["version"], frame))

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
            **({} if self._fitting is None else {"versions": self._versions(self._fitting)}),
            **(self._source.lost if isinstance(self._source, Losing) else {}),
            **latencies,
        }

    def _versions(self, fitting: FittingSource) -> list[dict[str, Any]]:
        """Each version that has labelled a frame: its number, first frame, digest, and its classes' labels."""
        return [
            {
                "version": one.number,
                "from_frame": self._begins[one.number],
                "model": one.model.digest,
                "labels": list(one.labels),
            }
            for one in fitting.versions
            if one.number in self._begins
        ]
