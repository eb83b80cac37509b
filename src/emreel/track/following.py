"""One pair of sides from frame to frame: which front is which, its rows, and when it comes and goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from emreel.track.events import Event
from emreel.track.finding import Found, FrontFinder
from emreel.track.noise import Noise, noise_across, noise_of, roughness_of
from emreel.track.pairs import Datum
from emreel.track.rays import Rays
from emreel.track.source import Scale, Share, Sides, name_side, sum_classes

Floats = npt.NDArray[np.float64]

COLUMNS: dict[str, str] = {
    "frame": "int64",
    "time_s": "float64",
    "front": "str",
    "kind": "str",
    "axis": "str",
    "column_px": "float64",
    "position_px": "float64",
    "position_nm": "float64",
    "position_sd_px": "float64",
    "depth_px": "float64",
    "depth_nm": "float64",
    "velocity_nm_per_s": "float64",
    "velocity_px_per_frame": "float64",
    "share_kept": "float64",
    "roughness_px": "float64",
    "roughness_raw_px": "float64",
    "point_y_px": "float64",
    "point_x_px": "float64",
}
#: A front that is away for so many good frames one after another has vanished.
VANISH_FRAMES = 3
#: A front is the same one when it is this near to where it was, in px and as a share of the rays' length.
NEAR_PX, NEAR_SHARE = 24.0, 0.15


@dataclass(eq=False)
class Front:
    """A front that is followed. waiting : frames whose rows wait for the noise; recent : the latest positions."""

    name: str
    is_falling: bool
    last_mean: float
    last_frame: int
    waiting: list[tuple[int, Found, Floats]] = field(default_factory=list)
    recent: list[Floats] = field(default_factory=list)
    noise: Noise | None = None
    datum: Datum | None = None
    n_away: int = 0
    is_gone: bool = False


@dataclass(eq=False)
class FrontTracker:
    """The fronts of one pair of sides along rays. drift : (y, x) of every frame, px; a list may grow with the movie."""

    scale: Scale
    sides: Sides
    rays: Rays
    finder: FrontFinder
    drift: Floats | list[Floats]
    datum: Datum | None = None
    fronts: list[Front] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    first_good: int | None = None

    def add(self, frame: int, shares: Share) -> Iterator[pd.DataFrame]:
        """Look at the next frame; yields rows of frames whose noise is known by now."""
        if self.first_good is None:
            self.first_good = frame
        first, second = (self.rays.sample(sum_classes(shares, side)) for side in self.sides)
        found = self.finder(first, second)
        matched = self._match(found, frame, len(first))
        for front in self.fronts:
            if front not in matched.values() and not front.is_gone:
                front.n_away += 1
                yield from self._flush(front)
                if front.n_away == VANISH_FRAMES:
                    front.is_gone = True
                    self._tell("front_vanishes", front, front.last_frame + 1)
        for k, front in matched.items():
            front.n_away, front.last_mean, front.last_frame = 0, found[k].mean, frame
            position = self.rays.position_px(found[k].edges)
            front.waiting.append((frame, found[k], position))
            front.recent = [*front.recent[-2:], position]
            if len(front.recent) == 3:
                front.noise = noise_of(*front.recent)
                yield from (self._rows(front, *front.waiting.pop(0)) for _ in front.waiting[:-1])

    def finish(self) -> Iterator[pd.DataFrame]:
        """Rows that still wait."""
        for front in self.fronts:
            yield from self._flush(front)
            if front.n_away and not front.is_gone:
                self._tell("front_vanishes", front, front.last_frame + 1)

    def _match(self, found: Sequence[Found], frame: int, n_along: int) -> dict[int, Front]:
        """Which front each of a frame's fronts is: the nearest of its kind, new ones where none is near."""
        near = max(NEAR_PX, NEAR_SHARE * n_along)
        there = [front for front in self.fronts if not front.is_gone]
        choices = sorted(
            (abs(one.mean - front.last_mean), k, i)
            for k, one in enumerate(found)
            for i, front in enumerate(there)
            if one.is_falling == front.is_falling
        )
        matched: dict[int, Front] = {}
        for distance, k, i in choices:
            if distance <= near * (1 + there[i].n_away) and k not in matched and there[i] not in matched.values():
                matched[k] = there[i]
        return matched | {k: self._begin(one, frame) for k, one in enumerate(found) if k not in matched}

    def _begin(self, one: Found, frame: int) -> Front:
        base = "/".join(name_side(side) for side in (self.sides if one.is_falling else self.sides[::-1]))
        n_same = sum(front.name.split(" ")[0] == base for front in self.fronts)
        front = Front(base if n_same == 0 else f"{base} ({n_same + 1})", one.is_falling, one.mean, frame)
        self.fronts.append(front)
        if frame != self.first_good:
            self._tell("front_appears", front, frame)
        return front

    def _tell(self, kind: str, front: Front, frame: int) -> None:
        position = float(self.rays.position_px(front.last_mean))
        self.events.append(
            Event(
                kind=kind,
                frame=frame,
                time_s=self.scale.known_time_s(frame),
                subject=f"front {front.name}",
                values={"position_px": position},
            )
        )

    def _flush(self, front: Front) -> Iterator[pd.DataFrame]:
        """Rows of all frames that wait, with the latest noise that is known."""
        for frame, found, position in front.waiting:
            front.noise = front.noise or noise_across(position)
            yield self._rows(front, frame, found, position)
        front.waiting.clear()
        front.recent.clear()

    def _rows(self, front: Front, frame: int, found: Found, position: Floats) -> pd.DataFrame:
        """Every column of a front in one frame, then their mean."""
        resting = position - self.rays.direction_yx @ self.drift[frame]
        if front.datum is None and np.isfinite(resting).any():
            front.datum = self.datum or Datum(float(np.nanmean(resting)))
        depth = resting if front.datum is None else front.datum.depth_px(resting)
        noise = front.noise or Noise()
        rough, raw = roughness_of(position, self.rays.column_px, noise.column_px)
        nothing, points = np.full(len(position), np.nan), self.rays.place_yx(position)
        both = [np.append(values, _mean(values)) for values in (position, depth)]
        rows = {
            "frame": frame,
            "time_s": self.scale.time_s(frame),
            "front": front.name,
            "kind": ["column"] * len(position) + ["mean"],
            "axis": self.rays.axis,
            "column_px": np.append(self.rays.column_px, np.nan),
            "position_px": both[0],
            "position_nm": both[0] * self.scale.pixel_nm,
            "position_sd_px": np.append(np.where(np.isfinite(position), noise.column_px, np.nan), noise.mean_px),
            "depth_px": both[1],
            "depth_nm": both[1] * self.scale.pixel_nm,
            "velocity_nm_per_s": np.nan,
            "velocity_px_per_frame": np.nan,
            "share_kept": np.append(nothing, found.share_kept),
            "roughness_px": np.append(nothing, rough),
            "roughness_raw_px": np.append(nothing, raw),
            "point_y_px": np.append(points[:, 0], np.nan),
            "point_x_px": np.append(points[:, 1], np.nan),
        }
        return pd.DataFrame(rows).astype(COLUMNS)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
