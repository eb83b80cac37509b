"""Twins through a movie: traces of their boundaries, widths of lamellae, the axis where five twins meet.

1. In some frames every two labels that meet in a straight trace are tested: their lattices are twins when the fringes
   of one, mirrored at the trace, are those of the other (`emreel.track.lattices`).
2. In every frame the traces of those pairs are fitted to a part of a pixel (`emreel.track.traces`).
3. A twin between two pieces of its parent is a lamella: its width is read plane by plane from the picture
   (`emreel.track.lamella`), so that one that is thinner than labels can show is seen to its end.
4. Where at least three traces meet is the axis of a multiply twinned particle.

**When it fails.** See `emreel.track.lattices` (twins only in projection) and `emreel.track.lamella`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import ndimage

from emreel.orientation import Fringe
from emreel.progress import Progress, StageStarted, StepsDone, ignore
from emreel.result import Result, TableWriter
from emreel.track.errors import TrackError
from emreel.track.events import Event, add_events
from emreel.track.lamella import Lamella, does_cross, measure_lamella
from emreel.track.lattices import spacing_range
from emreel.track.linking import largest_piece
from emreel.track.pictures import Frame, Pictures
from emreel.track.presence import presence_events
from emreel.track.source import LabelFrames, Labels, Share
from emreel.track.traces import Trace, find_axis, find_traces
from emreel.track.twin_pairs import INSET, LatticeView, TwinPair, find_twins

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

TABLE = "twins"
COLUMNS: dict[str, str] = {
    "frame": "int64",
    "time_s": "float64",
    "kind": "str",
    "twin": "str",
    "label": "int64",
    "other_label": "int64",
    "angle_deg": "float64",
    "point_y_px": "float64",
    "point_x_px": "float64",
    "position_sd_px": "float64",
    "length_px": "float64",
    "length_nm": "float64",
    "width_px": "float64",
    "width_nm": "float64",
    "width_planes": "float64",
    "spacing_px": "float64",
    "fraction": "float64",
    "misorientation_deg": "float64",
    "n_traces": "int64",
}
#: A twin that is away for so many frames one after another has vanished.
VANISH_FRAMES = 3
#: A lattice plane is the same as in the frame before when it has turned by less than this.
STEP_DEG = 6.0


def track_twins(
    result: Result,
    *,
    movie: xr.DataArray | None = None,
    spacings_px: tuple[float, float] | None = None,
    progress: Progress = ignore,
) -> pd.DataFrame:
    """Follow the twins of a result; writes the tables ``twins`` and ``events``.

    Parameters
    ----------
    movie : what was labelled, where the lattice is to be read from it; None: the result's full-size previews, or the
        movie that the result names.
    spacings_px : shortest and longest spacing of the lattice fringes; None: as the result's model knows them.

    Returns
    -------
    One row an observation. ``kind`` "boundary": a trace between two twins (``angle_deg`` from x towards y, ``point``
    its middle). "lamella": a twin ``label`` within its parent ``other_label``, its width across the planes in px, nm
    and planes of ``spacing_px``, and its ``fraction`` of the particle; width 0 once it is gone. "axis": where at least
    three traces meet. Events: ``twin_vanishes``, ``twin_appears``, and those of classes as in live movies.

    Raises
    ------
    TrackError : no lattice spacings are known, no two labels are twins, or the movie is not to be had.
    """
    frames = LabelFrames.of(result)
    view = LatticeView(frames, Pictures.of(result, movie), spacing_range(result, spacings_px))
    pairs = find_twins(view)
    if not pairs:
        raise TrackError(
            "no two labels are twins: none meet in a straight trace that mirrors one lattice into the other. "
            "Check the labels, or give spacings_px=(shortest, longest) of the fringes."
        )
    lamellae = [_LamellaTracker(pair, view) for pair in pairs if pair.is_lamella]
    rows: list[pd.DataFrame] = []
    progress(StageStarted("twins", frames.n_frames))
    with ExitStack() as stack:
        writer = stack.enter_context(TableWriter(result.path, TABLE))
        for frame in range(frames.n_frames):
            shares = frames.read_shares(frame)
            if shares.any():
                table = _table(_rows(view, frame, shares, pairs, lamellae), frames)
                rows.append(table)
                writer.append(table)
            progress(StepsDone("twins", frame + 1, frames.n_frames))
    events = [event for lamella in lamellae for event in lamella.events()]
    add_events(result.path, events, about="twin")
    add_events(result.path, presence_events(result), about="class")
    return pd.concat(rows, ignore_index=True) if rows else _table([], frames)


# ------------------------------------------------------------------------------------------------ inside


@dataclass(eq=False)
class _LamellaTracker:
    """The width of one lamella through the movie. The plane and the fringes that cross it turn with the specimen."""

    pair: TwinPair
    view: LatticeView
    _normal: Floats = field(init=False)
    _plane: Floats | None = None
    _cross: Floats | None = None
    _widths: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._normal = np.array(self.pair.normal_yx)

    def measure(self, frame: int, label: Labels, picture: Frame) -> tuple[Lamella, float, Mask] | None:
        """The lamella, the spacing of its planes, and the crystal; None when the parent shows no lattice."""
        particle = largest_piece(np.isin(label, (self.pair.label, self.pair.other_label)))
        self._follow(self.view.fringes(picture, largest_piece(label == self.pair.other_label)))
        if self._plane is None or self._cross is None:
            return None
        spacing = 1 / float(np.hypot(*self._plane))
        inside = ndimage.distance_transform_edt(np.pad(particle, 1))[1:-1, 1:-1] > INSET * self.view.spacings_px[1]
        if not inside.any():
            return None
        lamella = measure_lamella(picture, inside, self._plane, self._cross)
        self._widths[frame] = lamella.width_px
        return lamella, spacing, inside

    def events(self) -> list[Event]:
        """When it vanishes, and comes back."""
        events: list[Event] = []
        frames = sorted(self._widths)
        there = np.array([self._widths[frame] > 0 for frame in frames])
        present, start = bool(there[0]) if len(there) else False, 0
        while start < len(there):
            ahead = there[start : start + VANISH_FRAMES]
            if (ahead != present).all():
                present = not present
                events.append(
                    Event(
                        kind="twin_appears" if present else "twin_vanishes",
                        frame=frames[start],
                        time_s=self.view.frames.known_time_s(frames[start]),
                        subject=f"twin {self.pair.name}",
                        values={"label": self.pair.label},
                    )
                )
            start += 1
        return events

    def _follow(self, fringes: Sequence[Fringe]) -> None:
        """The plane's fringes and those that cross it, in this frame; those of the frame before where none are near."""
        if not fringes:
            return
        vectors = np.array([fringe.g_yx for fringe in fringes])
        units = vectors / np.hypot(*vectors.T)[:, None]
        along = units @ self._normal
        best = int(np.argmax(np.abs(along)))
        if abs(along[best]) < np.cos(np.deg2rad(STEP_DEG)):
            return
        plane = vectors[best] * np.sign(along[best])
        normal = plane / np.hypot(*plane)
        crossing = [g for g in vectors if does_cross(plane, g)]
        if crossing:  # the slower the phase goes across, the less it minds where between two planes a kink lies
            self._normal, self._plane = normal, plane
            self._cross = min(crossing, key=lambda g: abs(float(normal @ g)))


