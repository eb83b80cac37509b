"""In-plane orientation of lattices, from the energies of a filter bank or from the image itself.

An orientation is only known up to the symmetry of what carries it: a single fringe system, and a crystal such as fcc
along [110], repeats after 180 degrees (fold 2), a square lattice after 90 (fold 4), a hexagonal one after 60 (fold 6).
The whole module uses one reduced number, an angle in [0, 360 / fold) degrees, from the x axis towards the y axis
(downwards in the picture), of the wave vectors.

- `strongest_angle`: the direction of the filter that answers most (Barcena-Gonzalez et al., Small Methods 2023),
  refined between the filters by a parabola.
- `fold_angle`: the phase of the fold-th angular harmonic of the energies,
  ``angle = arg(sum_k E_k exp(i n theta_k)) / n``, and its coherence ``|sum| / sum E``. It is an axis of symmetry of the
  energies, so it does not jump where a crystal has several equally strong fringes, as fcc along [110] has two. Twins
  that share a fringe (all neighbours in a decahedron do) are told apart by this and not by the strongest filter alone.
  Give it the energies of one {hkl} family: a filter of one octave sees {111} and {200} of fcc along [110] alike, whose
  harmonics oppose each other.
- `fringes_of`: the wave vectors of one crystal, by the peaks of its own spectrum, to a small part of a degree.
- `crystal_angles`: the angle of every labelled crystal from its fringes; each fringe counts alike, so that a tilted
  crystal, whose two {111} differ in strength, keeps its angle.

When they fail: a crystal of fewer than about four fringes has no measurable direction; a map of overlapping crystals
shows the stronger one; with a wrong fold the angle is reduced too far, and different crystals share a colour.

>>> import numpy as np
>>> y, x = np.mgrid[:64, :64]
>>> lattice = 100 + 10 * np.cos(2 * np.pi * (x * np.cos(0.3) + y * np.sin(0.3)) / 6)
>>> [crystal] = crystal_angles(lattice, np.ones((64, 64), np.uint8), wavelengths_px=(5, 7))
>>> crystal.label, round(crystal.angle_deg, 1), round(float(np.degrees(0.3)), 1)
(1, 17.2, 17.2)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from emreel.movie import EmreelError

Floats = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]

#: A fringe of a crystal has at least this share of the power of its strongest one.
LEAST_SHARE = 0.2
#: A crystal is looked at this far from its edge, in its longest wavelength.
INSET_WAVELENGTHS = 0.5
#: Its spectrum is sampled so many times finer than its own size asks for.
OVERSAMPLING = 3
#: Two fringes of one crystal lie at least so many widths of its spectral peaks apart.
APART_WIDTHS = 2.0
#: A fringe has so many times the median power between the two wavelengths; noise alone hardly ever has.
CONTRAST = 12.0
#: Power below this share of what the counts could have is rounding.
ROUNDING = 1e-14
#: A crystal needs so many fringes across.
LEAST_FRINGES = 4
MOST_FRINGES = 12


class OrientationError(EmreelError, ValueError):
    """Energies, angles or labels from which no orientation can be read."""


@dataclass(frozen=True, kw_only=True)
class Fringe:
    """One wave in a crystal: its wave vector (gy, gx) in cycles/px and its power."""

    g_yx: tuple[float, float]
    power: float

    @property
    def angle_deg(self) -> float:
        """Direction of the wave vector in [0, 180)."""
        return float(np.degrees(np.arctan2(*self.g_yx)) % 180)

    @property
    def wavelength_px(self) -> float:
        return float(1 / np.hypot(*self.g_yx))


@dataclass(frozen=True, kw_only=True)
class Crystal:
    """One labelled crystal: its angle in [0, 360 / fold) degrees (NaN when it shows no fringe) and its fringes."""

    label: int
    angle_deg: float
    fringes: tuple[Fringe, ...]


def reduce_angle(angle_deg: npt.ArrayLike, fold: int) -> Floats:
    """The same orientation in [0, 360 / fold) degrees.

    >>> float(reduce_angle(-10.0, 4)), float(reduce_angle(190.0, 2))
    (80.0, 10.0)
    """
    period = _period_deg(fold)
    reduced = np.asarray(np.mod(np.asarray(angle_deg, np.float64), period))
    return np.where(reduced >= period, 0.0, reduced)


def angle_between(a_deg: npt.ArrayLike, b_deg: npt.ArrayLike, fold: int) -> Floats:
    """Smallest turn from ``b_deg`` to ``a_deg`` that the symmetry leaves, in [-180 / fold, 180 / fold) degrees.

    >>> float(angle_between(178.0, 1.0, 2))
    -3.0
    """
    period = _period_deg(fold)
    return np.asarray(
        (np.asarray(a_deg, np.float64) - np.asarray(b_deg, np.float64) + period / 2) % period - period / 2
    )


def strongest_angle(energies: npt.ArrayLike) -> tuple[Map, Map]:
    """Direction of the strongest filter and its share of the energy.

    energies : shape (..., n), of filters at the angles 180 k / n degrees; those of one angle already added.
    Returns the angle in [0, 180) degrees, refined by a parabola through the strongest and its neighbours, and the
    energy of the strongest over the mean, minus one, over n - 1 (0: all alike; 1: one filter alone). Both (...,).

    Raises
    ------
    OrientationError : fewer than three angles.
    """
    values = _checked_energies(energies)
    n = values.shape[-1]
    best = values.argmax(axis=-1)
    middle, left, right = (
        np.take_along_axis(values, ((best + step) % n)[..., None], axis=-1)[..., 0] for step in (0, -1, 1)
    )
    curve = 2 * middle - left - right
    shift = np.divide(right - left, 2 * curve, out=np.zeros_like(middle), where=curve > 0)
    angle = ((best + np.clip(shift, -0.5, 0.5)) * 180.0 / n) % 180
    total = values.sum(axis=-1)
    share = np.divide(n * middle - total, (n - 1) * total, out=np.zeros_like(total), where=total > 0)
    return angle.astype(np.float32), share.astype(np.float32)


def fold_angle(energies: npt.ArrayLike, fold: int = 2) -> tuple[Map, Map]:
    """Angle and coherence of the fold-th harmonic of the energies over the angle.

    energies : shape (..., n), of filters at the angles 180 k / n degrees. fold : even, below n: filters see a wave
    vector and its opposite as one.
    Returns the angle in [0, 360 / fold) degrees and the coherence, 0 to 1 (0 where there is no energy). Both (...,).

    Raises
    ------
    OrientationError : fewer than three angles, a fold that is odd or too high for them.
    """
    values = _checked_energies(energies)
    n = values.shape[-1]
    if fold < 2 or fold % 2 or fold >= 2 * n:
        raise OrientationError(f"got a fold of {fold}, wanted an even number from 2 to {2 * n - 2}.")
    wave = np.exp(1j * fold * np.pi * np.arange(n) / n)
    harmonic = values @ wave
    total = values.sum(axis=-1)
    coherence = np.divide(np.abs(harmonic), total, out=np.zeros_like(total), where=total > 0)
    return reduce_angle(np.degrees(np.angle(harmonic)) / fold, fold).astype(np.float32), coherence.astype(np.float32)


def sum_over_wavelengths(features: npt.ArrayLike, n_orientations: int) -> Floats:
    """Energies a direction from the features of a `emreel.descriptors.gabor.GaborBank`, shape (..., n_orientations).

    features : shape (..., n_wavelengths * n_orientations), all orientations of one wavelength after those of the last.
    """
    values = np.asarray(features, np.float64)
    if n_orientations < 1 or values.shape[-1] % n_orientations:
        raise OrientationError(f"got {values.shape[-1]} features, wanted a multiple of {n_orientations} orientations.")
    return np.asarray(values.reshape(*values.shape[:-1], -1, n_orientations).sum(axis=-2))


def fringes_of(
    image: npt.ArrayLike, mask: npt.ArrayLike, wavelengths_px: tuple[float, float], *, least_share: float = LEAST_SHARE
) -> tuple[Fringe, ...]:
    """The fringes of one crystal, strongest first.

    Parameters
    ----------
    image : shape (y, x), counts.
    mask : shape (y, x), True on the crystal.
    wavelengths_px : shortest and longest spacing to look for.
    least_share : weaker than this share of the strongest is left out.

    Returns
    -------
    At most twelve; none for a crystal of fewer than four fringes. Each is the top of the spectrum of the masked
    image, whose edge is softened over a wavelength, found to a small part of a bin by Newton steps.
    """
    shortest, longest = _checked_wavelengths(wavelengths_px)
    inside = np.asarray(mask, bool)
    weight = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] - INSET_WAVELENGTHS * longest
    weight = np.clip(weight / longest, 0, 1)
    if weight.max() < 1 or np.sqrt(np.sum(weight)) < LEAST_FRINGES * shortest:
        return ()
    rows, columns = ndimage.find_objects((weight > 0).astype(np.uint8))[0]
    weight = weight[rows, columns]
    flat = np.asarray(image, np.float64)[rows, columns]
    broad = [ndimage.gaussian_filter(a, 1.5 * longest, mode="constant") for a in (flat * weight, weight)]
    flat = (flat - broad[0] / np.maximum(broad[1], 1e-12)) * weight
    size = [fft.next_fast_len(OVERSAMPLING * n) for n in flat.shape]
    power = np.abs(fft.fft2(flat, size)) ** 2
    ky, kx = fft.fftfreq(size[0])[:, None], fft.fftfreq(size[1])[None, :]
    radius = np.hypot(ky, kx)
    wanted = (radius >= 1 / longest) & (radius <= 1 / shortest) & ((ky > 0) | ((ky == 0) & (kx > 0)))
    apart = APART_WIDTHS / np.sqrt(np.sum(weight))
    rounding = ROUNDING * float(np.sum(weight) * np.abs(image).max()) ** 2
    least = max(CONTRAST * float(np.median(power[wanted])), rounding) if wanted.any() else np.inf
    found: list[Fringe] = []
    candidates = np.where(wanted & (power == ndimage.maximum_filter(power, 3, mode="wrap")), power, 0.0)
    for flat_index in np.argsort(candidates, axis=None)[::-1][: 8 * MOST_FRINGES]:
        y, x = np.unravel_index(int(flat_index), power.shape)
        if candidates[y, x] <= least or (found and candidates[y, x] < least_share * found[0].power):
            break
        g = float(fft.fftfreq(size[0])[y]), float(fft.fftfreq(size[1])[x])
        if all(min(np.hypot(g[0] - s * f.g_yx[0], g[1] - s * f.g_yx[1]) for s in (1, -1)) > apart for f in found):
            found.append(Fringe(g_yx=_climb(flat, g), power=float(power[y, x])))
    return tuple(found[:MOST_FRINGES])


def crystal_angles(
    image: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    wavelengths_px: tuple[float, float],
    fold: int = 2,
    ignore: tuple[int, ...] = (0, 254, 255),
) -> tuple[Crystal, ...]:
    """Angle of every labelled crystal, from its own fringes.

    Parameters
    ----------
    image : shape (y, x), counts. labels : shape (y, x); every value is one crystal.
    wavelengths_px : the spacing(s) that carry the angle, shortest and longest: best one {hkl} family alone, such as
        {111} of fcc along [110], whose two fringes have the angle of their bisector.
    fold : of the crystal's in-plane symmetry, even.
    ignore : labels that are no crystals.

    Raises
    ------
    OrientationError : shapes that differ, wavelengths that no image can show, an odd fold.
    """
    picture, classes = np.asarray(image), np.asarray(labels)
    if picture.shape != classes.shape or picture.ndim != 2:
        raise OrientationError(
            f"got an image of shape {picture.shape} and labels of {classes.shape}, wanted one (y, x)."
        )
    if fold < 2 or fold % 2:
        raise OrientationError(f"got a fold of {fold}, wanted an even number from 2 up.")
    crystals = []
    for label in np.unique(classes):
        if int(label) in ignore:
            continue
        fringes = fringes_of(picture, classes == label, wavelengths_px)
        harmonic = sum(np.exp(1j * fold * np.deg2rad(fringe.angle_deg)) for fringe in fringes)
        angle = float(reduce_angle(np.degrees(np.angle(harmonic)) / fold, fold)) if fringes else float("nan")
        crystals.append(Crystal(label=int(label), angle_deg=angle, fringes=fringes))
    return tuple(crystals)


def _climb(flat: Floats, g_yx: tuple[float, float], steps: int = 6) -> tuple[float, float]:
    """The top of the power of ``sum flat exp(-2 pi i g r)`` near g, by Newton steps on its logarithm."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in flat.shape)
    largest = 0.5 / max(flat.shape)
    g = np.array(g_yx)
    for _ in range(steps):
        wave_y, wave_x = np.exp(-2j * np.pi * g[0] * y), np.exp(-2j * np.pi * g[1] * x)
        moments = np.array([y**p for p in range(3)]) * wave_y, np.array([x**p for p in range(3)]) * wave_x
        rows = np.concatenate([moments[0].real, moments[0].imag]) @ flat  # real: no complex copy of the picture
        sums: npt.NDArray[Any] = (rows[:3] + 1j * rows[3:]) @ moments[1].T
        sums /= sums[0, 0]
        first = -2j * np.pi * np.array([sums[1, 0], sums[0, 1]])
        second = -4 * np.pi**2 * np.array([[sums[2, 0], sums[1, 1]], [sums[1, 1], sums[0, 2]]])
        slope, curve = 2 * first.real, 2 * (second - np.outer(first, first)).real
        if curve[0, 0] >= 0 or np.linalg.det(curve) <= 0:
            break
        step = np.linalg.solve(curve, -slope)
        length = float(np.hypot(*step))
        g += step * min(1.0, largest / max(length, 1e-15))
        if length < 1e-9:
            break
    return float(g[0]), float(g[1])


def _period_deg(fold: int) -> float:
    if fold < 1:
        raise OrientationError(f"got a fold of {fold}, wanted a whole number from 1 up.")
    return 360.0 / fold


def _checked_energies(energies: npt.ArrayLike) -> Floats:
    values = np.asarray(energies, np.float64)
    if values.ndim == 0 or values.shape[-1] < 3:
        raise OrientationError(f"got energies of shape {values.shape}, wanted (..., n) with at least three angles.")
    return values


def _checked_wavelengths(wavelengths_px: tuple[float, float]) -> tuple[float, float]:
    shortest, longest = float(wavelengths_px[0]), float(wavelengths_px[1])
    if not 2 <= shortest < longest < np.inf:
        raise OrientationError(f"got wavelengths_px = {wavelengths_px}, wanted (shortest, longest), from 2 px up.")
    return shortest, longest
