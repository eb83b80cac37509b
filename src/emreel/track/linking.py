"""Identities of regions through time: by what they overlap in the frame before.

Two regions of one class, one frame apart, are joined by an edge when they share ``least_overlap`` of the smaller one.
Of all edges the largest overlaps carry the identities on, one to one; what is left of them tells splits (a region that
goes on in several) and merges (several that go on in one). A region that is lost is remembered for some frames, so that
one that comes back is the same (a gap). The specimen's drift moves what is compared.

**When it fails.** Regions that move by more than their own size in a frame, drift removed, have no overlap: they vanish
and appear anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from emreel.track.errors import TrackError
from emreel.track.source import FIRST_VOID, Labels

Pieces = npt.NDArray[np.int32]  # (y, x): 0 none, 1..n
Identities = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Link:
    """An edge of the lineage: a region of one frame and one of a later frame. kind : continue, gap, split or merge."""

    source: int
    target: int
    frame: int
    kind: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Linked:
    """One frame with identities, and what happened: region : shape (y, x), 0 none. links : splits, merges and gaps
    that end here. appeared, vanished : identities; a region has vanished in the frame told with it."""

    region: Identities
    links: tuple[Link, ...] = ()
    appeared: tuple[int, ...] = ()
    vanished: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class RegionFinder:
    """Connected pieces of the classes of a frame.

    Parameters
    ----------
    classes : those whose regions are followed; None: all of them.
    min_area_px2 : smaller pieces are none; a region that is followed already may be half as large.
    min_area_nm2 : the same in physical units; wins, and needs a pixel size.
    """

    classes: tuple[int, ...] | None = None
    min_area_px2: float = 64.0
    min_area_nm2: float | None = None

    def least_px2(self, pixel_size_nm: float | None) -> float:
        """The least area, px.

        Raises
        ------
        TrackError : an area in nm for a movie without a pixel size, or one that is not positive.
        """
        least = self.min_area_px2
        if self.min_area_nm2 is not None:
            if pixel_size_nm is None:
                raise TrackError("min_area_nm2 needs a pixel size, and the movie has none. Use min_area_px2.")
            least = self.min_area_nm2 / pixel_size_nm**2
        if not 0 < least < np.inf:
            raise TrackError(f"got a least area of {least} px, wanted a positive number.")
        return least

    def __call__(self, label: Labels, least_px2: float) -> tuple[Pieces, npt.NDArray[np.int64]]:
        """Pieces of at least so many pixels, shape (y, x), and the class of each, shape (n + 1,), from piece 0 on."""
        pieces, classes = np.zeros(label.shape, np.int32), [0]
        there = np.unique(label[(label > 0) & (label < FIRST_VOID)]).tolist()
        for k in there if self.classes is None else [k for k in self.classes if k in there]:
            found, n = ndimage.label(label == k)
            large = np.bincount(found.ravel(), minlength=n + 1) >= least_px2
            large[0] = False
            number = np.where(large, np.cumsum(large) + len(classes) - 1, 0).astype(np.int32)
            pieces += number[found]
            classes += [k] * int(large.sum())
        return pieces, np.array(classes, np.int64)


@dataclass(eq=False)
class RegionLinker:
    """Gives the pieces of one frame after another their identities.

    Parameters
    ----------
    least_overlap : share of the smaller of two regions that makes them one or related.
    gap_frames : for so long a region that is lost is looked for where it was.
    least_px2 : area of a region that is new.
    """

    least_overlap: float = 0.3
    gap_frames: int = 3
    least_px2: float = 64.0
    _known: Identities | None = None  # regions of the frame before
    _lost: Identities | None = None  # those that are looked for, where they were
    _class_of: dict[int, int] = field(default_factory=dict)
    _last_seen: dict[int, int] = field(default_factory=dict)
    _next: int = 1

    @property
    def class_of(self) -> Mapping[int, int]:
        """Class of every region so far."""
        return self._class_of

    def step(self, frame: int, pieces: Pieces, classes: npt.NDArray[Any], shift_yx: tuple[int, int] = (0, 0)) -> Linked:
        """Identities of the next frame's pieces.

        classes : of each piece, from piece 0 on. shift_yx : how far the specimen went since the frame before, px.
        """
        area = np.bincount(pieces.ravel(), minlength=len(classes))
        before = self._before(pieces.shape, shift_yx)
        edges = [edge for known in before for edge in self._edges(known, pieces, area, classes)]
        identity = np.zeros(len(classes), np.uint32)
        taken: dict[int, int] = {}
        for _, source, piece in sorted(edges, key=lambda edge: (-edge[0], edge[1], edge[2])):
            if identity[piece] == 0 and source not in taken:
                identity[piece], taken[source] = source, piece
        appeared = self._begin(identity, area, classes)
        links = self._links(frame, edges, identity, taken)
        merged = {link.source for link in links if link.kind == "merge"}
        split = {link.target for link in links if link.kind == "split"}
        identity[0] = 0
        region = identity[pieces]
        for name in identity[identity > 0].tolist():
            self._last_seen[name] = frame
        vanished = self._forget(frame, merged)
        self._known, self._lost = region, self._remembered(frame, *before)
        return Linked(
            region=region,
            links=tuple(links),
            appeared=tuple(name for name in appeared if name not in split),
            vanished=vanished,
        )

    def finish(self, n_frames: int) -> tuple[tuple[int, int], ...]:
        """Regions that were lost near the end, and the frame in which each was first missing."""
        return tuple((name, last + 1) for name, last in sorted(self._last_seen.items()) if last + 1 < n_frames)

    def _edges(
        self, known: Identities, pieces: Pieces, area: npt.NDArray[Any], classes: npt.NDArray[Any]
    ) -> list[tuple[int, int, int]]:
        """(overlap, region, piece) of those that share enough and are of one class."""
        both = (known > 0) & (pieces > 0)
        names, before = np.unique(known[known > 0], return_counts=True)
        if not both.any():
            return []
        rows = np.searchsorted(names, known[both])
        shape = (len(names), len(classes))
        shared = sparse.coo_matrix((np.ones(rows.size, np.int64), (rows, pieces[both])), shape=shape).tocsr().tocoo()
        edges = []
        for row, piece, n in zip(shared.row.tolist(), shared.col.tolist(), shared.data.tolist(), strict=True):
            alike = self._class_of[int(names[row])] == classes[piece]
            if alike and n >= self.least_overlap * min(int(before[row]), int(area[piece])):
                edges.append((int(n), int(names[row]), int(piece)))
        return edges

    def _begin(self, identity: Identities, area: npt.NDArray[Any], classes: npt.NDArray[Any]) -> list[int]:
        """New names for pieces that go on from none and are large enough."""
        new = []
        for piece in np.flatnonzero((identity == 0) & (area >= self.least_px2)).tolist():
            if piece == 0:
                continue
            identity[piece] = self._next
            self._class_of[self._next] = int(classes[piece])
            new.append(self._next)
            self._next += 1
        return new

    def _links(
        self, frame: int, edges: list[tuple[int, int, int]], identity: Identities, taken: Mapping[int, int]
    ) -> list[Link]:
        """Splits, merges and gaps: edges that carry no identity on, or carry it over missing frames."""
        links = []
        for _, source, piece in edges:
            target = int(identity[piece])
            last = self._last_seen.get(source, frame)
            if taken.get(source) == piece:
                if last < frame - 1:
                    links.append(Link(source=source, target=target, frame=frame, kind="gap"))
            elif target == 0 or last < frame - 1:
                continue
            elif source in taken:  # it goes on elsewhere; a target that came from elsewhere too has only met it
                if target not in taken:
                    links.append(Link(source=source, target=target, frame=frame, kind="split"))
            else:
                links.append(Link(source=source, target=target, frame=frame, kind="merge"))
        return links

    def _forget(self, frame: int, merged: set[int]) -> tuple[tuple[int, int], ...]:
        """Regions that are gone for good by now."""
        gone = []
        for name, last in sorted(self._last_seen.items()):
            if name in merged or last < frame - self.gap_frames:
                del self._last_seen[name]
                if name not in merged:
                    gone.append((name, last + 1))
        return tuple(gone)

    def _before(self, shape_yx: tuple[int, ...], shift_yx: tuple[int, int]) -> tuple[Identities, Identities]:
        """What was known, moved to where it should be now: the frame before, and what was lost earlier."""
        known, lost = (
            np.zeros(shape_yx, np.uint32) if region is None else shifted(region, shift_yx)
            for region in (self._known, self._lost)
        )
        return known, lost

    def _remembered(self, frame: int, known: Identities, lost: Identities) -> Identities:
        """Regions that are looked for, where they were last seen; the latest of those that overlap."""
        sought = np.array([name for name, last in self._last_seen.items() if last < frame], np.uint32)
        kept = np.where(np.isin(lost, sought), lost, 0)
        return np.where(np.isin(known, sought), known, kept).astype(np.uint32)


def shifted(region: Identities, shift_yx: tuple[int, int]) -> Identities:
    """The same moved by whole pixels; what comes in from outside is 0."""
    moved = np.zeros_like(region)
    into, out = [], []
    for shift, n in zip(shift_yx, region.shape, strict=True):
        shift = int(np.clip(shift, -n, n))
        into.append(slice(max(shift, 0), n + min(shift, 0)))
        out.append(slice(max(-shift, 0), n + min(-shift, 0)))
    moved[tuple(into)] = region[tuple(out)]
    return moved


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask; what is away from it is another crystal, or none."""
    pieces, n = ndimage.label(mask)
    if n <= 1:
        return mask
    return np.asarray(pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])))
