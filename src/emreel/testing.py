"""The conformance suite that defines a descriptor: `check_descriptor(MyDescriptor())`.

It holds a descriptor to what the rest of emreel takes for granted: that a tile gives what the whole frame
gives, that a grid point lies on the pixel it claims, that invalid pixels carry no weight, that the input stays
as it was. Each law that fails raises ``AssertionError`` and says what was seen, what was wanted and where.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Descriptor, Feature, FeatureMap, Frame, Mask, Projecting, Watching
from emreel.descriptors.geometry import grid_length, pad_frame, plan_tiles

#: Agreement asked between the same descriptor at two strides, of the largest feature value.
STRIDE_TOLERANCE = 1e-4
#: Agreement asked between a fused projection and the plain one, of the largest projected value.
PROJECTION_TOLERANCE = 1e-4


def check_descriptor(
    descriptor: Descriptor,
    frame: Frame | None = None,
    *,
    tolerance: float = 0.0,
    centred: bool = True,
    tile_px: int = 64,
    seed: int = 0,
) -> None:
    """Hold a descriptor to the laws that emreel relies on.

    Parameters
    ----------
    descriptor : the descriptor, a frozen keyword-only dataclass. One with a field ``stride`` is held to the
        laws at stride 1 as well, and its grid at its own stride must be every stride-th point of that.
    frame : shape (y, x), counts; what to describe. Default: a lattice in noise, 141 x 117 px.
    tolerance : largest difference allowed where two ways must agree, as a part of the largest feature value.
        0 (spatial kernels) asks for the same bits; use 1e-5 for kernels that go through an FFT.
    centred : whether what a grid point sees must reach equally far to all four sides (within a pixel). A grid that
        is shifted against its window shows here even where the halo hides it.
    tile_px : side of the tiles that are held against the whole frame, px.
    seed : of the frame, the dead pixels and the places looked at.

    Raises
    ------
    AssertionError : a law does not hold; the message names it.
    """
    given = _lattice_in_noise(seed) if frame is None else np.ascontiguousarray(frame, dtype=np.float32)
    _check_form(descriptor)
    variants: list[Descriptor] = [*_variants(descriptor), *_watchers(descriptor)]
    for variant in variants:
        suite = _Suite(variant, given, tolerance, np.random.default_rng(seed))
        suite.check_shapes()
        suite.check_input_untouched()
        suite.check_finite()
        suite.check_no_mask_is_all_valid()
        suite.check_invalid_pixels_carry_no_weight()
        suite.check_tiles(tile_px)
        suite.check_locality()
        suite.check_covariance()
        if centred:
            suite.check_centred()
        if isinstance(variant, Projecting):
            suite.check_projection()
        if isinstance(variant, _Watcher):
            suite.check_features_stay(variant)
    _check_strides_agree(descriptor, given, max(tolerance, STRIDE_TOLERANCE))


def _variants(descriptor: Descriptor) -> Iterator[Descriptor]:
    yield descriptor
    if descriptor.stride != 1 and _has_stride_field(descriptor):
        yield dataclasses.replace(descriptor, stride=1)  # type: ignore[type-var]


def _watchers(descriptor: Descriptor) -> Iterator[_Watcher]:
    for variant in _variants(descriptor):
        if isinstance(variant, Watching) and variant.watches:
            yield _Watcher(variant)


class _Watcher:
    """A watching descriptor, what it watches its last feature: it is held to the same laws."""

    name: ClassVar[str] = "watcher"

    def __init__(self, descriptor: Any) -> None:
        self.descriptor = descriptor
        self.stride: int = descriptor.stride
        self.halo: int = descriptor.halo
        self.features: tuple[Feature, ...] = (*descriptor.features, Feature("watched"))

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        features, watched = self.descriptor.watch(padded, valid)
        return np.concatenate([features, watched[..., None]], axis=-1)


def _has_stride_field(descriptor: Any) -> bool:
    return any(field.name == "stride" and field.init for field in dataclasses.fields(descriptor))


def _check_form(descriptor: Descriptor) -> None:
    kind = type(descriptor).__name__
    params = getattr(type(descriptor), "__dataclass_params__", None)
    _demand(
        params is not None and params.frozen, f"{kind} is not a frozen dataclass. Use @dataclass(frozen=True, ...)."
    )
    _demand(isinstance(descriptor, Descriptor), f"{kind} lacks one of name, stride, halo, features, __call__.")
    _demand(isinstance(descriptor.name, str) and bool(descriptor.name), f"{kind}.name must be a word.")
    _demand(isinstance(descriptor.stride, int) and descriptor.stride >= 1, f"{kind}.stride must be an int >= 1.")
    _demand(isinstance(descriptor.halo, int) and descriptor.halo >= 0, f"{kind}.halo must be an int >= 0.")
    features = descriptor.features
    _demand(
        isinstance(features, tuple) and len(features) > 0 and all(isinstance(one, Feature) for one in features),
        f"{kind}.features must be a tuple of at least one Feature.",
    )
    names = [one.name for one in features]
    _demand(len(set(names)) == len(names), f"{kind}.features has two features of one name.")
    _demand(hash(descriptor) == hash(dataclasses.replace(descriptor)), f"{kind} must be hashable by its fields.")  # type: ignore[type-var]


def _check_strides_agree(descriptor: Descriptor, frame: Frame, tolerance: float) -> None:
    if descriptor.stride == 1 or not _has_stride_field(descriptor):
        return
    fine: Descriptor = dataclasses.replace(descriptor, stride=1)  # type: ignore[type-var]
    step = descriptor.stride
    _demand_equal(
        descriptor(*pad_frame(frame, descriptor.halo)),
        fine(*pad_frame(frame, fine.halo))[::step, ::step],
        tolerance,
        f"grid point (i, j) at stride {step} is not on pixel ({step} i, {step} j): it differs from stride 1 there",
    )


class _Suite:
    """The laws for one descriptor on one frame."""

    def __init__(self, descriptor: Descriptor, frame: Frame, tolerance: float, rng: np.random.Generator) -> None:
        self.descriptor = descriptor
        self.frame = frame
        self.tolerance = tolerance
        self.rng = rng
        self.halo = descriptor.halo
        self.stride = descriptor.stride
        # a frame with real surroundings, where every pixel is valid
        self.wide = _read_only(
            np.pad(frame, self.halo, mode="reflect" if self.halo < min(frame.shape) else "symmetric")
        )
        noise = rng.normal(0.0, float(frame.std()) + 1.0, self.wide.shape)
        self.wide = _read_only((self.wide + noise).astype(np.float32))
        self.everywhere = _read_only(np.ones(self.wide.shape, bool))
        self.reference = self.describe(self.wide)

    def describe(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """The descriptor's answer to arrays that cannot be written."""
        try:
            return self.descriptor(_read_only(padded), None if valid is None else _read_only(valid))
        except ValueError as error:
            if "read-only" in str(error):
                raise AssertionError(f"{self.where}: writes into its input ({error}).") from error
            raise

    @property
    def where(self) -> str:
        return f"{type(self.descriptor).__name__} at stride {self.stride}"

    def check_shapes(self) -> None:
        for height, width in (self.frame.shape, (17, 23), (1, 1), (self.stride, self.stride + 1)):
            padded = np.resize(self.wide, (height + 2 * self.halo, width + 2 * self.halo))
            got = self.describe(padded)
            wanted = (
                grid_length(height, self.stride),
                grid_length(width, self.stride),
                len(self.descriptor.features),
            )
            _demand(isinstance(got, np.ndarray), f"{self.where}: returns {type(got).__name__}, wanted a numpy array.")
            _demand(got.dtype == np.float32, f"{self.where}: returns {got.dtype}, wanted float32.")
            _demand(got.shape == wanted, f"{self.where}: {height} x {width} px give {got.shape}, wanted {wanted}.")

    def check_input_untouched(self) -> None:
        frame, valid = self.wide.copy(), self._with_dead_pixels()
        before = valid.copy()
        self.descriptor(frame, valid)
        _demand(np.array_equal(frame, self.wide), f"{self.where}: writes into the frame it was given.")
        _demand(np.array_equal(valid, before), f"{self.where}: writes into the mask it was given.")

    def check_finite(self) -> None:
        for level in (0.0, 100.0, -3.5, 65535.0):
            flat = np.full(self.wide.shape, level, np.float32)
            for valid in (None, self._with_dead_pixels(), np.zeros(flat.shape, bool)):
                _demand_finite(self.describe(flat, valid), f"{self.where}: a flat frame of {level} counts")
        nothing = np.zeros(self.wide.shape, bool)
        _demand_finite(self.describe(self.wide, nothing), f"{self.where}: a frame without a valid pixel")

    def check_no_mask_is_all_valid(self) -> None:
        self._demand_same(
            self.describe(self.wide, self.everywhere), self.reference, "valid=None is not the same as all pixels valid"
        )

    def check_invalid_pixels_carry_no_weight(self) -> None:
        valid = self._with_dead_pixels()
        other = self.wide.copy()
        spread = 10.0 * (float(np.abs(other).max()) + 1.0)
        other[~valid] = self.rng.uniform(-spread, spread, int((~valid).sum()))
        seen = self._support_has_valid_pixel(valid)
        self._demand_same(
            self.describe(other, valid)[seen],
            self.describe(self.wide, valid)[seen],
            "pixels that are not valid carry weight: other values under the mask change the features",
        )

    def check_tiles(self, tile_px: int) -> None:
        side = grid_length(tile_px, self.stride) * self.stride
        sparse = self._with_dead_pixels()[self.halo : self.halo + self.frame.shape[0], :][:, : self.frame.shape[1]]
        for mask in (None, sparse):
            padded, valid = pad_frame(self.frame, self.halo, mask)
            whole = self.describe(padded, valid)
            for tile in plan_tiles((self.frame.shape[0], self.frame.shape[1]), (side, side)):
                window = (
                    slice(tile.y0, tile.y1 + 2 * self.halo),
                    slice(tile.x0, tile.x1 + 2 * self.halo),
                )
                self._demand_same(
                    self.describe(padded[window], valid[window]),
                    whole[tile.grid_slices(self.stride)],
                    f"the tile rows {tile.y0}:{tile.y1}, columns {tile.x0}:{tile.x1} is not what the whole frame gives",
                )

    def check_locality(self) -> None:
        reach = 2 * self.halo + 1
        n_rows, n_cols = self.reference.shape[:2]
        drawn = self.rng.integers((n_rows, n_cols), size=(4, 2))
        for i, j in [(0, 0), (n_rows - 1, n_cols - 1), *((int(a), int(b)) for a, b in drawn)]:
            y, x = i * self.stride, j * self.stride
            other = self.rng.permutation(self.wide.ravel()).reshape(self.wide.shape) * np.float32(3.0)
            other[y : y + reach, x : x + reach] = self.wide[y : y + reach, x : x + reach]
            self._demand_same(
                self.describe(other)[i, j],
                self.reference[i, j],
                f"grid point ({i}, {j}) sees beyond the halo of {self.halo} px around its pixel ({y}, {x})",
            )

    def check_covariance(self) -> None:
        step = self.stride
        self._demand_same(
            self.describe(self.wide[step:, step:]),
            self.reference[1:, 1:],
            f"a frame shifted by {step} px does not give features shifted by one grid point",
        )

    def check_centred(self) -> None:
        for axis, name in ((0, "rows"), (1, "columns")):
            before, after = (self._reach(axis, side) for side in (-1, 1))
            _demand(
                abs(before - after) <= 1,
                f"{self.where}: a grid point sees {before} px of {name} before its pixel and {after} px after it. "
                "Put the window's middle on the pixel (or pass centred=False if that is what is meant).",
            )

    def check_projection(self) -> None:
        assert isinstance(self.descriptor, Projecting)
        n = len(self.descriptor.features)
        mean, components = self.rng.normal(size=n), self.rng.normal(size=(3, n))
        valid = self._with_dead_pixels()
        plain = (self.describe(self.wide, valid) - mean) @ components.T
        fused = self.descriptor.project(self.wide, mean, components, _read_only(valid))
        _demand(fused.dtype == np.float32, f"{self.where}: project returns {fused.dtype}, wanted float32.")
        _demand_equal(
            fused,
            plain.astype(np.float32),
            PROJECTION_TOLERANCE,
            f"{self.where}: project is not the projected features",
        )

    def check_features_stay(self, watcher: _Watcher) -> None:
        for valid in (None, self._with_dead_pixels()):
            plain = watcher.descriptor(self.wide, valid)
            same = np.array_equal(self.describe(self.wide, valid)[..., :-1], plain)
            _demand(same, f"{self.where}: watch gives other features than a call.")

    def _reach(self, axis: int, side: int) -> int:
        """How far the middle grid point sees along an axis to one side, px, by bisection."""
        i, j = (n // 2 for n in self.reference.shape[:2])
        pixel = (i, j)[axis] * self.stride + self.halo
        near, far = 0, self.halo + 1  # something at `near` is seen (or near is 0), nothing from `far` on
        while far - near > 1:
            middle = (near + far) // 2
            beyond = slice(0, pixel - middle + 1) if side < 0 else slice(pixel + middle, None)
            other = self.wide.copy()
            part = other[beyond] if axis == 0 else other[:, beyond]
            part[...] = self.rng.permutation(part.ravel()).reshape(part.shape) * np.float32(10.0)
            seen = _difference(self.describe(other)[i, j], self.reference[i, j]) > self.tolerance
            near, far = (middle, far) if seen else (near, middle)
        return near

    def _with_dead_pixels(self) -> Mask:
        """A mask with scattered dead pixels, a dead row and an invalid border."""
        valid = np.random.default_rng(1).random(self.wide.shape) > 0.01
        valid[self.wide.shape[0] // 3, :] = False
        valid[:, : self.halo // 2 + 1] = False
        valid[-(self.halo // 3 + 1) :, :] = False
        return valid

    def _support_has_valid_pixel(self, valid: Mask) -> Mask:
        counts = np.pad(valid.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        reach = 2 * self.halo + 1
        inside = counts[reach:, reach:] - counts[:-reach, reach:] - counts[reach:, :-reach] + counts[:-reach, :-reach]
        return np.asarray(inside[:: self.stride, :: self.stride] > 0)

    def _demand_same(self, got: npt.NDArray[Any], wanted: npt.NDArray[Any], law: str) -> None:
        _demand_equal(got, wanted, self.tolerance, f"{self.where}: {law}")


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _demand_finite(features: FeatureMap, what: str) -> None:
    n_bad = int((~np.isfinite(features)).sum())
    _demand(n_bad == 0, f"{what} gives {n_bad} features that are not finite. Give 0 where there is nothing to measure.")


def _demand_equal(got: npt.NDArray[Any], wanted: npt.NDArray[Any], tolerance: float, law: str) -> None:
    _demand(got.shape == wanted.shape, f"{law}: shape {got.shape} against {wanted.shape}.")
    difference = _difference(got, wanted)
    _demand(
        difference <= tolerance,
        f"{law} (largest difference {difference:.3g} of the largest value, allowed {tolerance:.3g}).",
    )


def _difference(got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    """Largest difference as a part of the largest value; 0 only for equal values, inf where one is not finite."""
    if np.array_equal(got, wanted):
        return 0.0
    if not (np.isfinite(got).all() and np.isfinite(wanted).all()):
        return float("inf")
    scale = float(np.abs(wanted).max())
    largest = float(np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max())
    return largest / scale if scale > 0 else float("inf")


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _lattice_in_noise(seed: int) -> Frame:
    """A square lattice, half of it turned, on a slope with noise; shape (141, 117), counts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:141, :117].astype(np.float64)
    angle = np.where(x + 0.3 * y < 75, 0.2, 0.7)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    wave = np.cos(2 * np.pi * along / 9.3) + np.cos(2 * np.pi * across / 9.3)
    return np.asarray(200.0 + 40.0 * wave + 0.2 * y + rng.normal(0.0, 15.0, y.shape), dtype=np.float32)
