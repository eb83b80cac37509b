"""Tables and events of regions as frames come: a few frames wait until it is known what became of their regions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from emreel.orientation import angle_between
from emreel.result.tables import REGION_COLUMNS
from emreel.track.events import Event
from emreel.track.lineage import empty_links
from emreel.track.linking import Identities, Link, Linked
from emreel.track.measures import border_lengths, measure_regions
from emreel.track.region_orientations import Orientations
from emreel.track.source import LabelFrames, Labels


@dataclass(eq=False)
class RegionLog:
    """Tables and events as they come; a frame's rows wait until it is known what became of its regions."""

    frames: LabelFrames
    gap_frames: int
    orientations: Orientations
    events: list[Event] = field(default_factory=list)
    _links: list[Link] = field(default_factory=list)
    _waiting: deque[pd.DataFrame] = field(default_factory=deque)
    _label_of: dict[int, int] = field(default_factory=dict)
    _is_first: bool = True

    def add(self, frame: int, label: Labels, linked: Linked) -> Iterator[pd.DataFrame]:
        """The next frame; yields tables that are settled."""
        self._waiting.append(self._rows(frame, label, linked.region))
        self._links += linked.links
        for link in linked.links:
            if link.kind == "split":
                self._mark(frame, link.target, "splits")
                self._tell("region_splits", frame, link.source, into=link.target)
            elif link.kind == "merge":
                self._mark(frame - 1, link.source, "merges")
                self._tell("region_merges", frame, link.source, into=link.target)
        if not self._is_first:
            for name in linked.appeared:
                self._mark(frame, name, "appears")
                self._tell("region_appears", frame, name)
        self._is_first = False
        self.lose(linked.vanished)
        while len(self._waiting) > self.gap_frames + 2:
            yield self._waiting.popleft()

    def lose(self, vanished: tuple[tuple[int, int], ...]) -> None:
        """Regions that have vanished, each with the first frame without it."""
        for name, frame in vanished:
            self._mark(frame - 1, name, "vanishes")
            self._tell("region_vanishes", frame, name)

    def waiting_tables(self) -> Iterator[pd.DataFrame]:
        while self._waiting:
            yield self._waiting.popleft()

    def lineage(self) -> pd.DataFrame:
        if not self._links:
            return empty_links()
        rows = [(link.frame, link.source, link.target, link.kind) for link in self._links]
        return pd.DataFrame(rows, columns=list(empty_links().columns))

    def borders(self, frame: int, region: Identities) -> pd.DataFrame:
        """Pairs of regions that touch, and how their lattices are turned against one another."""
        table = border_lengths(region)
        one, other = (
            [self.orientations.angle_deg.get((frame, name), np.nan) for name in table[column].tolist()]
            for column in ("region", "neighbour")
        )
        turn = np.abs(angle_between(one, other, self.orientations.fold))
        table.insert(0, "frame", frame)
        table.insert(1, "time_s", self.frames.time_s(frame))
        return table.assign(length_nm=table["length_px"] * self.frames.pixel_nm, misorientation_deg=turn)

    def _rows(self, frame: int, label: Labels, region: Identities) -> pd.DataFrame:
        table = measure_regions(region)
        names, first = np.unique(region, return_index=True)
        classes = dict(zip(names.tolist(), label.ravel()[first].tolist(), strict=True))
        self._label_of |= {name: self._label_of.get(name, k) for name, k in classes.items()}
        nm = self.frames.pixel_nm
        names_here = table["region"].tolist()
        table = table.assign(
            frame=frame,
            time_s=self.frames.time_s(frame),
            label=np.array([self._label_of[name] for name in names_here], np.int64),
            area_nm2=table["area_px2"] * nm**2,
            orientation_deg=[self.orientations.angle_deg.get((frame, name), np.nan) for name in names_here],
            event="",
            perimeter_nm=table["perimeter_px"] * nm,
        )
        return table[[*REGION_COLUMNS, *(name for name in table if name not in REGION_COLUMNS)]].astype(
            {"orientation_deg": np.float64, "event": str}
        )

    def _mark(self, frame: int, name: int, event: str) -> None:
        """Note an event in the row of a region's last frame up to ``frame``; its first is told last."""
        rows = [table for table in self._waiting if (table["region"] == name).any() and table["frame"].iloc[0] <= frame]
        if rows:
            rows[-1].loc[rows[-1]["region"] == name, "event"] = event

    def _tell(self, kind: str, frame: int, name: int, into: int | None = None) -> None:
        values: dict[str, Any] = {"region": name, "label": self._label_of.get(name, 0)}
        values |= {} if into is None else {"other_region": into}
        self.events.append(
            Event(
                kind=kind,
                frame=frame,
                time_s=self.frames.known_time_s(frame),
                subject=f"region {name}",
                values=values,
            )
        )
