"""Events: a new phase, classes that vanish and appear, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emreel.result import StorageError
from emreel.stream import ClassPresence, Event, LabelledFrame, NewPhase, read_events
from emreel.stream.events import EventsFile
from emreel.stream.times import FrameTimes

UNKNOWN = 255


def framed(index: int, label: np.ndarray, status: str = "good") -> LabelledFrame:
    values, counts = np.unique(label, return_counts=True)
    arrays = {"label": label, "membership": None}
    label_px = {int(v): int(n) for v, n in zip(values, counts, strict=True)}
    read: Callable[[str], np.ndarray | None] = arrays.get
    return LabelledFrame(index, 0.1 * index, status, label_px, read)


def with_unknown(side: int, scattered: int = 0) -> np.ndarray:
    label = np.ones((64, 64), np.uint8)
    label[20 : 20 + side, 30 : 30 + side] = UNKNOWN
    label.ravel()[: 2 * scattered : 2] = UNKNOWN
    return label


def test_a_new_phase_is_told_once_where_it_is() -> None:
    listener = NewPhase(least_px2=30, n_frames=3, n_calibration=4)
    sides = [0, 1, 0, 2, 2, 2, 8, 8, 8, 8, 0, 0, 8, 8, 8]
    events = [event for i, side in enumerate(sides) for event in listener.add(framed(i, with_unknown(side)))]
    assert [(event.kind, event.frame) for event in events] == [("new_phase", 8), ("new_phase", 14)]
    assert events[0].values == {"area_px2": 64, "centroid_y_px": 23.5, "centroid_x_px": 33.5}
    assert list(listener.finish()) == []


def test_scattered_unknown_pixels_and_blank_frames_are_no_phase() -> None:
    listener = NewPhase(least_px2=30, n_calibration=2)
    for i in range(20):
        assert list(listener.add(framed(i, with_unknown(0, scattered=300)))) == []
    for i in range(20, 30):
        assert list(listener.add(framed(i, with_unknown(20), status="blank"))) == []


def test_classes_vanish_and_appear() -> None:
    listener = ClassPresence({1: "film", 2: "void"}, n_frames=2)
    rows = [0, 0, 1, 8, 8, 8, 0, 8, 0, 0, 0]
    events = []
    for i, n_rows in enumerate(rows):
        label = np.ones((64, 64), np.uint8)
        label[:n_rows] = 2
        events += list(listener.add(framed(i, label)))
    assert [(e.kind, e.frame, e.subject) for e in events] == [
        ("class_appears", 2, "void"),
        ("class_vanishes", 8, "void"),
    ]
    assert events[1].values == {"label": 2, "area_px2": 0}


def test_the_file_keeps_each_event_once(tmp_path: Path) -> None:
    file = EventsFile(tmp_path)
    assert file.append(Event(kind="a", frame=1, subject="x", values={"n": 2}))
    assert not file.append(Event(kind="a", frame=1, subject="x"))
    assert file.append(Event(kind="a", frame=2, subject="x"))
    content = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / "events.jsonl").write_bytes(content[:-9])
    assert [event["frame"] for event in read_events(tmp_path)] == [1]
    again = EventsFile(tmp_path)
    assert not again.append(Event(kind="a", frame=1, subject="x"))
    assert again.append(Event(kind="a", frame=2, subject="x"))
    assert (tmp_path / "events.jsonl").read_bytes() == content


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = EventsFile(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="no space left"):
        file.append(Event(kind="a", frame=1))


@given(known=st.dictionaries(st.integers(0, 40), st.just(0.0), max_size=20), n=st.integers(1, 60))
def test_times_between_and_beyond_are_even(known: dict[int, float], n: int) -> None:
    times = FrameTimes(None)
    for index in known:
        times.note(index, 3.0 + 0.25 * index)
    got = times.of(n)
    assert got.shape == (n,) and np.all(np.diff(got) > 0)
    if len({index for index in known if index < n}) > 1:
        np.testing.assert_allclose(got, 3.0 + 0.25 * np.arange(n))
    np.testing.assert_allclose(FrameTimes(0.5).of(n), 0.5 * np.arange(n))
