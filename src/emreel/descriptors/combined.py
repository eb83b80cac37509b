"""Several descriptors as one: their features side by side, each descriptor scaled by its own variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from emreel.descriptors.base import Descriptor, Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import Tile, window_of
from emreel.descriptors.registry import DescriptorError, split_name, suggest_descriptor
from emreel.descriptors.sample_sums import Sums


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Features of several descriptors, side by side.

    feature = w_p x_p / s_p, with x_p the features of part p as they are, s_p the square root of the sum of their
    variances over the movie, and w_p the part's weight: parts of equal weight have equal say, however many features
    they have and whatever the features' units. Within a part nothing is scaled, as in the published methods.

    Use it where phases differ in more than one way: order tells the amorphous layer from the film, brightness tells it
    from the cap. A part in which nothing but noise varies is blown up to the others' spread: leave it out, or
    lower its weight.

    In a recipe::

        [descriptor]
        name = "combined"
        weights = [1.0, 0.5]
        [[descriptor.parts]]
        name = "translation"
        [[descriptor.parts]]
        name = "intensity"

    Parameters
    ----------
    parts : descriptors of one stride; `suggest` gives all the stride of the first, and completes each from the movie.
    weights : one a part; all 1 when left out.
    spreads : s_p, one a part; `suggest` measures them.

    Raises
    ------
    DescriptorError : no part, parts of different strides, or numbers that do not fit the parts.

    >>> from emreel.descriptors.intensity import Intensity
    >>> fine, coarse = Intensity(sigma_px=1.0), Intensity(sigma_px=8.0)
    >>> both = Combined(parts=(fine, coarse), weights=(1.0, 0.5), spreads=(0.2, 0.1))
    >>> [feature.name for feature in both.features], both.halo == coarse.halo
    (['intensity.log_counts', 'intensity2.log_counts'], True)
    """

    name: ClassVar[str] = "combined"

    parts: tuple[Descriptor, ...]
    weights: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            raise DescriptorError("got no parts to combine, wanted at least one: parts = [{name = 'translation'}].")
        for field in ("weights", "spreads"):
            numbers = tuple(float(number) for number in getattr(self, field)) or (1.0,) * len(self.parts)
            object.__setattr__(self, field, numbers)
            if len(numbers) != len(self.parts) or not all(0 < number < np.inf for number in numbers):
                raise DescriptorError(
                    f"got {field} {numbers} for {len(self.parts)} parts, wanted a positive number for each."
                )
        strides = sorted({part.stride for part in self.parts})
        if len(strides) > 1:
            raise DescriptorError(f"got parts of strides {strides}, wanted one stride. Give all parts the same.")

    @property
    def stride(self) -> int:
        return self.parts[0].stride

    @property
    def halo(self) -> int:
        """That of the part that reaches farthest, px."""
        return max(part.halo for part in self.parts)

    @property
    def smallest_frame_px(self) -> int:
        return max(getattr(part, "smallest_frame_px", part.halo + 1) for part in self.parts)

    @property
    def features(self) -> tuple[Feature, ...]:
        """``part.feature`` of every part; a second part of a name has a 2 behind it."""
        found: list[Feature] = []
        seen: dict[str, int] = {}
        for part in self.parts:
            seen[part.name] = seen.get(part.name, 0) + 1
            number = "" if seen[part.name] == 1 else str(seen[part.name])
            found += [
                Feature(f"{part.name}{number}.{feature.name}", brightness=feature.brightness)
                for feature in part.features
            ]
        return tuple(found)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        maps = []
        for part, weight, spread in zip(self.parts, self.weights, self.spreads, strict=True):
            cut = self.halo - part.halo
            inner = slice(cut, padded.shape[0] - cut), slice(cut, padded.shape[1] - cut)
            features = part(padded[inner], None if valid is None else valid[inner])
            maps.append(features * np.float32(weight / spread))
        return np.concatenate(maps, axis=-1)

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Combined:
        """Every part completed from the movie, on the stride of the first; their spreads measured."""
        parts: list[Descriptor] = []
        for described in given.get("parts", ()):
            name, fields = split_name(described)
            if parts:
                fields = {"stride": parts[0].stride, **fields}
            parts.append(suggest_descriptor(name, fields, fold))
        combined = cls(**{**given, "parts": tuple(parts)})
        if "spreads" in given:
            return combined
        return replace(combined, spreads=_spreads(combined.parts, fold))


def _spreads(parts: Sequence[Descriptor], fold: Fold) -> tuple[float, ...]:
    """Square root of the total variance of each part's features over the sample; 1 for a part without any."""
    found = []
    for part in parts:
        n, total, square = fold(partial(_feature_sums, part=part)).values
        variance = float(np.sum(np.maximum(square / n - (total / n) ** 2, 0)))
        found.append(float(np.sqrt(variance)) if variance > 0 else 1.0)
    return tuple(found)


def _feature_sums(frame: Frame, valid: Mask, *, part: Descriptor) -> Sums:
    """Number of grid points, sums and sums of squares of every feature of one frame."""
    whole = Tile(0, frame.shape[0], 0, frame.shape[1])
    features = part(*window_of(frame, valid, whole, whole.grown(part.halo))).astype(np.float64)
    rows = features.reshape(-1, features.shape[-1])
    return Sums(np.stack([np.full(rows.shape[1], float(len(rows))), rows.sum(0), (rows**2).sum(0)]))
