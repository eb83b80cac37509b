"""From features to the space that classes are found in: principal components, or the features themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel import engine
from emreel.cluster import RESERVOIR_ROWS, Reservoir
from emreel.descriptors.base import Descriptor
from emreel.fit.errors import FitError
from emreel.fit.sample import EXTRA_COLUMNS, Rows
from emreel.recipe import Recipe
from emreel.reduce import PCA, Moments, project_rows

N_EXTRA = len(EXTRA_COLUMNS)
#: Components that published methods keep (Wang et al. 2021).
N_COMPONENTS = 5
#: Moments of more features than this are taken over the reservoir's rows, else each partial is too large to send.
WIDE_FEATURES = 1024
#: Rows of a reservoir take at most so many bytes.
RESERVOIR_BYTES = 2**27


@dataclass(frozen=True)
class Projection:
    """From features to components, and which of their directions are brightness.

    mean : shape (feature,). components : shape (component, feature); None for the features less their mean.
    """

    descriptor: Descriptor
    mean: npt.NDArray[np.float64]
    components: npt.NDArray[np.float64] | None

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return project_rows(features, self.mean, self.components)

    @property
    def n_components(self) -> int:
        return len(self.mean) if self.components is None else len(self.components)

    @property
    def brightness(self) -> npt.NDArray[np.float64]:
        """shape (brightness feature, component)."""
        which = [i for i, feature in enumerate(self.descriptor.features) if feature.brightness]
        kept = np.eye(len(self.descriptor.features)) if self.components is None else self.components
        return np.ascontiguousarray(kept[:, which].T)

    def of_parts(self, rows: engine.Parts) -> engine.Parts:
        """The rows with components in place of their features, where they lie."""
        return rows.map(_project_part, self.mean, self.components)


def learn_projection(rows: engine.Parts, recipe: Recipe, descriptor: Descriptor) -> Projection:
    """The projection that the recipe asks for.

    Raises
    ------
    FitError : more components than features.
    """
    n_features = len(descriptor.features)
    if n_features <= WIDE_FEATURES:
        moments = rows.fold(_moments_of)
    else:
        moments = Moments.of(gather_reservoir(rows, n_features)[:, :-N_EXTRA])
    wanted = recipe.reduce.n_components
    if wanted is None:
        wanted = n_features if getattr(descriptor, "unprojected", False) else min(N_COMPONENTS, n_features)
    if wanted > n_features:
        raise FitError(f"n_components is {wanted}, but '{descriptor.name}' has {n_features} features. Ask for fewer.")
    if wanted == n_features:
        return Projection(descriptor, moments.finish()[0], None)
    pca = PCA(n_components=wanted).fit_moments(moments)
    return Projection(descriptor, pca.mean_, pca.components_)


def gather_reservoir(parts: engine.Parts, n_features: int) -> npt.NDArray[np.float32]:
    """The rows with the lowest hashes and their extra columns, as many as fit, in the order of their hashes."""
    return _gather(parts, _reservoir_of, n_features + N_EXTRA)


def gather_cores(parts: engine.Parts, n_features: int, n_columns: int) -> npt.NDArray[np.float32]:
    """The same of the core points: mean features, then the columns of `Rows.core_extra`."""
    return _gather(parts, _core_reservoir_of, n_features + n_columns)


def _gather(parts: engine.Parts, of: Any, n_columns: int) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = parts.fold(of, min(RESERVOIR_ROWS, RESERVOIR_BYTES // (4 * n_columns))).finish()
    return rows


def _moments_of(part: Rows) -> Moments:
    return Moments.of(part.features)


def _project_part(part: Rows, mean: npt.NDArray[Any], components: npt.NDArray[Any] | None) -> Rows:
    return replace(part, features=project_rows(part.features, mean, components))


def _reservoir_of(part: Rows, capacity: int) -> Reservoir:
    return Reservoir.of(part.hashes, np.hstack([part.features, part.extra]), capacity)


def _core_reservoir_of(part: Rows, capacity: int) -> Reservoir:
    return Reservoir.of(part.core_hashes, np.hstack([part.mean_features, part.core_extra]), capacity)
