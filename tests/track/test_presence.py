"""Classes that vanish and appear: the same events from a finished result as from a live movie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emreel.result import Result
from emreel.stream import ClassPresence, LabelledFrame
from emreel.track.presence import presence_events


def test_a_finished_result_tells_the_events_of_the_live_one(make_result: Callable[..., Result]) -> None:
    movie = np.ones((14, 40, 40), np.uint8)
    movie[:5, :10] = 2
    movie[8:, :, :10] = 3
    result = make_result(movie, times_s=0.1 * np.arange(14))
    told = [event.to_dict() for event in presence_events(result)]
    assert [(event["event"], event["frame"], event["subject"]) for event in told] == [
        ("class_vanishes", 5, "phase 2"),
        ("class_appears", 8, "phase 3"),
    ]
    live = ClassPresence({1: "phase 1", 2: "phase 2", 3: "phase 3"})
    counts = [{int(k): int(n) for k, n in zip(*np.unique(frame, return_counts=True), strict=True)} for frame in movie]
    frames = [LabelledFrame(t, 0.1 * t, "good", px, lambda _: None) for t, px in enumerate(counts)]
    assert [event.to_dict() for frame in frames for event in live.add(frame)] == told
