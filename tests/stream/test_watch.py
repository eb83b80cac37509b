"""Watching: stream equals batch, readers see whole frames, nothing is lost or repeated, faults are named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emreel.label import label_movie
from emreel.model import INVALID, Model, ModelError
from emreel.movie import make_movie
from emreel.result import LockError, ResultError, open_result, read_ledger, verify_result
from emreel.stream import (
    Arrival,
    Event,
    FolderSource,
    LabelledFrame,
    Policy,
    PushedFrames,
    Replay,
    StreamError,
    Watching,
    read_events,
    watch,
)

ALL_AT_ONCE = float("inf")


@pytest.fixture(scope="module")
def batch(front_movie: xr.DataArray, quick_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return label_movie(front_movie, quick_model, tmp_path_factory.mktemp("batch") / "r")


def assert_equal_to_batch(result: Any, batch: Any) -> None:
    np.testing.assert_array_equal(result.label.values, batch.label.values)
    np.testing.assert_array_equal(result.membership.values, batch.membership.values)
    np.testing.assert_array_equal(result.preview.values, batch.preview.values)
    np.testing.assert_array_equal(result.label.time, batch.label.time)
    assert result.table("class_fraction").equals(batch.table("class_fraction"))
    assert result.table("quality").equals(batch.table("quality"))


@pytest.mark.parametrize("policy", ["newest", "block:2", "drop-oldest:64", "every:1"])
@pytest.mark.parametrize("threads", [1, 2])
def test_stream_equals_batch_to_the_bit(
    policy: str, threads: int, front_movie: xr.DataArray, quick_model: Model, batch: Any, tmp_path: Path
) -> None:
    assert quick_model.lag and quick_model.survey
    how = Watching(policy=Policy.parse(policy), threads=threads)
    result = watch(Replay(front_movie, speed=ALL_AT_ONCE), quick_model, tmp_path / "r", how=how)
    assert_equal_to_batch(result, batch)
    assert verify_result(tmp_path / "r") == []
    status = result.facts["stream"]
    assert status["finished"] and status["n_labelled"] == 10 and status["n_dropped"] == status["n_skipped"] == 0
    assert 0 < status["latency_median_s"] <= status["latency_p99_s"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_of_single_frames_equals_its_batch(
    threads: int, front_movie: xr.DataArray, instant_model: Model, tmp_path: Path
) -> None:
    result = watch(Replay(front_movie, speed=ALL_AT_ONCE), instant_model, tmp_path / "r", how=Watching(threads=threads))
    assert_equal_to_batch(result, label_movie(front_movie, instant_model, tmp_path / "batch"))


def test_a_folder_that_fills_out_of_order(
    frames: np.ndarray, quick_model: Model, batch: Any, tmp_path: Path, write_frame: Any
) -> None:
    def instrument() -> None:
        for number in (0, 2, 1, 5, 3, 4, 7, 9, 8, 6):
            write_frame(tmp_path / "f", number, frames[number])
            time.sleep(0.03)

    (tmp_path / "f").mkdir()
    writer = threading.Thread(target=instrument)
    writer.start()
    source = FolderSource(tmp_path / "f", first=0, frame_time_s=0.5, pixel_size_nm=0.04)
    result = watch(source, quick_model, tmp_path / "r", how=Watching(idle_s=3.0))
    writer.join()
    np.testing.assert_array_equal(result.label.values, batch.label.values)
    np.testing.assert_allclose(result.label.time, 0.5 * np.arange(10))
    assert result.facts["stream"]["n_late"] > 0


def test_labels_can_be_read_while_the_movie_grows(
    frames: np.ndarray, quick_model: Model, batch: Any, tmp_path: Path
) -> None:
    source = PushedFrames(pixel_size_nm=0.04)
    seen: list[int] = []

    def detector() -> None:
        for index, frame in enumerate(frames):
            source.push(frame, time_s=1.0 * index)
            if index < quick_model.lag:
                continue
            n_told = index - quick_model.lag + 1
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:  # the next frame is taken when a reader has seen what there is
                if (tmp_path / "r" / "movie.zarr" / "zarr.json").exists():
                    label = open_result(tmp_path / "r", chunks=None).label
                    if len(label) == n_told and label[-1].values.any():
                        np.testing.assert_array_equal(label.values, batch.label.values[:n_told])
                        seen.append(n_told - 1)
                        break
                time.sleep(0.01)
        source.close()

    reader = threading.Thread(target=detector)
    reader.start()
    result = watch(source, quick_model, tmp_path / "r")
    reader.join()
    assert seen == list(range(10 - quick_model.lag))
    assert_equal_to_batch(result, batch)


class Stops:
    """A source that is interrupted after some frames."""

    name, pixel_size_nm, frame_time_s = "stops", 0.04, 1.0

    def __init__(self, frames: np.ndarray, n_before: int | None) -> None:
        self.frames, self.n_before, self.n_read, self.told = frames, n_before, 0, False
        self.read_places: list[int] = []

    @property
    def is_finished(self) -> bool:
        return self.told

    def poll(self) -> list[Arrival]:
        if self.n_before is not None and self.n_read >= self.n_before:
            raise KeyboardInterrupt
        new = [] if self.told else [Arrival(i, 1.0 * i) for i in range(len(self.frames))]
        self.told = self.n_before is None
        return new

    def read(self, index: int) -> np.ndarray:
        self.n_read += 1
        self.read_places.append(index)
        return self.frames[index]


@pytest.mark.parametrize(("name", "n_before"), [("quick_model", 11), ("instant_model", 6)])
def test_stopped_and_started_again_without_loss_or_repetition(
    name: str, n_before: int, frames: np.ndarray, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    many = np.concatenate([frames, frames])
    done: set[int] = set()
    for _ in range(3):
        source = Stops(many, n_before)
        with pytest.raises(KeyboardInterrupt):
            watch(source, model, tmp_path / "r")
        now = set(read_ledger(tmp_path / "r").done)
        last_done = max(done, default=-1)
        again = done & set(source.read_places)
        assert done <= now and again <= set(range(last_done + 1 - model.lag, last_done + 1)), "read without need"
        done = now
        assert not (tmp_path / "r" / "lock").exists()
        assert len(open_result(tmp_path / "r").label) == max(done) + 1, "what is done is shown"
    assert 5 < len(done) < 20
    result = watch(Stops(many, None), model, tmp_path / "r")
    movie = make_movie(many, frame_times_s=1.0 * np.arange(20), pixel_size_nm=0.04)
    assert_equal_to_batch(result, label_movie(movie, model, tmp_path / "batch"))


def test_another_model_source_or_writer_is_refused(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path, batch: Any
) -> None:
    watch(Replay(front_movie, speed=ALL_AT_ONCE), quick_model, tmp_path / "r")
    other = replace(quick_model, scatter=2 * quick_model.scatter)
    with pytest.raises(ResultError, match="model"):
        watch(Replay(front_movie, speed=ALL_AT_ONCE), other, tmp_path / "r")
    with pytest.raises(ResultError, match="source"):
        watch(PushedFrames(), quick_model, tmp_path / "r")
    with pytest.raises(ResultError, match="source"):
        label_movie(front_movie, quick_model, tmp_path / "r")
    with pytest.raises(ResultError, match="source"):
        watch(Replay(front_movie, speed=ALL_AT_ONCE), quick_model, batch.path)
    with pytest.raises(ModelError, match="pixels of 0.05 nm"):
        watch(
            Replay(make_movie(front_movie.values, pixel_size_nm=0.05), speed=ALL_AT_ONCE), quick_model, tmp_path / "s"
        )
    from emreel.result import acquire_lock

    with acquire_lock(tmp_path / "r"), pytest.raises(LockError, match=str(os.getpid())):
        watch(Replay(front_movie, speed=ALL_AT_ONCE), quick_model, tmp_path / "r")


def test_frames_that_cannot_be_read_are_labelled_invalid_and_named(
    frames: np.ndarray, instant_model: Model, tmp_path: Path, write_frame: Any
) -> None:
    labels = [instant_model.label(frame) for frame in frames]
    for number in range(10):
        write_frame(tmp_path / "f", number, frames[number])
    torn = tmp_path / "f" / "frame_3.tif"
    torn.write_bytes(torn.read_bytes()[:2000])
    write_frame(tmp_path / "f", 6, frames[6][:50])
    write_frame(tmp_path / "f", 7, frames[7].astype(np.float32))
    (tmp_path / "f" / "frame_8.tif").unlink()
    source = FolderSource(tmp_path / "f", patience_s=0.3)
    result = watch(source, instant_model, tmp_path / "r", how=Watching(idle_s=0.6))
    quality = result.table("quality").set_index("frame")
    assert list(quality.loc[[3, 6, 7], "status"]) == ["unreadable"] * 3
    assert "frame_3.tif cannot be read" in quality.loc[3, "reason"]
    assert "the first frame is" in quality.loc[6, "reason"] and "float32" in quality.loc[7, "reason"]
    assert quality.loc[8, "status"] == "missing"
    for index in (3, 6, 7):
        assert np.all(result.label.values[index] == INVALID)
    assert not result.label.values[8].any()
    for index in (0, 1, 2, 4, 5, 9):
        np.testing.assert_array_equal(result.label.values[index], labels[index])
    assert result.missing_blocks == (8,)


def test_a_frame_that_fails_for_a_moment_is_tried_again(frames: np.ndarray, quick_model: Model, tmp_path: Path) -> None:
    class Busy(Stops):
        name = "busy"
        failures = 3

        def read(self, index: int) -> np.ndarray:
            if index == 4 and self.failures:
                self.failures -= 1
                raise OSError("the share is busy")
            return super().read(index)

    result = watch(Busy(frames, None), quick_model, tmp_path / "r")
    assert list(result.table("quality")["status"]) == ["good"] * 10


def test_a_source_without_frames_is_an_error(quick_model: Model, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(StreamError, match=r"no frame came in 0\.\d s"):
        watch(FolderSource(tmp_path / "f"), quick_model, tmp_path / "r", how=Watching(idle_s=0.1))
    assert not (tmp_path / "r").exists()


def test_a_source_that_shrinks_stops_the_watching_and_keeps_what_is_done(
    frames: np.ndarray, quick_model: Model, tmp_path: Path
) -> None:
    class Shrinks(Stops):
        name = "shrinks"

        def poll(self) -> list[Arrival]:
            if self.n_read > 6:
                raise StreamError("it shrank from 10 to 2 frames")
            return [Arrival(i) for i in range(10)]

    with pytest.raises(StreamError, match="shrank"):
        watch(Shrinks(frames, None), quick_model, tmp_path / "r")
    assert read_ledger(tmp_path / "r").done
    assert verify_result(tmp_path / "r") == []


def test_drop_oldest_counts_and_names(frames: np.ndarray, instant_model: Model, tmp_path: Path) -> None:
    how = Watching(policy=Policy(kind="drop-oldest", n=3))
    result = watch(Stops(frames, None), instant_model, tmp_path / "r", how=how)
    status = result.facts["stream"]
    assert status["n_dropped"] >= 5
    assert status["n_labelled"] + status["n_dropped"] == 10
    quality = result.table("quality")
    assert (quality["status"] == "missing").sum() == status["n_dropped"]
    np.testing.assert_array_equal(result.label.values[9], instant_model.label(frames[9]))


def test_a_replay_keeps_its_own_time(front_movie: xr.DataArray, quick_model: Model, tmp_path: Path) -> None:
    started = time.monotonic()
    watch(Replay(front_movie, speed=4.0), quick_model, tmp_path / "r")
    assert time.monotonic() - started > 9.0 / 4.0
    with pytest.raises(StreamError, match="tells no frame times"):
        Replay(front_movie.values)


# ---------------------------------------------------------------------------------------------- events


class Recorder:
    """A listener that tells an event for every frame."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.labels: list[np.ndarray] = []

    def add(self, frame: LabelledFrame) -> Iterable[Event]:
        self.places.append(frame.index)
        self.labels.append(frame.label)
        assert frame.membership is not None and frame.membership.max() <= 1
        yield Event(kind="seen", frame=frame.index, time_s=frame.time_s, values={"sum": int(frame.label.sum())})

    def finish(self) -> Iterable[Event]:
        yield Event(kind="end", frame=max(self.places))


