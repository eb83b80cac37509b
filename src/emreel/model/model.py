"""The model: what a fit learned, frozen. The same call labels a frame in batch, in a stream, or by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as entry_of
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from emreel.cluster import membership, one_step, squared_distances
from emreel.cluster.field import IntensityField
from emreel.descriptors.base import Descriptor, FeatureMap, Frame, Mask, Projecting, Watching
from emreel.descriptors.geometry import Tile, grid_length, upsample_nearest, window_of
from emreel.model.errors import ModelError
from emreel.model.frames import INVALID, UNKNOWN, FrameEvidence, FrameLabels, Judgement
from emreel.model.saved import arrays_of, describe_model, read_model, values_of, write_model
from emreel.movie import EmreelError
from emreel.polycrystal import GrainFollower
from emreel.prepare import FrameReport, FrameSums, Prepare
from emreel.provenance import Provenance, digest_of
from emreel.reduce import project_rows
from emreel.refine import Novelty, Potts, Steady, upsample_scores
from emreel.refine.steady import LARGEST_SHIFT_PX, REST_PX

#: Models of frames with other pixel sizes are refused beyond this relative difference.
PIXEL_SIZE_TOLERANCE = 0.01
#: Slow following: the share of a k-means step that a centre goes with each frame, and how far it may go in all, as a
#: share of the distance at which points fit its class no more.
SLOW_SHARE, SLOW_REACH = 0.05, 0.5

#: Colours of the classes, in their order; they stay apart for colour-blind readers (Okabe and Ito 2008, then Tol 2021),
#: and none of them is grey.
LABEL_COLORS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"),
    *("#332288", "#44aa99", "#117733", "#ddcc77", "#cc6677", "#882255", "#aa4499"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A fitted segmentation: preparation, descriptor, projection and centres. Equal when its digest is equal.

    Parameters
    ----------
    mean : shape (feature,). components : shape (component, feature), or None for no projection.
    centers : shape (class, component), in canonical order, least ordered first.
    scatter : pooled variance of a class around its centre, one number for every direction.
    unknown_sq_distance : shape (class,); a grid point farther than this from its centre fits no class.
    novelty : by which regions that lie nearer, but all over too far, fit no class either; None for not at all.
    counts : shape (class,), sample points that each class had at fit time.
    field : how the classes' intensities bend over frames of the fit's shape; None for not at all.
    potts : how neighbours on the grid pull at each other's labels; None for not at all.
    temperature : by which log posteriors are divided, so that memberships are as sure as they are right.
    steady : how labels keep still from frame to frame, in a window of time (`label_window`); None for not at all.
    follow : "none"; or the centres move a little with every frame (`followed`) before it is labelled: "step", "slow".
    home : shape (class, component), the centres at fit time; never further from them than "slow" allows.
    survey : movies are surveyed before they are labelled (`emreel.prepare.survey`): what is found goes into the table
        of the frames' quality, and neighbours in time are looked at where the specimen's drift has taken them.
    grains : how the grains of a polycrystal are followed, whole frames in their order; None for other movies.
    """

    descriptor: Descriptor
    prepare: Prepare
    mean: npt.NDArray[np.float64]
    components: npt.NDArray[np.float64] | None
    centers: npt.NDArray[np.float64]
    scatter: float
    unknown_sq_distance: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    field: IntensityField | None = None
    potts: Potts | None = None
    temperature: float = 1.0
    novelty: Novelty | None = None
    upsample: str = "linear"
    steady: Steady | None = None
    survey: bool = True
    follow: str = "none"
    home: npt.NDArray[np.float64] | None = None
    grains: GrainFollower | None = None
    pixel_size_nm: float | None = None
    label_names: tuple[str, ...] = ()
    label_colors: tuple[str, ...] = ()
    provenance: Provenance = entry_of(default_factory=Provenance)

    def __post_init__(self) -> None:
        if not self.label_names:
            object.__setattr__(self, "label_names", tuple(f"phase {i + 1}" for i in range(self.n_clusters)))
        if not self.label_colors:
            colors = tuple(LABEL_COLORS[i % len(LABEL_COLORS)] for i in range(self.n_clusters))
            object.__setattr__(self, "label_colors", colors)
        if self.home is None:
            object.__setattr__(self, "home", self.centers)
        for array in arrays_of(self).values():
            array.setflags(write=False)

    @property
    def n_clusters(self) -> int:
        return len(self.centers)

    @property
    def stride(self) -> int:
        return self.descriptor.stride

    @property
    def reach(self) -> int:
        """Context that labelling needs around a tile, px.

        The halo, the neighbours that pull at a label, where the specimen's drift may lead within a window of time, or
        the regions of a new phase, the next grid point for upsampling, and the neighbours by which hot pixels are told.
        """
        return self.descriptor.halo + self._potts_reach_px + self._more_reach_px + 2

    @property
    def lag(self) -> int:
        """Frames before and after that a frame's labels depend on."""
        return 0 if self.steady is None else self.steady.lag

    @property
    def _more_reach_px(self) -> int:
        """Beyond the neighbours' reach: where the drift leads, or what a new phase is told by."""
        drift = 0 if self.steady is None else grid_length(int(LARGEST_SHIFT_PX), self.stride) * self.stride
        plateau = 0 if self.novelty is None else self.novelty.reach_points * self.stride
        return max(drift, plateau - self._potts_reach_px)

    @property
    def _potts_reach_px(self) -> int:
        return 0 if self.potts is None else self.potts.reach_points * self.stride

    def label(self, frame: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Labels of one frame as recorded, shape (y, x): 1..K, 254 where data are invalid, 255 where unknown."""
        return self.label_frame(frame).label

    def membership(self, frame: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Posterior of each class, shape (class, y_grid, x_grid); the label is its largest entry."""
        frame = self._checked(frame)
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        prepared, valid = self.prepare(frame, whole, self.report(frame))
        return self._membership(self.judge(prepared, valid).scores)

    def judge(self, prepared: Frame, valid: Mask) -> Judgement:
        """Scores of a prepared frame's points, how far each lies from every class, and what is watched there.

        prepared, valid : shape (y, x).

        Scores, shape (y_grid, x_grid, class), are log posteriors up to a constant of the point, before the
        temperature. Distances, shape (y_grid, x_grid), are of each point alone: squared, to its nearest class, over
        the one from which on a point is unknown. Watched, of the same shape, is None where the descriptor looks out for
        nothing (`emreel.descriptors.base.Watching`).
        """
        whole = Tile(0, prepared.shape[0], 0, prepared.shape[1])
        watches = isinstance(self.descriptor, Watching) and self.descriptor.watches
        found = self._judged_alone(prepared, valid, whole, whole, prepared.shape, watches=watches)
        return replace(found, scores=self._settled(found.scores))

    def report(self, frame: npt.NDArray[Any]) -> FrameReport:
        """What there is to say of a frame as recorded, shape (y, x): mean, status, dead lines."""
        return FrameSums.of(frame).finish(self.prepare.reference_mean)

    def label_frame(self, frame: npt.NDArray[Any], report: FrameReport | None = None) -> FrameLabels:
        """Labels and membership of one whole frame as recorded, shape (y, x)."""
        frame = self._checked(frame)
        if report is None:
            report = self.report(frame)
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        return self.label_tile(frame, whole, whole, frame.shape, report)

    def label_tile(
        self, pixels: npt.NDArray[Any], have: Tile, tile: Tile, shape_yx: tuple[int, int], report: FrameReport
    ) -> FrameLabels:
        """Labels of ``tile``, given the frame's pixels at ``have`` (the tile and `reach` px around it).

        The tile's corner is a multiple of the stride. Equal to cutting the tile from the whole frame's labels. Frames
        before and after are not looked at: see `label_window`.
        """
        return self.label_window([self.evidence(pixels, have, tile, shape_yx, report)], 0, tile, shape_yx)

    def evidence(
        self, pixels: npt.NDArray[Any], have: Tile, tile: Tile, shape_yx: tuple[int, int], report: FrameReport
    ) -> FrameEvidence:
        """What a frame says by itself of ``tile``, given its pixels at ``have``; the first half of `label_tile`."""
        prepared, valid = self.prepare(pixels, have, report)
        shown = _cut(prepared, have, tile)
        if not report.usable:
            return FrameEvidence(None, None, None, shown)
        features = self._features_of_whole(prepared, valid, have, tile, shape_yx)
        around = self._around(tile, shape_yx, self._more_reach_px)
        watches = self.novelty is not None and self.novelty.watched_threshold is not None
        found = self._judged_alone(prepared, valid, have, around, shape_yx, features, watches=watches)
        far = found.far if self.novelty is None else self.novelty(found.far, found.watched)
        far = far[self._points_of(self._around(tile, shape_yx, -self._potts_reach_px), around)]
        return FrameEvidence(found.scores, far, _deep_inside(~valid, self._invalid_depth, have, tile), shown, features)

    def label_window(
        self,
        window: Sequence[FrameEvidence],
        at: int,
        tile: Tile,
        shape_yx: tuple[int, int],
        drift_yx_px: npt.NDArray[np.float64] | None = None,
    ) -> FrameLabels:
        """Labels of the frame ``window[at]``, given what it and the frames before and after say by themselves.

        window : frames in their order, `lag` of them on either side of ``at`` as far as the movie has them.
        drift_yx_px : shape (frame, 2), where the specimen stands in each; None: it rests. NaN: the frame cannot be
            placed, and is not looked at.
        """
        now = window[at]
        rows, columns = tile.grid_slices(self.stride)
        grid_shape = rows.stop - rows.start, columns.stop - columns.start
        if now.scores is None or now.far is None or now.invalid is None:
            soft = np.zeros((self.n_clusters, *grid_shape), np.uint8)
            return FrameLabels(np.full(tile.shape, INVALID, np.uint8), soft, now.prepared)
        steadied, certainty = self._steadied(window, at, tile, shape_yx, drift_yx_px)
        ends = self._points_of(self._around(tile, shape_yx, -self._potts_reach_px), self._around(tile, shape_yx))
        scores = self._settled(steadied)[ends]
        label = self._upsample(scores, now.far, tile.shape)
        label[now.invalid] = INVALID
        scores = scores * np.float32(certainty)
        soft = self._membership(scores[: grid_shape[0], : grid_shape[1]])
        return FrameLabels(label, np.rint(soft * 255).astype(np.uint8), now.prepared, now.features)

    def followed(self, frame: npt.NDArray[Any], report: FrameReport | None = None) -> Self:
        """The model after the grid points of one frame as recorded, shape (y, x), have moved its centres.

        "step" is one k-means step, as the published symmetry method follows a sequence (Wang et al., Microsc.
        Microanal. 27 (2021) 1454): the projection stays, each centre becomes the mean of the points nearest to it, one
        without any stays.

        "slow" is for contrast that drifts: each centre goes `SLOW_SHARE` of that way, with points that fit no class
        left out, and never further from where the fit put it than `SLOW_REACH` of the distance at which a point fits
        its class no more; so a label cannot become another one's.

        Invalid points do not count; a blank or unreadable frame, or a model that does not follow, changes nothing.
        """
        if self.follow == "none":
            return self
        frame = self._checked(frame)
        report = self.report(frame) if report is None else report
        if not report.usable:
            return self
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        prepared, valid = self.prepare(frame, whole, report)
        projected = self._project(*window_of(prepared, valid, whole, whole.grown(self.descriptor.halo)))
        seen = valid[:: self.stride, :: self.stride]
        rows = projected[seen]
        field = self._field_of(frame.shape)
        if field is not None:
            y_px, x_px = _grid_places(whole, self.stride)
            rows = field.flattened(rows, self.centers, y_px[seen.ravel()], x_px[seen.ravel()])
        if self.follow == "slow":
            return self._moved_slowly(rows)
        return self.with_centers(one_step(rows, self.centers)) if len(rows) else self

    def _moved_slowly(self, rows: npt.NDArray[np.float32]) -> Self:
        distances = squared_distances(rows, self.centers)
        nearest = distances.argmin(axis=1)
        rows = rows[distances.min(axis=1) < self.unknown_sq_distance[nearest]]
        if not len(rows):
            return self
        assert self.home is not None
        away = self.centers + SLOW_SHARE * (one_step(rows, self.centers) - self.centers) - self.home
        reach = SLOW_REACH * np.sqrt(self.unknown_sq_distance)
        far = np.maximum(np.linalg.norm(away, axis=1) / reach, 1.0)
        return self.with_centers(self.home + away / far[:, None])

    def with_centers(self, centers: npt.ArrayLike) -> Self:
        """The same model around other centres, shape (class, component)."""
        return replace(self, centers=np.array(centers, dtype=np.float64))

    # -------------------------------------------------------------------------------------- on disk

    @cached_property
    def digest(self) -> str:
        """sha256 of everything that decides labels; two models of one digest label alike."""
        return digest_of(describe_model(self, with_names=False), arrays_of(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a zarr group of arrays and JSON. An existing model there is replaced.

        Raises
        ------
        ModelError : something that is not a model is in the way, or the place cannot be written.
        """
        write_model(path, {"digest": self.digest, **describe_model(self)}, arrays_of(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a saved model; builds registered descriptors only, and checks schema and digest.

        Raises
        ------
        ModelError : missing, damaged, another schema, or a descriptor that is not installed.
        """
        head, arrays = read_model(path)
        try:
            model = cls(**values_of(head, arrays))
        except EmreelError as error:  # a descriptor, or the file it needs, that is not there
            raise ModelError(f"{os.fspath(path)} cannot be used here: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{os.fspath(path)} is damaged: {error}. Fit it again.") from None
        if model.digest != head.get("digest"):
            raise ModelError(f"{os.fspath(path)} does not match its digest: it was changed after saving.")
        return model

    def check_pixel_size(self, pixel_size_nm: float | None) -> None:
        """Refuse a movie whose pixel size differs by more than 1 % from the one that the model was fitted on."""
        mine = self.pixel_size_nm
        if mine is None or pixel_size_nm is None:
            return
        if abs(pixel_size_nm - mine) > PIXEL_SIZE_TOLERANCE * mine:
            raise ModelError(
                f"the movie has pixels of {pixel_size_nm:g} nm, the model was fitted on {mine:g} nm. "
                "Fit a model on this movie, or pass any_pixel_size=True (--any-pixel-size)."
            )

    # ----------------------------------------------------------------------------------------- inside

    @property
    def _invalid_depth(self) -> int:
        """Pixels this deep inside dead data are labelled invalid; nearer ones take their neighbours' class."""
        return max(self.descriptor.halo // 4, 1)

    def _features_of_whole(
        self, prepared: Frame, valid: Mask, have: Tile, tile: Tile, shape_yx: tuple[int, int]
    ) -> FeatureMap | None:
        """The features that grains are followed by; of whole frames only."""
        if self.grains is None:
            return None
        if tile.shape != shape_yx:
            raise ModelError("the grains of a polycrystal are followed through whole frames, got a tile of one.")
        return self.descriptor(*window_of(prepared, valid, have, tile.grown(self.descriptor.halo)))

    def _judged_alone(
        self,
        prepared: Frame,
        valid: Mask,
        have: Tile,
        tile: Tile,
        shape_yx: tuple[int, int],
        features: FeatureMap | None = None,
        *,
        watches: bool,
    ) -> Judgement:
        """What the tile's points say, neighbours not in mind."""
        if features is None:
            window = window_of(prepared, valid, have, tile.grown(self.descriptor.halo))
            projected, watched = self._project_and_watch(*window) if watches else (self._project(*window), None)
        else:
            projected, watched = self._projected(features), None
        distances = self._distances(projected, tile, shape_yx)
        nearest = distances.argmin(axis=2)
        far = (distances.min(axis=2) / self.unknown_sq_distance[nearest]).astype(np.float32)
        return Judgement(np.float32(-0.5 / self.scatter) * distances, far, watched)

    def _settled(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return scores if self.potts is None else self.potts(scores)

    def _steadied(
        self,
        window: Sequence[FrameEvidence],
        at: int,
        tile: Tile,
        shape_yx: tuple[int, int],
        drift_yx_px: npt.NDArray[np.float64] | None,
    ) -> tuple[npt.NDArray[np.float32], float]:
        """Scores of one frame with those before and after in mind, with room for the neighbours' pull around.

        And what they are worth over one frame's, by which the temperature was learned.
        """
        now = window[at].scores
        assert now is not None
        inside = self._points_of(self._around(tile, shape_yx), self._around(tile, shape_yx, self._more_reach_px))
        if self.steady is None:
            return np.ascontiguousarray(now[inside]), 1.0
        apart = np.zeros((len(window), 2)) if drift_yx_px is None else drift_yx_px - drift_yx_px[at]
        apart[at] = 0.0  # a frame that cannot be placed itself has no neighbours
        near = slice(max(at - self.lag, 0), at + self.lag + 1)
        if np.nanmax(np.abs(apart[near])) < REST_PX:
            apart = np.where(np.isfinite(apart), 0.0, np.nan)
        placed = np.asarray((np.abs(apart) <= LARGEST_SHIFT_PX).all(axis=1))
        said = [frame.scores if there else None for frame, there in zip(window, placed, strict=True)]
        certainty = self.steady.certainty(sum(scores is not None for scores in said[near]))
        return self.steady(said, at, np.where(placed[:, None], apart / self.stride, 0.0), inside), certainty

    def _around(self, tile: Tile, shape_yx: tuple[int, int], more_px: int = 0) -> Tile:
        """The tile with the next grid point beyond it, the neighbours that pull at its labels, and ``more_px``."""
        ends = Tile(tile.y0, min(tile.y1 + 1, shape_yx[0]), tile.x0, min(tile.x1 + 1, shape_yx[1]))
        return ends.grown(self._potts_reach_px + more_px, shape_yx)

    def _points_of(self, part: Tile, whole: Tile) -> tuple[slice, slice]:
        """Where the grid points of a part lie among those of a tile around it."""
        rows, columns = (
            slice((first - start) // self.stride, (first - start) // self.stride + grid_length(n, self.stride))
            for first, start, n in zip((part.y0, part.x0), (whole.y0, whole.x0), part.shape, strict=True)
        )
        return rows, columns

    def _distances(self, projected: FeatureMap, tile: Tile, shape_yx: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Squared distances of the tile's grid points to the centres, (y_grid, x_grid, class)."""
        rows = projected.reshape(-1, projected.shape[-1])
        field = self._field_of(shape_yx)
        if field is None:
            distances = squared_distances(rows, self.centers)
        else:
            distances = field.squared_distances(rows, self.centers, *_grid_places(tile, self.stride))
        return distances.reshape(*projected.shape[:2], self.n_clusters)

    def _field_of(self, shape_yx: tuple[int, ...]) -> IntensityField | None:
        """The field over frames of this shape."""
        return self.field if self.field is not None and self.field.shape_yx == tuple(shape_yx) else None

    def _project(self, padded: Frame, mask: Mask) -> FeatureMap:
        if self.components is not None and isinstance(self.descriptor, Projecting):
            return self.descriptor.project(padded, self.mean, self.components, mask)
        return self._projected(self.descriptor(padded, mask))

    def _project_and_watch(self, padded: Frame, mask: Mask) -> tuple[FeatureMap, npt.NDArray[np.float32]]:
        assert isinstance(self.descriptor, Watching)
        features, watched = self.descriptor.watch(padded, mask)
        return self._projected(features), watched

    def _projected(self, features: FeatureMap) -> FeatureMap:
        rows = project_rows(features.reshape(-1, features.shape[-1]), self.mean, self.components)
        return rows.reshape(*features.shape[:2], -1)

    def _membership(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        rows = membership(-scores.reshape(-1, self.n_clusters), self.temperature / 2)
        soft = rows.reshape(*scores.shape[:2], self.n_clusters)
        return np.ascontiguousarray(np.moveaxis(soft, 2, 0))

    def _upsample(
        self, scores: npt.NDArray[np.float32], far: npt.NDArray[np.float32], shape_yx: tuple[int, int]
    ) -> npt.NDArray[np.uint8]:
        if self.upsample == "nearest":
            label = np.where(far > 1, UNKNOWN, scores.argmax(axis=2) + 1).astype(np.uint8)
            return upsample_nearest(label, self.stride, shape_yx)
        return upsample_scores(scores, self.stride, shape_yx, far)

    def _checked(self, frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
        frame = np.asarray(frame)
        if frame.ndim != 2 or 0 in frame.shape:
            raise ModelError(f"got a frame of shape {frame.shape}, wanted (y, x). Pass one frame at a time.")
        return frame


def _grid_places(tile: Tile, stride: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where the tile's grid points lie in the frame, px, row by row."""
    y, x = np.mgrid[tile.y0 : tile.y1 : stride, tile.x0 : tile.x1 : stride].astype(np.float64)
    return y.ravel(), x.ravel()


def _cut(array: npt.NDArray[Any], have: Tile, tile: Tile) -> npt.NDArray[Any]:
    cut: npt.NDArray[Any] = array[tile.y0 - have.y0 : tile.y1 - have.y0, tile.x0 - have.x0 : tile.x1 - have.x0]
    return cut


def _deep_inside(dead: Mask, depth: int, have: Tile, tile: Tile) -> Mask:
    """Where every pixel within ``depth`` px is dead; beyond the frame's edge counts as dead."""
    from scipy import ndimage

    if not dead.any():
        return np.zeros(tile.shape, bool)
    size = 2 * depth + 1
    eroded = ndimage.minimum_filter(dead.view(np.uint8), size=size, mode="constant", cval=1)
    deep: Mask = _cut(eroded, have, tile).astype(bool)
    return deep
