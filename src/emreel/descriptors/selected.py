"""Some of another descriptor's features: the best ones, as `emreel.descriptors.separability` finds them.

>>> from emreel.descriptors.spectrum import PowerSpectrum
>>> few = Selected(descriptor=PowerSpectrum(window_px=10, stride=8), indices=(0, 3, 40))
>>> few.halo, few.stride, [feature.name for feature in few.features]
(10, 8, ['power +0 +0 /21 px', 'power +3 +0 /21 px', 'power -2 +2 /21 px'])

In a recipe:

    [descriptor]
    name = "selected"
    indices = [0, 3, 40]
    [descriptor.descriptor]
    name = "spectrum"
    window_px = 10
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Descriptor, Feature, FeatureMap, Fold, Frame, Mask, Projecting
from emreel.descriptors.registry import split_name, suggest_descriptor
from emreel.movie import EmreelError
from emreel.reduce import project_rows


class SelectedError(EmreelError, ValueError):
    """Features to select that the descriptor does not have, or no descriptor."""


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Chosen features of any descriptor; grid, halo and values are that descriptor's.

    Parameters
    ----------
    descriptor : the descriptor whose features are chosen from.
    indices : which of its features, rising or not, none twice.

    Everything is still computed, so this saves memory and the fit's time rather than the descriptor's; translations
    have `PreselectedTranslations`, which computes what is kept only.

    Raises
    ------
    SelectedError : an index out of range or given twice, or something that is no descriptor.
    """

    name: ClassVar[str] = "selected"
    descriptor: Descriptor
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.descriptor, Descriptor):
            raise SelectedError(f"got {self.descriptor!r} to select from, wanted a descriptor.")
        indices = tuple(int(i) for i in self.indices)
        object.__setattr__(self, "indices", indices)
        n_features = len(self.descriptor.features)
        if not indices or len(set(indices)) < len(indices) or not all(0 <= i < n_features for i in indices):
            raise SelectedError(
                f"got indices {indices}, wanted at least one, each once, of the {n_features} features (0 to "
                f"{n_features - 1}) of '{self.descriptor.name}'."
            )

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Let the inner descriptor learn what it is not given; the indices are the user's."""
        for key in ("descriptor", "indices"):
            if key not in given:
                raise SelectedError(f"got no {key} for 'selected'. Give a descriptor and the indices of its features.")
        return cls(descriptor=suggest_descriptor(*split_name(given["descriptor"]), fold), indices=given["indices"])

    @property
    def stride(self) -> int:
        return self.descriptor.stride

    @property
    def halo(self) -> int:
        return self.descriptor.halo

    @property
    def smallest_frame_px(self) -> int:
        """The inner descriptor's, by default larger than its halo."""
        return int(getattr(self.descriptor, "smallest_frame_px", self.halo + 1))

    @property
    def features(self) -> tuple[Feature, ...]:
        every = self.descriptor.features
        return tuple(every[i] for i in self.indices)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """The inner descriptor's features at ``indices``, shape (y_grid, x_grid, len(indices))."""
        return np.ascontiguousarray(self.descriptor(padded, valid)[..., list(self.indices)])

    def project(
        self,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """``(features - mean) @ components.T``; inside the inner descriptor where it can, with 0 for all others."""
        if not isinstance(self.descriptor, Projecting):
            return project_rows(self(padded, valid), mean, components)
        at, n = list(self.indices), len(self.descriptor.features)
        wide_mean, wide = np.zeros(n), np.zeros((len(components), n))
        wide_mean[at], wide[:, at] = mean, components
        return self.descriptor.project(padded, wide_mean, wide, valid)
