"""Listeners that are slow do not hold up the labelling."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from emreel.result import GrowingStore, create_store, plan_growing_layout
from emreel.stream import Event, LabelledFrame, telling
from emreel.stream.telling import Teller


class Places:
    """A listener that keeps the places that it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def add(self, frame: LabelledFrame) -> Iterable[Event]:
        self.seen.append(frame.index)
        return ()

    def finish(self) -> Iterable[Event]:
        return ()


@pytest.mark.parametrize(("tell_s", "first"), [(-1.0, [0]), (60.0, [0, 1, 2, 3, 4])])
def test_frames_are_told_for_a_while_at_a_time(
    tell_s: float, first: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = plan_growing_layout((60, 40), 1, 1, with_membership=False)
    create_store(tmp_path / "r", layout, identity={}, label_names=["a"], label_colors=[(1, 2, 3)])
    listener = Places()
    teller = Teller(tmp_path / "r", GrowingStore(tmp_path / "r"), [listener], None, 10.0)
    for index in range(5):
        teller.take({"frame": index, "status": "good", "label_px": {"1": 2400}})
    monkeypatch.setattr(telling, "TELL_S", tell_s)
    teller.tell(lambda _: False)
    assert listener.seen == first
    teller.tell(lambda _: False)
    teller.finish()
    assert listener.seen == [0, 1, 2, 3, 4]
