"""Fisher separability: which features of a descriptor tell the phases apart, and the few that are enough.

Given features and the classes of some points, every feature has

    S = sum over classes of N_i (mu_i - mu)^2  /  sum over classes of N_i var_i

the variance between the classes over the variance within them (R. A. Fisher, Annals of Eugenics 7 (1936) 179;
Wang et al., Microsc. Microanal. 27 (2021) 1454, eq. 4, there for two classes). S = 1 means that the classes' means
lie as far apart as the classes are wide; a feature that is the same everywhere has S = 0 (the original gives NaN for
the shift (0, 0)), one that tells the classes apart without any spread has S = inf.

The published use: describe one frame with all operations, segment it, keep the n best operations and describe the
rest of the movie with those alone. `ClassScatter` measures S over any number of frames for any descriptor, and
`keep_best` makes the cheaper descriptor.

**Use it** when many features cost time, or to see what a segmentation rests on. **It fails** as a guide where the
labels it is given are wrong, and it looks at one feature at a time: two features that only together tell the classes
apart both have S near 0, and the n best may say the same thing n times (only opposite translations are known to).

>>> import numpy as np
>>> from emreel.descriptors.geometry import pad_frame
>>> from emreel.descriptors.translation import TranslationSymmetry
>>> y, x = np.mgrid[:96, :96]
>>> label = np.where(x < 48, 1, 2)
>>> rng = np.random.default_rng(0)
>>> frame = (np.where(x < 48, np.cos(2 * np.pi * x / 8), np.cos(2 * np.pi * y / 8)) + rng.normal(0, 0.3, x.shape))
>>> every = TranslationSymmetry(window_px=8, patch_px=6, stride=4, max_shifts=25)
>>> scatter = ClassScatter.of_frame(every, *pad_frame(frame.astype(np.float32), every.halo), label, n_classes=2)
>>> best = keep_best(every, scatter.finish(), 2)
>>> best.name, [shift for shift in best.shifts if 4 in map(abs, shift)] == list(best.shifts)
('preselected', True)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Descriptor, Frame, Mask
from emreel.descriptors.selected import Selected
from emreel.descriptors.translation import PreselectedTranslations, TranslationSymmetry
from emreel.movie import EmreelError

#: A feature whose standard deviation is below this share of its rms is constant: float32 rounds at 6e-8.
CONSTANT = 1e-6
#: Rows worked on at once.
BLOCK_ROWS = 2**15


class SeparabilityError(EmreelError, ValueError):
    """Features and labels that do not belong together, or nothing to choose from."""


@dataclass(frozen=True, eq=False)
class ClassScatter:
    """Number, mean and spread of every feature in every class; a mergeable partial.

    counts : shape (K,). means : shape (K, d). squares : shape (K, d), sums of squared deviations from the class's own
    mean. Merged in float64 by the update of Chan, Golub & LeVeque (1979), which loses no digits to an offset; add
    partials of fixed units (frames) in a fixed order for the same bits.
    """

    counts: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: npt.ArrayLike, labels: npt.ArrayLike, n_classes: int) -> Self:
        """Scatter of rows, shape (n, d), with classes 0..K-1, shape (n,); rows of any other class are left out.

        Raises
        ------
        SeparabilityError : shapes that do not fit.
        """
        table, classes = np.asarray(rows), np.asarray(labels)
        if table.ndim != 2 or classes.shape != table.shape[:1] or n_classes < 1:
            raise SeparabilityError(
                f"got rows of shape {table.shape}, labels of shape {classes.shape} and {n_classes} classes; "
                "wanted (n, d), (n,) and at least one. Take the label at every grid point."
            )
        total = cls._empty(n_classes, table.shape[1])
        for start in range(0, len(table), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            total = total + cls._of_block(table[block], classes[block], n_classes)
        return total

    @classmethod
    def of_frame(
        cls,
        descriptor: Descriptor,
        padded: Frame,
        valid: Mask | None,
        label: npt.NDArray[Any],
        n_classes: int,
    ) -> Self:
        """Scatter of one frame's features.

        padded, valid : the prepared frame with the descriptor's halo. label : shape (y, x) without halo, as in a
        result: 1..K; 0 (not computed), 254 (invalid) and 255 (unknown) are left out.

        Raises
        ------
        SeparabilityError : a label map of another size than the frame.
        """
        shape = tuple(n - 2 * descriptor.halo for n in padded.shape)
        if label.shape != shape:
            raise SeparabilityError(f"got labels of shape {label.shape} for a frame of {shape}. Pass that frame's own.")
        features = descriptor(padded, valid)
        at_points = label[:: descriptor.stride, :: descriptor.stride].astype(np.int64) - 1
        return cls.of(features.reshape(-1, features.shape[2]), at_points.ravel(), n_classes)

    def __add__(self, other: Self, /) -> Self:
        if self.means.shape != other.means.shape:
            raise SeparabilityError(f"scatter of {self.means.shape} and {other.means.shape} cannot be merged.")
        counts = self.counts + other.counts
        share = (other.counts / np.maximum(counts, 1))[:, None]
        apart = other.means - self.means
        squares = self.squares + other.squares + apart**2 * (share * self.counts[:, None])
        return type(self)(counts, self.means + apart * share, squares)

    def finish(self) -> npt.NDArray[np.float64]:
        """Separability of every feature, shape (d,), from 0 up; 0 for a constant feature, inf without any spread.

        Raises
        ------
        SeparabilityError : fewer than two classes have rows.
        """
        n_filled = int(np.count_nonzero(self.counts))
        if n_filled < 2:
            raise SeparabilityError(f"got rows of {n_filled} classes, wanted at least 2. Label with a larger K.")
        n = self.counts[:, None]
        middle = (n * self.means).sum(0) / n.sum()
        between = (n * (self.means - middle) ** 2).sum(0)
        within = self.squares.sum(0)
        size = n.sum() * middle**2 + between + within
        varies = between + within > CONSTANT**2 * size
        ratio = np.divide(between, within, out=np.full(within.shape, np.inf), where=within > 0)
        return np.where(varies, ratio, 0.0)

    @classmethod
    def _empty(cls, n_classes: int, n_features: int) -> Self:
        shape = n_classes, n_features
        return cls(np.zeros(n_classes, np.int64), np.zeros(shape), np.zeros(shape))

    @classmethod
    def _of_block(cls, rows: npt.NDArray[Any], classes: npt.NDArray[Any], n_classes: int) -> Self:
        found = cls._empty(n_classes, rows.shape[1])
        for k in range(n_classes):
            mine = rows[classes == k].astype(np.float64)
            if len(mine):
                found.counts[k], found.means[k] = len(mine), mine.mean(axis=0)
                found.squares[k] = ((mine - found.means[k]) ** 2).sum(axis=0)
        return found


def rank_features(separability: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Features by falling separability, the first of equals first; shape (d,)."""
    values = np.asarray(separability, np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise SeparabilityError(f"got separabilities of shape {values.shape} with NaN or of more than one axis.")
    return np.argsort(-values, kind="stable")


def keep_best(descriptor: Descriptor, separability: npt.ArrayLike, n: int) -> Descriptor:
    """The descriptor with its n best features only.

    Translations become `PreselectedTranslations` of the best shifts, without the opposite of one already chosen (it
    says nearly the same) and without (0, 0): only those are computed. Any other descriptor becomes a `Selected`.

    Parameters
    ----------
    separability : shape (d,), of every feature; see `ClassScatter.finish`.
    n : features kept, at least 1.

    Raises
    ------
    SeparabilityError : n out of range, or numbers of features that do not fit.
    """
    order = rank_features(separability).tolist()
    if len(order) != len(descriptor.features):
        raise SeparabilityError(f"got {len(order)} separabilities for {len(descriptor.features)} features.")
    if isinstance(descriptor, TranslationSymmetry | PreselectedTranslations):
        shifts = independent_of(tuple(descriptor.shifts[i] for i in order))
        _check_number(n, len(shifts), descriptor)
        return PreselectedTranslations(shifts=shifts[:n], patch_px=descriptor.patch_px, stride=descriptor.stride)
    _check_number(n, len(order), descriptor)
    return Selected(descriptor=descriptor, indices=tuple(sorted(order[:n])))


def independent_of(shifts: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The shifts in their order without (0, 0) and without the opposite of an earlier one."""
    kept: dict[tuple[int, int], None] = {}
    for dy, dx in shifts:
        if (dy, dx) != (0, 0) and (-dy, -dx) not in kept:
            kept[dy, dx] = None
    return tuple(kept)


def _check_number(n: int, most: int, descriptor: Descriptor) -> None:
    if not 1 <= n <= most:
        raise SeparabilityError(
            f"got n = {n}, wanted 1 to {most}, the features of '{descriptor.name}' that differ from each other."
        )
