"""Sub-pixel drift of the specimen, a frame at a time, against a running reference of what rests.

Every frame goes through these steps:

1. The *view* of a frame: z = (f - m) / sqrt(m), m the local mean counts (a smooth mean of about 8 px), so that shot
   noise is equal everywhere, and dead pixels are 0; then a Gaussian of 0.8 px. A difference of Gaussians in all but
   name; slow illumination is gone, edges and the lattice stay.
2. The likely place, from the whole frame (`registration.find_places`), with the continuity of the drift as its prior,
   -2 log(1 + (s - expected)^2 / step^2): a lattice fits at every period, and only what is not periodic, or how far a
   stage can go in a frame, tells one from the next.
3. The exact place, from tiles of 64 px (`registration.shift_tiles`): the shift and the small turn that most of the
   *resting layer* agrees on (`registration.agree_on`). Tiles that went elsewhere (a moving front, a slipping twin)
   have no say, and lose weight for the frames to come.
4. The frame, moved back, joins the running mean of the reference (16 frames). Every frame is compared with this mean,
   never with the frame before it: in a chain of frames errors add up, and the drift follows the front.

A turning specimen is fitted with its turn; the drift told is that of the point in the middle of the first frame.

When to use it: to bring fronts, regions and tracks into the specimen's own coordinates. Labels need no drift. Where it
fails: (1) a lattice that slides as a whole under a resting outline is followed, the outline is not; (2) without any
lattice or edge that rests, and below about 1 electron a pixel when steps are large: such frames say ``ok`` False;
(3) steps beyond `reach_px`.

Cost of a 384 x 384 frame: about 2 ms for the view (which workers make, in parallel) and 7 ms for the step (in order);
of 512 x 512: 3 and 12 ms. A step runs BLAS in one thread, whose number may change the bits of a product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import fft
from threadpoolctl import ThreadpoolController

from emreel.descriptors.base import Mask
from emreel.movie import EmreelError
from emreel.prepare.registration import Consensus, TileShifts, agree_on, find_places, hann_window, shift_tiles

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: Local means below this share of the frame's mean count as that much (vacuum), so that its noise stays small.
LEAST_MEAN = 0.05
#: A drift of a larger standard error, px, or of less evidence, nats, is not told.
LARGEST_SIGMA_PX, LEAST_EVIDENCE = 0.3, 3.0
#: Power of the prior for continuity.
CONTINUITY = 2.0
#: Share of its latest step by which the expected step goes on.
VELOCITY_GAIN = 0.2
#: How fast a tile's place in the resting layer is gained and lost, per frame, and what is never lost.
REST_GAINED, REST_LOST, LEAST_REST = 0.05, 0.15, 0.02
#: The reference follows the specimen when it has gone by this share of the frame.
FOLLOW_SHARE = 1 / 8
SMALLEST_TILE_PX = 32
#: Tiles are cut anew where the consensus says, so often at most: a shift of more than half a pixel is read too short.
ROUNDS = 3


class DriftError(EmreelError, ValueError):
    """Parameters or frames that no drift can be measured with."""


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Where the specimen stands in a frame.

    drift_yx_px : shift (y, x) against the first good frame, px: what was at r then is seen at r + drift now.
    sigma_px : its standard error, px. turn_deg : turn against the reference (which turns along, some frames later).
    agreement : share of the resting layer that moved with it, 0 to 1.
    ok : whether it was measured; otherwise it repeats the last one that was.
    """

    drift_yx_px: tuple[float, float]
    sigma_px: float
    turn_deg: float
    agreement: float
    ok: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class DriftState:
    """What the next frame needs; arrays lie in the specimen, their first pixel at ``origin_yx``, px.

    reference, count : shape (y, x), mean of the aligned views, and how many went in. rest : shape (tile,), how far
    each tile belongs to the resting layer, 0 to 1. drift, velocity : of the last frame, px and px a frame.
    """

    reference: Floats
    count: Floats
    origin_yx: tuple[int, int]
    rest: Doubles
    drift_yx_px: tuple[float, float] = (0.0, 0.0)
    velocity_yx_px: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class DriftTracker:
    """Measures the drift of one movie; a frozen set of parameters, the state goes through `step`.

    Parameters
    ----------
    fine_px : sigma of the Gaussian that takes out noise, px; a lattice of less than 4 times as much is lost.
    coarse_px : what varies slower than this is background, px.
    tile_px : side of the tiles; several lattice periods.
    reach_px : how far from the expected place the specimen is looked for, px; at most a quarter of the frame.
    memory_frames : how many frames the reference is the mean of.
    step_px : how far from the expected place an ordinary step ends, px.

    Raises
    ------
    DriftError : a length that is not positive.

    >>> import numpy as np
    >>> from scipy import ndimage
    >>> rng = np.random.default_rng(0)
    >>> specimen = ndimage.gaussian_filter(rng.normal(0, 1, (140, 140)), 2) * 80 + 60
    >>> tracker, state = DriftTracker(), None
    >>> for step in range(3):
    ...     frame = rng.poisson(specimen[10 + step : 138 + step, 10 : 138])
    ...     state, report = tracker.step(state, tracker.view(frame, np.ones(frame.shape, bool)))
    >>> [round(shift, 1) + 0.0 for shift in report.drift_yx_px], report.ok
    ([-2.0, 0.0], True)
    """

    fine_px: float = 0.8
    coarse_px: float = 8.0
    tile_px: int = 64
    reach_px: int = 24
    memory_frames: int = 16
    step_px: float = 1.0

    def __post_init__(self) -> None:
        for name in ("fine_px", "coarse_px", "tile_px", "reach_px", "memory_frames", "step_px"):
            if not 0 < getattr(self, name) < np.inf:
                raise DriftError(f"got {name} = {getattr(self, name)}, wanted a positive number.")

    def view(self, frame: npt.NDArray[Any], valid: Mask) -> Floats:
        """Step 1: what of a frame tells its place, shape (y, x). frame : counts; valid : False where it is bad."""
        counts = np.where(valid, frame, np.float32(0)).astype(np.float32, copy=False)
        total = _smooth_mean(counts, self.coarse_px)
        if valid.all():
            cover = _whole_cover((frame.shape[0], frame.shape[1]), self.coarse_px)
        else:
            cover = _smooth_mean(valid.astype(np.float32), self.coarse_px)
        mean = np.float32(counts.sum(dtype=np.float64) / max(int(np.count_nonzero(valid)), 1))
        local = np.divide(total, cover, out=np.full_like(total, mean), where=cover > 1e-3)
        z = (counts - local) * valid
        if mean > 0:  # else the detector's zero is not that of the counts, and noise is taken as equal everywhere
            z /= np.sqrt(np.maximum(local, np.float32(LEAST_MEAN) * mean))
        reach = round(3 * self.fine_px)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.fine_px) ** 2)
        for axis in (0, 1):
            z = _correlated(z, taps / taps.sum(), axis, "constant")
        return z

    def step(self, state: DriftState | None, view: Floats) -> tuple[DriftState, DriftReport]:
        """Steps 2 to 4: the drift of the next frame, and the state after it; no state for the first good frame.

        Raises
        ------
        DriftError : a view of another shape than the movie's.
        """
        if state is None:
            state = self._start(view)
            return state, DriftReport(drift_yx_px=(0.0, 0.0), sigma_px=0.0, turn_deg=0.0, agreement=1.0, ok=True)
        if state.reference.shape != view.shape:
            raise DriftError(f"got a view of {view.shape}, wanted {state.reference.shape} like the frames before it.")
        with _blas().limit(limits=1):  # the bits of a product may change with its number of threads
            return self._next(state, view)

    def _next(self, state: DriftState, view: Floats) -> tuple[DriftState, DriftReport]:
        origin = np.array(state.origin_yx)
        expected = np.array(state.drift_yx_px) + state.velocity_yx_px + origin
        likely, evidence = self._likely_place(state, view, expected)
        shift, tiles, found = self._exact_place(state, view, likely)
        rest = state.rest[tiles.index]
        exact = found.sigma_px < LARGEST_SIGMA_PX
        ok = exact and evidence > LEAST_EVIDENCE
        report = DriftReport(
            drift_yx_px=_pair(shift - origin) if ok else state.drift_yx_px,
            sigma_px=found.sigma_px,
            turn_deg=float(np.rad2deg(found.turn_rad)),
            agreement=float(found.agrees @ rest / max(rest.sum(), 1e-9)),
            ok=ok,
        )
        if not ok:  # it joins where it most probably is: many such frames together may show what one does not
            return self._joined(state, view, shift if exact else likely), report
        moved = np.array(report.drift_yx_px) - state.drift_yx_px
        velocity = (1 - VELOCITY_GAIN) * np.array(state.velocity_yx_px) + VELOCITY_GAIN * moved
        after = replace(
            self._joined(state, view, shift),
            drift_yx_px=report.drift_yx_px,
            velocity_yx_px=_pair(velocity),
            rest=_rested(state.rest, tiles.index, found.agrees),
        )
        return self._followed(after), report

    def _start(self, view: Floats) -> DriftState:
        corners, _ = self._tiles(view.shape)
        ones = np.ones(view.shape, np.float32)
        return DriftState(reference=view, count=ones, origin_yx=(0, 0), rest=np.ones(len(corners)))

    def _side(self, shape_yx: tuple[int, ...]) -> int:
        return min(self.tile_px, max(min(shape_yx) // 4 * 2, SMALLEST_TILE_PX), *shape_yx)

    def _tiles(self, shape_yx: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], int]:
        """Corners (tile, 2) of tiles that overlap by half, and their side, px."""
        side = self._side(shape_yx)
        starts = [np.rint(np.linspace(0, n - side, m)) for n, m in zip(shape_yx, _grid(shape_yx, side), strict=True)]
        return np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.intp), side

    def _rest_map(self, state: DriftState, by_yx: npt.NDArray[np.intp], windowed: bool = False) -> Floats:
        """How far every pixel belongs to the resting layer, moved by ``by_yx`` px, shape (y, x).

        windowed : times the Hann window of the frame, which does not move.
        """
        shape = state.reference.shape
        side = self._side(shape)
        grid = _grid(shape, side)
        hats = []  # bilinear between the middles of tiles: one product along y, one along x
        for n, m, by in zip(shape, grid, by_yx.tolist(), strict=True):
            at = np.clip((np.arange(n) - (side - 1) / 2) / max(n - side, 1), 0, 1) * (m - 1)
            hat = np.maximum(1 - np.abs(at[:, None] - np.arange(m)), 0).astype(np.float32)
            hat = moved_whole(hat, np.array([by, 0]))
            hats.append(hat * hann_window(n)[:, None] if windowed else hat)
        return np.asarray(hats[0] @ state.rest.reshape(grid).astype(np.float32) @ hats[1].T)

    def _likely_place(self, state: DriftState, view: Floats, expected: Doubles) -> tuple[Doubles, float]:
        here = self._rest_map(state, np.zeros(2, np.intp), windowed=True)
        there = self._rest_map(state, np.rint(expected).astype(np.intp), windowed=True)
        reach = min(self.reach_px, min(view.shape) // 4)
        places = find_places(view * there, state.reference * here, expected, reach, self.fine_px)
        away = (places.shift_y_px - expected[0])[:, None] ** 2 + (places.shift_x_px - expected[1])[None, :] ** 2
        return places.best(-CONTINUITY * np.log1p(away / self.step_px**2))

    def _exact_place(self, state: DriftState, view: Floats, likely: Doubles) -> tuple[Doubles, TileShifts, Consensus]:
        """The shift against the reference by tiles, (y, x) px; what each says, and their consensus."""
        corners, side = self._tiles(view.shape)
        known, middle = state.count > 0, (np.array(view.shape) - 1) / 2 - np.array(state.origin_yx)
        near = np.rint(likely).astype(np.intp)
        for _ in range(ROUNDS):
            tiles = shift_tiles(view, state.reference, known, corners, side, near, self.fine_px)
            found = agree_on(tiles, state.rest[tiles.index], middle)
            shift = near + found.shift_yx
            nearer = np.rint(shift).astype(np.intp)
            if np.array_equal(near, nearer) or found.sigma_px >= LARGEST_SIGMA_PX:
                break
            near = nearer
        return shift, tiles, found

    def _joined(self, state: DriftState, view: Floats, shift: Doubles) -> DriftState:
        """The reference after a view, whose shift against it is known, was added."""
        whole = np.rint(shift).astype(np.intp)
        seen, there = _overlap(view.shape, -whole)
        reference, count = state.reference.copy(), state.count.copy()
        count[there] = np.minimum(count[there] + 1, self.memory_frames)
        reference[there] += (moved_fraction(view, whole - shift)[seen] - reference[there]) / count[there]
        return replace(state, reference=reference, count=count)

    def _followed(self, state: DriftState) -> DriftState:
        """The state with its arrays moved along, when the specimen has gone far."""
        shape = state.reference.shape
        gone = np.array(state.drift_yx_px) + state.origin_yx
        if np.all(np.abs(gone) < FOLLOW_SHARE * np.array(shape)):
            return state
        by = np.rint(gone).astype(np.intp)
        corners, side = self._tiles(shape)
        middles = corners + side // 2
        rest = self._rest_map(state, by)[middles[:, 0], middles[:, 1]]
        return replace(
            state,
            reference=moved_whole(state.reference, by),
            count=moved_whole(state.count, by),
            origin_yx=(state.origin_yx[0] - int(by[0]), state.origin_yx[1] - int(by[1])),
            rest=np.where(rest > 0, rest, 0.5).astype(np.float64),
        )


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _rested(rest: Doubles, index: npt.NDArray[np.intp], agrees: Doubles) -> Doubles:
    rested = rest.copy()
    change = agrees - rest[index]
    rested[index] += np.where(change > 0, REST_GAINED, REST_LOST) * change
    return np.maximum(rested, LEAST_REST)


def _grid(shape_yx: tuple[int, ...], side_px: int) -> tuple[int, int]:
    n_y, n_x = (max(2 * n // side_px - 1, 1) for n in shape_yx)
    return n_y, n_x


def _pair(vector: Doubles) -> tuple[float, float]:
    return float(vector[0]), float(vector[1])


def _smooth_mean(image: Floats, sigma_px: float) -> Floats:
    """Three running means after one another, close to a Gaussian of ``sigma_px``; nothing beyond the edge."""
    half = max(round(float(np.sqrt(4 * sigma_px**2 + 1))) // 2, 1)
    padded = [fft.next_fast_len(n + 3 * half, real=True) for n in image.shape]
    spectrum = fft.rfft2(image, padded)
    for k in (fft.fftfreq(padded[0])[:, None], fft.rfftfreq(padded[1])):
        mean = (1 + 2 * np.cos(2 * np.pi * k[..., None] * np.arange(1, half + 1)).sum(axis=-1)) / (2 * half + 1)
        spectrum *= (mean**3).astype(np.float32)
    smooth = fft.irfft2(spectrum, padded, overwrite_x=True)
    return np.asarray(smooth[: image.shape[0], : image.shape[1]])


@lru_cache(maxsize=4)
def _whole_cover(shape_yx: tuple[int, int], sigma_px: float) -> Floats:
    cover = _smooth_mean(np.ones(shape_yx, np.float32), sigma_px)
    cover.setflags(write=False)
    return cover


def moved_whole(image: Floats, by_yx: npt.NDArray[np.intp]) -> Floats:
    """The image with everything moved by whole pixels; 0 where nothing came from."""
    out = np.zeros_like(image)
    source, target = _overlap(image.shape, by_yx)
    out[target] = image[source]
    return out


def moved_fraction(image: Floats, by_yx: Doubles) -> Floats:
    """The image moved by at most a pixel, by cubic convolution (R. G. Keys, IEEE Trans. ASSP 29 (1981) 1153)."""
    for axis in (0, 1):
        distance = np.abs(np.arange(-2, 3) + float(by_yx[axis]))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        taps = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
        image = _correlated(image, taps, axis, "edge")
    return image


def _overlap(shape_yx: tuple[int, ...], by_yx: npt.NDArray[np.intp]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What of an image stays inside when it is moved by whole pixels: where it was, and where it is then."""
    pairs = [(n, min(max(int(by), -n), n)) for n, by in zip(shape_yx, by_yx, strict=True)]
    was = tuple(slice(max(-by, 0), n - max(by, 0)) for n, by in pairs)
    return was, tuple(slice(max(by, 0), n - max(-by, 0)) for n, by in pairs)


def _correlated(image: Floats, taps: Doubles, axis: int, beyond: Literal["edge", "constant"]) -> Floats:
    """Correlation with a few taps along an axis; ``beyond`` the edge lies its last value, or 0."""
    reach, n = len(taps) // 2, image.shape[axis]
    widths = [(0, 0), (0, 0)]
    widths[axis] = (reach, reach)
    padded = np.pad(image, widths, mode=beyond)
    parts = [padded[i : i + n] if axis == 0 else padded[:, i : i + n] for i in range(len(taps))]
    out, share = np.zeros_like(image), np.empty_like(image)
    for tap, part in zip(taps.astype(image.dtype), parts, strict=True):
        if tap:
            out += np.multiply(part, tap, out=share)
    return out
