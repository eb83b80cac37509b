"""What a fit begins with: movies that belong together, a sample of them, and what they are described by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from emreel.cluster.registry import needs_n_clusters
from emreel.descriptors.base import Descriptor
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.ring import Ring
from emreel.descriptors.welch import SpectrumSums
from emreel.fit.classes import Evidence
from emreel.fit.errors import FitError
from emreel.fit.polycrystal import seek_polycrystal
from emreel.fit.sample import Sample, take_sample
from emreel.model import PIXEL_SIZE_TOLERANCE
from emreel.movie import check_movie, pixel_size_nm
from emreel.progress import Note, Progress, StageStarted
from emreel.recipe import DescriptorStep, Recipe

Kind = Literal["phases", "polycrystal", "one crystal", "amorphous", "featureless"]
#: What each kind of movie shows.
SEEN: dict[Kind, str] = {
    "phases": "phases that differ in their lattice or brightness",
    "polycrystal": "one lattice in many orientations: grains are followed by their names",
    "one crystal": "one crystal everywhere; nothing parts it into phases",
    "amorphous": "texture without a lattice, the same everywhere",
    "featureless": "white noise and nothing else",
}
#: A spectrum whose strongest ring is below this many times its weakest is white: noise and nothing else.
WHITE = 1.5


@dataclass(frozen=True, eq=False)
class Plan:
    """A sample, and the descriptor that the recipe and the movie ask for: a `Ring` for a polycrystal.

    ``ruler`` tells the lattice period, by which lengths of the recipe count; a polycrystal's ring is its own.
    """

    movies: Sequence[xr.DataArray]
    recipe: Recipe
    sample: Sample
    descriptor: Descriptor
    ruler: Lattice | None

    @property
    def period_px(self) -> float | None:
        """The lattice period, px; None for a movie without a lattice."""
        if isinstance(self.descriptor, Ring):
            return self.descriptor.period_px
        return self.ruler.period_px if self.ruler is not None and self.ruler.g_vectors else None

    def shows(self, n_clusters: int) -> Kind:
        """What kind of movie it is, once the number of its phases is known."""
        if self.ruler is None:
            return "polycrystal"
        if n_clusters > 1:
            return "phases"
        if self.period_px is not None:
            return "one crystal"
        return "amorphous" if self.sample.fold(SpectrumSums.of).structure > WHITE else "featureless"

    def gather(self, progress: Progress) -> Evidence:
        """Describe the sample: what classes are found in.

        Raises
        ------
        FitError : more components than features.
        """
        progress(StageStarted("describe"))
        assert self.ruler is not None  # only a polycrystal has none
        rows = self.sample.describe(self.descriptor, self.ruler, self.recipe)
        return Evidence.of(rows, self.recipe, self.descriptor, self.sample)


def plan_fit(movie: object, recipe: Recipe, progress: Progress, *, seek_grains: bool = True) -> Plan:
    """Sample and measure the movies, and choose the descriptor's fields.

    Raises
    ------
    FitError : every sampled frame is blank, frames smaller than the descriptor's halo, movies that do not fit together.
    """
    movies = _parse_movies(movie)
    progress(StageStarted("measure"))
    sample = take_sample(movies, recipe)
    progress(StageStarted("suggest"))
    ring = _ring_of(sample, recipe, progress) if seek_grains and recipe.seeks_grains else None
    descriptor: Descriptor = sample.suggest(recipe.descriptor) if ring is None else ring
    ruler = None
    if ring is None:
        ruler = descriptor if isinstance(descriptor, Lattice) else sample.suggest(DescriptorStep())
        assert isinstance(ruler, Lattice)
    _check_frame_size(movies, descriptor)
    return Plan(movies, recipe, sample, descriptor, ruler)


def check_clusters(recipe: Recipe) -> Recipe:
    """The recipe, unless its clusterer needs a number of phases that it does not have.

    Raises
    ------
    FitError : the number of phases is not given, and cannot be found.
    """
    found_anyway = recipe.seeks_grains and recipe.demands_grains
    if not found_anyway and recipe.cluster.n_clusters in (None, "auto") and needs_n_clusters(recipe.clusterer):
        raise FitError("the number of phases is not given. Pass n_clusters=3, or -k 3 on the command line.")
    return recipe


# ------------------------------------------------------------------------------------------------ inside


def _ring_of(sample: Sample, recipe: Recipe, progress: Progress) -> Ring | None:
    """The ring of a polycrystal; None when the movie is none."""
    fields = dict(recipe.descriptor.fields) if recipe.descriptor.name == "ring" else {}
    found = seek_polycrystal(sample, fields)
    if found is not None and (recipe.demands_grains or found.is_polycrystal):
        progress(Note(f"a polycrystal: {found}; its grains are followed by names"))
        return found.ring
    if recipe.demands_grains:
        raise FitError("the movie shows no lattice, so it has no grains. Leave [grains] find and the ring out.")
    return None


def _parse_movies(movie: object) -> list[xr.DataArray]:
    movies = [check_movie(m) for m in movie] if isinstance(movie, list | tuple) else [check_movie(movie)]
    if not movies:
        raise FitError("got an empty list of movies, wanted at least one.")
    sizes = [pixel_size_nm(m) for m in movies]
    known = [size for size in sizes if size is not None]
    if known and max(known) - min(known) > PIXEL_SIZE_TOLERANCE * min(known):
        raise FitError(
            f"movies of pixel sizes {min(known):g} and {max(known):g} nm cannot share a model. Resample them first."
        )
    return movies


def _check_frame_size(movies: Sequence[xr.DataArray], descriptor: Descriptor) -> None:
    for movie in movies:
        height, width = movie.sizes["y"], movie.sizes["x"]
        smallest = getattr(descriptor, "smallest_frame_px", descriptor.halo + 1)
        if min(height, width) < smallest:
            raise FitError(
                f"frames of {height} x {width} px are smaller than '{descriptor.name}' needs ({smallest} px a side). "
                "Use larger frames, or a smaller window in the recipe's [descriptor]."
            )