def test_listeners_get_each_frame_in_order_and_events_are_kept(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path, batch: Any
) -> None:
    listener, told = Recorder(), []
    how = Watching(threads=2)
    result = watch(
        Replay(front_movie, speed=ALL_AT_ONCE),
        quick_model,
        tmp_path / "r",
        how=how,
        listeners=[listener],
        on_event=told.append,
    )
    assert listener.places == list(range(10))
    np.testing.assert_array_equal(listener.labels, batch.label.values)
    events = read_events(tmp_path / "r")
    assert [event["event"] for event in events] == ["seen"] * 10 + ["end"]
    assert [event.to_dict() for event in told] == events
    assert all(json.loads(line) for line in (tmp_path / "r" / "events.jsonl").read_text().splitlines())
    assert list(result.table("events")["frame"]) == [*range(10), 9]
    watch(Replay(front_movie, speed=ALL_AT_ONCE), quick_model, tmp_path / "r", listeners=[Recorder()])
    assert read_events(tmp_path / "r") == events, "events were told again"


def test_listeners_do_not_wait_for_ever(frames: np.ndarray, quick_model: Model, tmp_path: Path) -> None:
    class Gap(Stops):
        name = "gap"

        def poll(self) -> list[Arrival]:
            return [arrival for arrival in super().poll() if arrival.index != 2]

    listener = Recorder()
    watch(Gap(frames, None), quick_model, tmp_path / "r", how=Watching(patience_s=0.1), listeners=[listener])
    assert listener.places == [0, 1, 3, 4, 5, 6, 7, 8, 9]


