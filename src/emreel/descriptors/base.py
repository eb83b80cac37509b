"""The descriptor protocol: a frame in, a map of features out.

A descriptor is a frozen, keyword-only dataclass that is called on a padded frame. A complete one:

>>> from dataclasses import dataclass
>>> from typing import ClassVar
>>> import numpy as np
>>> from emreel.descriptors.base import Feature
>>> @dataclass(frozen=True, kw_only=True)
... class Brightness:
...     name: ClassVar[str] = "brightness"
...     stride: int = 2
...     halo: ClassVar[int] = 0
...     features: ClassVar[tuple[Feature, ...]] = (Feature("brightness", "counts"),)
...
...     def __call__(self, padded, valid=None):
...         return padded[:: self.stride, :: self.stride, None].copy()
>>> from emreel.testing import check_descriptor
>>> check_descriptor(Brightness())
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.float32]  # (y, x), counts
Mask = npt.NDArray[np.bool_]  # (y, x), True where the frame can be trusted
FeatureMap = npt.NDArray[np.float32]  # (y_grid, x_grid, feature)


@dataclass(frozen=True)
class Feature:
    """One channel of a descriptor: a name that tells what it is, and its unit ("1" for a plain number).

    ``brightness``: it varies within a phase as well, with thickness and contamination, so that a small difference
    in it alone makes no phase.
    """

    name: str
    units: str = "1"
    brightness: bool = False


class Partial(Protocol):
    """A mergeable piece of a reduction."""

    def __add__(self, other: Self, /) -> Self: ...


P = TypeVar("P", bound=Partial)


class Fold(Protocol):
    """Applies ``of(frame, valid)`` to every prepared sample frame and adds the partials in frame order."""

    def __call__(self, of: Callable[[Frame, Mask], P], /) -> P: ...


@runtime_checkable
class Descriptor(Protocol):
    """What emreel asks of a descriptor. `emreel.testing.check_descriptor` is the definition of correct.

    ``descriptor(padded, valid)`` takes a frame padded by ``halo`` px on every side, float32, shape
    (h + 2 halo, w + 2 halo), and returns float32 features of shape
    (ceil(h / stride), ceil(w / stride), len(features)). Grid point (i, j) lies on pixel
    (i stride, j stride) of the unpadded frame. ``valid`` has the shape of ``padded``; where it is False
    (padding beyond the frame, dead and NaN pixels) the pixel's value means nothing and carries no weight.
    The input is left as it was. A grid point whose whole support is invalid gets finite values.

    A class that can complete its fields from a movie has a class method ``suggest(given, fold)``: it takes the fields
    given in a recipe, and learns what is left out by folding over prepared sample frames (`Fold`).

    What else a descriptor may say, where the usual does not fit it:

    - ``smallest_frame_px``: it makes sense of frames from this side length on (else: larger than the halo).
    - ``resolution_px``: points at this distance share no pixels (else: the halo); so many points count as independent.
    - ``unprojected = True``: its features are clustered as they are, unless a recipe asks for principal components.
    - ``clusterer``: the name of the clusterer that belongs to it (else: "kmeans").
    """

    name: ClassVar[str]

    @property
    def stride(self) -> int: ...
    @property
    def halo(self) -> int: ...
    @property
    def features(self) -> tuple[Feature, ...]: ...

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap: ...


@runtime_checkable
class Projecting(Protocol):
    """A descriptor that projects while it computes, so that ``features x y x x`` never exists."""

    def project(
        self,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """Return ``(features - mean) @ components.T``, shape (y_grid, x_grid, len(components)), float32."""
        ...


@runtime_checkable
class Watching(Protocol):
    """A descriptor that also looks out for what none of its features tells: a new phase shows by it, no class does."""

    @property
    def watches(self) -> bool:
        """Whether there is anything to look out for."""
        ...

    def watch(self, padded: Frame, valid: Mask | None = None) -> tuple[FeatureMap, npt.NDArray[np.float32]]:
        """Return the features, and what is watched, shape (y_grid, x_grid), 0 where there is nothing of it."""
        ...
