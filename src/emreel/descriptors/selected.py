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

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Descriptor, Feature, FeatureMap, Fold, Frame, Mask, Projecting
from emreel.descriptors.registry import build_descriptor, describe_descriptor, suggest_descriptor
from emreel.movie import EmreelError
from emreel.reduce import project_rows


class SelectedError(EmreelError, ValueError):
    """Features to select that the descriptor does not have, or no descriptor."""


class Described(dict[str, Any]):
    """Name and fields of a descriptor as plain values; hashable, so that it can be a field of another one."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Chosen features of any descriptor; grid, halo and values are that descriptor's.

    Parameters
    ----------
    descriptor : the descriptor, or its name and fields as a mapping; kept as a mapping (plain values).
    indices : which of its features, rising or not, none twice.

    Everything is still computed, so this saves memory and the fit's time rather than the descriptor's; translations
    have `PreselectedTranslations`, which computes what is kept only.

    Raises
    ------
    SelectedError : an index out of range or given twice, or something that is no descriptor.
    """

    name: ClassVar[str] = "selected"
    descriptor: Descriptor | Mapping[str, Any]
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "descriptor", _described(self.descriptor))
        indices = tuple(int(i) for i in self.indices)
        object.__setattr__(self, "indices", indices)
        n_features = len(self.inner.features)
        if not indices or len(set(indices)) < len(indices) or not all(0 <= i < n_features for i in indices):
            raise SelectedError(
                f"got indices {indices}, wanted at least one, each once, of the {n_features} features (0 to "
                f"{n_features - 1}) of '{self.inner.name}'."
            )

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Let the inner descriptor learn what it is not given; the indices are the user's."""
        for key in ("descriptor", "indices"):
            if key not in given:
                raise SelectedError(f"got no {key} for 'selected'. Give a descriptor and the indices of its features.")
        fields = _fields_of(given["descriptor"])
        return cls(descriptor=suggest_descriptor(fields.pop("name"), fields, fold), indices=given["indices"])

    @cached_property
    def inner(self) -> Descriptor:
        """The descriptor whose features are chosen from."""
        fields = _fields_of(self.descriptor)
        return build_descriptor(fields.pop("name"), fields)

    @property
    def stride(self) -> int:
        return self.inner.stride

    @property
    def halo(self) -> int:
        return self.inner.halo

    @property
    def smallest_frame_px(self) -> int:
        """The inner descriptor's, by default larger than its halo."""
        return int(getattr(self.inner, "smallest_frame_px", self.halo + 1))

    @property
    def features(self) -> tuple[Feature, ...]:
        every = self.inner.features
        return tuple(every[i] for i in self.indices)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """The inner descriptor's features at ``indices``, shape (y_grid, x_grid, len(indices))."""
        return np.ascontiguousarray(self.inner(padded, valid)[..., list(self.indices)])

    def project(
        self,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """``(features - mean) @ components.T``; inside the inner descriptor where it can, with 0 for all others."""
        if not isinstance(self.inner, Projecting):
            return project_rows(self(padded, valid), mean, components)
        at, n = list(self.indices), len(self.inner.features)
        wide_mean, wide = np.zeros(n), np.zeros((len(components), n))
        wide_mean[at], wide[:, at] = mean, components
        return self.inner.project(padded, wide_mean, wide, valid)


def _described(descriptor: object) -> Described:
    if isinstance(descriptor, Mapping):
        fields = _fields_of(descriptor)
        descriptor = build_descriptor(fields.pop("name"), fields)
    if not isinstance(descriptor, Descriptor):
        raise SelectedError(
            f"got {descriptor!r} for a descriptor, wanted one, or its name and fields: {{'name': 'spectrum', ...}}."
        )
    return Described(describe_descriptor(descriptor))


def _fields_of(descriptor: object) -> dict[str, Any]:
    if not isinstance(descriptor, Mapping) or not isinstance(descriptor.get("name"), str):
        raise SelectedError(f"got {descriptor!r} for a descriptor, wanted its name and fields: {{'name': ...}}.")
    return dict(descriptor)