def _rows(
    view: LatticeView, frame: int, shares: Share, pairs: Sequence[TwinPair], lamellae: Sequence[_LamellaTracker]
) -> Iterator[dict[str, Any]]:
    """The observations of one frame."""
    longest: list[Trace] = []
    for pair in pairs:
        if max(pair.label, pair.other_label) > len(shares):
            continue
        traces = find_traces(shares[pair.label - 1], shares[pair.other_label - 1])
        for trace in traces:
            yield _trace_row(frame, pair, trace)
        longest += traces[:1]
    if lamellae:
        label, picture = view.frames.read_label(frame), view.pictures.read(frame)
        for tracker in lamellae:
            measured = tracker.measure(frame, label, picture)
            if measured is not None:
                yield _lamella_row(frame, tracker.pair, *measured)
    axis = find_axis(longest)
    if axis is not None:
        point, error, n_traces = axis
        yield {
            "frame": frame,
            "kind": "axis",
            "twin": "axis",
            "point_y_px": point[0],
            "point_x_px": point[1],
            "position_sd_px": error,
            "n_traces": n_traces,
        }


def _trace_row(frame: int, pair: TwinPair, trace: Trace) -> dict[str, Any]:
    return {
        "frame": frame,
        "kind": "boundary",
        "twin": pair.name,
        "label": pair.label,
        "other_label": pair.other_label,
        "angle_deg": trace.angle_deg,
        "point_y_px": trace.point_yx[0],
        "point_x_px": trace.point_yx[1],
        "position_sd_px": trace.sd_px,
        "length_px": trace.length_px,
        "misorientation_deg": pair.turn_deg,
        "n_traces": 1,
    }


def _lamella_row(frame: int, pair: TwinPair, lamella: Lamella, spacing: float, inside: Mask) -> dict[str, Any]:
    """Its point is the middle of the lamella; its fraction that of the crystal's pixels between the two planes."""
    normal = np.array(lamella.normal_yx)
    height = (np.argwhere(inside) - lamella.centre_yx) @ normal
    between = (height >= lamella.low_px) & (height < lamella.high_px)
    point = np.array(lamella.centre_yx) + normal * (lamella.low_px + lamella.high_px) / 2
    return {
        "frame": frame,
        "kind": "lamella",
        "twin": pair.name,
        "label": pair.label,
        "other_label": pair.other_label,
        "angle_deg": float(np.degrees(np.arctan2(normal[1], -normal[0])) % 180),
        "point_y_px": point[0],
        "point_x_px": point[1],
        "width_px": lamella.width_px,
        "width_planes": lamella.width_px / spacing,
        "spacing_px": spacing,
        "fraction": float(between.mean()),
        "misorientation_deg": pair.turn_deg,
        "n_traces": 2 if lamella.width_px > 0 else 0,
    }


def _table(rows: Any, frames: LabelFrames) -> pd.DataFrame:
    """Rows with every column, times and lengths in nm."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    table["time_s"] = [frames.time_s(int(frame)) for frame in table["frame"]]
    for name in ("length", "width"):
        table[f"{name}_nm"] = table[f"{name}_px"].astype(np.float64) * frames.pixel_nm
    for name in ("label", "other_label", "n_traces"):
        table[name] = table[name].fillna(0)
    return table.astype(COLUMNS)