# -------------------------------------------------------------------------------------------- processes

KILLED = """
import sys, time
import numpy as np
from emreel.model import Model
from emreel.movie import make_movie
from emreel.stream import FolderSource, Watching, watch
print("ready", flush=True)
watch(FolderSource(sys.argv[1]), Model.load(sys.argv[2]), sys.argv[3], how=Watching(idle_s=1.0))
"""


def test_killed_at_any_moment_and_started_again(
    frames: np.ndarray, quick_model: Model, tmp_path: Path, write_frame: Any
) -> None:
    many = np.concatenate([frames] * 12)
    for number, frame in enumerate(many):
        write_frame(tmp_path / "f", number, frame)
    quick_model.save(tmp_path / "m.zarr")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "f"), str(tmp_path / "m.zarr"), str(tmp_path / "r")]
    done: set[int] = set()
    for delay_s in (0.6, 1.0, 0.8, 0.7):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert run.stdout is not None and run.stdout.readline() == b"ready\n"
        time.sleep(delay_s)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        if (tmp_path / "r" / "movie.zarr").exists():
            now = set(read_ledger(tmp_path / "r").done)
            assert done <= now
            assert verify_result(tmp_path / "r") == []
            done = now
    subprocess.run(command, check=True, capture_output=True)
    result = open_result(tmp_path / "r")
    assert result.is_complete
    movie = make_movie(many, pixel_size_nm=quick_model.pixel_size_nm)
    np.testing.assert_array_equal(result.label.values, label_movie(movie, quick_model, tmp_path / "b").label.values)
