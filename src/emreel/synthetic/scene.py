"""What every synthetic movie has in common: frames by index, truth by index.

A scene is a frame source: it has `n_frames`, `shape_yx`, `dtype`, `frame_times_s`, `pixel_size_nm`, `name` and
``frame(index)``. Each frame and each truth is computed from (parameters, seed, index) alone, so a scene of a
million frames costs nothing until a frame is asked for, and frames may be computed in any order and process.

Positions are (y, x) px; angles are degrees from the x axis towards the y axis (downwards in the picture).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import FrameIndexError, require, require_number, require_whole
from emreel.synthetic.detector import Detector
from emreel.synthetic.drift import Drift
from emreel.synthetic.optics import Optics
from emreel.synthetic.texture import Image, Texture, smooth_field

MIN_SIDE_PX = 32
_THICKNESS_LAYER, _SPECKLE_LAYER = 0, 0
_OPTICS = Optics()
_DRIFT = Drift(wander_px=1.0, jitter_px=0.2)
_DETECTOR = Detector(flicker=0.02)


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is really to be seen in one frame, in the frame as recorded (drift applied).

    A duplicate frame has the truth of the frame that it repeats; a blank one has the truth of the specimen
    that the beam would have shown, and ``valid`` False.

    Parameters
    ----------
    index, time_s : the frame's number and its own time.
    labels : shape (y, x), class or identity; the scene's `classes` names them.
    drift_yx : shift of the specimen, px.
    gain : the frame's relative gain (flicker).
    status : "ok", "blank" or "duplicate"; `valid` is False for blank frames.
    bad_pixels : shape (y, x), True on hot, dead and NaN pixels and dead lines.
    angle_deg : shape (y, x), in-plane orientation of the lattice, NaN where there is none.
    areas_px : px of each label, by label value.
    front_row : shape (x,), first crystalline row of each column; front_depth_nm : mean depth below the cap.
    lamella_width_px, lamella_planes : mean width of the twin lamella across its planes, and in planes.
    regions : shape (y, x), connected pieces: 1 parent below the lamella, 2 twin, 3 parent above it.
    axis_yx : where the five-fold axis is (it may lie outside the particle or the frame).
    grain_angles_deg : orientation of every grain, by label value (NaN for pores and dead numbers).
    variants : shape (y, x), 0 disordered, 1 and 2 the antiphase variants; ordered_fraction : of the frame.
    """

    index: int
    time_s: float
    labels: npt.NDArray[np.unsignedinteger[Any]]
    drift_yx: tuple[float, float]
    gain: float
    status: str
    bad_pixels: npt.NDArray[np.bool_]
    areas_px: npt.NDArray[np.int64]
    angle_deg: Image | None = None
    front_row: npt.NDArray[np.int32] | None = None
    front_depth_nm: float | None = None
    lamella_width_px: float | None = None
    lamella_planes: float | None = None
    regions: npt.NDArray[np.uint8] | None = None
    axis_yx: tuple[float, float] | None = None
    grain_angles_deg: npt.NDArray[np.float64] | None = None
    variants: npt.NDArray[np.uint8] | None = None
    ordered_fraction: float | None = None

    @property
    def valid(self) -> bool:
        """Whether the frame shows the specimen."""
        return self.status != "blank"


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the pixels of one frame lie in the specimen: rows `y_px` (y,), columns `x_px` (x,), after drift."""

    index: int
    drift_yx: tuple[float, float]
    y_px: npt.NDArray[np.float64]
    x_px: npt.NDArray[np.float64]

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """Row positions, shape (y, 1)."""
        return self.y_px[:, None]

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """Column positions, shape (1, x)."""
        return self.x_px[None, :]


@dataclass(frozen=True, kw_only=True)
class Scene(ABC):
    """A movie with known truth.

    Parameters
    ----------
    shape_yx : frame, px; at least 32 x 32.
    n_frames : any number, nothing is computed ahead.
    pixel_size_nm, frame_time_s : nm a px, s a frame.
    lattice_nm : the crystal's lattice parameter, nm; at least 4 px.
    angle_deg : how far the specimen is turned.
    seed : of everything random in the specimen and its drift; the detector may have its own.
    thickness_variation : relative standard deviation of the slow intensity variation over the specimen.
    speckle : relative standard deviation of the amorphous structure.
    speckle_frames : its lifetime, frames; 0 means that it never changes.
    column_spread : relative standard deviation of the intensity from column to column.
    optics, drift, detector : the microscope, the stage, the camera.
    """

    kind: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    modalities: ClassVar[tuple[str, ...]] = ("haadf",)

    shape_yx: tuple[int, int] = (384, 384)
    n_frames: int = 40
    pixel_size_nm: float = 0.04
    frame_time_s: float = 1.0
    lattice_nm: float = 0.39
    angle_deg: float = 0.0
    seed: int = 0
    thickness_variation: float = 0.03
    speckle: float = 0.22
    speckle_frames: float = 6.0
    column_spread: float = 0.04
    optics: Optics = _OPTICS
    drift: Drift = _DRIFT
    detector: Detector = _DETECTOR

    def __post_init__(self) -> None:
        good = isinstance(self.shape_yx, tuple) and len(self.shape_yx) == 2
        require(good, f"shape_yx={self.shape_yx!r}", "two whole numbers (y, x)")
        for side in self.shape_yx:
            require_whole("shape_yx with a side", side, least=MIN_SIDE_PX)
        require_whole("n_frames", self.n_frames, least=1)
        require_whole("seed", self.seed, least=0)
        require_number("pixel_size_nm", self.pixel_size_nm, above=0)
        require_number("frame_time_s", self.frame_time_s, above=0)
        require_number("lattice_nm", self.lattice_nm, least=4 * self.pixel_size_nm)
        require_number("angle_deg", self.angle_deg)
        for name in ("thickness_variation", "speckle", "speckle_frames", "column_spread"):
            require_number(name, getattr(self, name), least=0)
        modality = self.optics.modality
        wanted = f"one of {', '.join(self.modalities)} for kind {self.kind!r}"
        require(modality in self.modalities, f"modality={modality!r}", wanted)
        self.detector.check_fits(self.shape_yx, self.n_frames)

    # What a frame source offers -------------------------------------------------------------

    @property
    def name(self) -> str:
        """A name for plots and provenance."""
        return f"synthetic {self.kind}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the recorded counts."""
        return np.dtype(self.detector.dtype)

    @property
    def frame_times_s(self) -> npt.NDArray[np.float64]:
        """Time of every frame, s, shape (time,)."""
        return np.arange(self.n_frames, dtype=np.float64) * self.frame_time_s

    def frame(self, index: int) -> npt.NDArray[Any]:
        """Counts of frame `index` as recorded, shape (y, x).

        Raises
        ------
        FrameIndexError : no such frame.
        """
        source = self.detector.source_index(self._checked(index))
        blank = source in self.detector.blank_frames
        relative = None if blank else self._paint(self.view(source))
        return self.detector.record(relative, self.shape_yx, source, self.seed)

    # Truth ----------------------------------------------------------------------------------

    def expected(self, index: int) -> Image:
        """Mean counts of frame `index`, without shot noise, read noise and bad pixels, shape (y, x)."""
        source = self.detector.source_index(self._checked(index))
        blank = source in self.detector.blank_frames
        relative = None if blank else self._paint(self.view(source))
        return self.detector.expected_counts(relative, self.shape_yx, source, self.seed)

    def truth(self, index: int) -> Truth:
        """What frame `index` shows.

        Raises
        ------
        FrameIndexError : no such frame.
        """
        source = self.detector.source_index(self._checked(index))
        view = self.view(source)
        facts = self._facts(view)
        labels = facts["labels"]
        return Truth(
            index=index,
            time_s=index * self.frame_time_s,
            drift_yx=view.drift_yx,
            gain=self.detector.gain(source, self.seed),
            status=self.detector.status(index),
            bad_pixels=self.detector.bad_pixels(self.shape_yx, index, self.seed),
            areas_px=np.bincount(labels.reshape(-1), minlength=self.n_labels).astype(np.int64),
            **facts,
        )

    @property
    def n_labels(self) -> int:
        """Number of label values, 0 included."""
        return len(self.classes)

    @property
    def lattice_px(self) -> float:
        """Lattice parameter, px."""
        return self.lattice_nm / self.pixel_size_nm

    def parameters(self) -> dict[str, Any]:
        """All parameters, flat: ``make_scene(scene.kind, **scene.parameters()) == scene``."""
        out: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("optics", "drift", "detector"):
                out |= {part.name: getattr(value, part.name) for part in fields(value)}
            else:
                out[field.name] = value
        return out

    # What a kind of scene must tell ----------------------------------------------------------

    @abstractmethod
    def _paint(self, view: View) -> Image:
        """Relative intensity without noise, shape (y, x)."""

    @abstractmethod
    def _facts(self, view: View) -> dict[str, Any]:
        """The fields of `Truth` that this kind knows; `labels` among them."""

    # Shared pieces ----------------------------------------------------------------------------

    def view(self, index: int) -> View:
        """Where the pixels of frame `index` lie in the specimen."""
        shift_y, shift_x = self.drift.at(index, self.seed)
        return View(
            index=index,
            drift_yx=(shift_y, shift_x),
            y_px=np.arange(self.shape_yx[0], dtype=np.float64) - shift_y,
            x_px=np.arange(self.shape_yx[1], dtype=np.float64) - shift_x,
        )

    @property
    def centre_yx(self) -> tuple[float, float]:
        """The specimen's point about which it is turned: the frame's centre without drift."""
        return (self.shape_yx[0] - 1) / 2, (self.shape_yx[1] - 1) / 2

    @property
    def probe_sigma_nm(self) -> float:
        """Sigma of the probe, nm."""
        given = self.optics.probe_sigma_nm
        share = 0.26 if self.optics.modality == "sem" else 0.2
        return share * self.column_distance_nm if given is None else given

    @property
    @abstractmethod
    def column_distance_nm(self) -> float:
        """Smallest distance of two columns, nm."""

    def progress(self, index: int) -> float:
        """0 at the first frame, 1 at the last."""
        return index / max(self.n_frames - 1, 1)

    def _speckle_at(self, view: View, profile: tuple[float, ...]) -> Image:
        """The amorphous structure in this view: zero mean, unit variance."""
        texture = Texture(
            shape_yx=self.shape_yx,
            profile=profile,
            lifetime_frames=self.speckle_frames,
            seed=self.seed,
            layer=_SPECKLE_LAYER,
        )
        return texture.at(view.index, view.drift_yx)

    def _thickness_at(self, view: View) -> Image:
        """Slow relative variation of the intensity over the specimen, mean 1."""
        field = smooth_field(
            view.y_px, view.x_px, wavelength_px=max(self.shape_yx), seed=self.seed, layer=_THICKNESS_LAYER
        )
        field *= np.float32(self.thickness_variation)
        field += np.float32(1)
        return np.maximum(field, np.float32(0.1), out=field)

    def _checked(self, index: int) -> int:
        number = int(index)
        if not 0 <= number < self.n_frames:
            raise FrameIndexError(f"got frame {index}, wanted a frame from 0 to {self.n_frames - 1}.")
        return number
